"""What a person sees while work goes on: bars, notes and complaints, all on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.text import Text

from assay.progress import Advance

console = Console(stderr=True, highlight=False)
output = Console(highlight=False)


def complain(sentence: str) -> None:
    """One sentence about what is wrong."""
    console.print(Text.assemble(("assay: ", "bold red"), printable(sentence)), soft_wrap=True)


class Terminal:
    """Progress as bars, one a stage, and notes as lines."""

    @contextmanager
    def stage(self, label: str, total: float, unit: str) -> Iterator[Advance]:
        bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        with bars:
            task = bars.add_task(printable(label), total=int(total))
            yield lambda amount: bars.advance(task, int(amount))

    def note(self, sentence: str) -> None:
        console.print(Text.assemble(("· ", "dim"), printable(sentence)), soft_wrap=True)


def printable(text: str) -> str:
    """Text of a person's files for a terminal: as it is, but for control characters."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
