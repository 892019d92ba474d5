"""`assay craft --review`: pairs side by side, one key each; every decision is kept at once.

Side by side where the terminal is wide, one below the other where it is narrow. Reads lines, so that it works
in a pipe as well. Knows no files but through `runs.crafting.review`.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from assay.cli.console import output, printable
from assay.errors import ConfigError
from assay.runs.crafting.decisions import Decision, decided
from assay.runs.crafting.review import Pair, Review, finished_sentence
from assay.runs.crafting.rows import SetExample

WIDE = 100
"""Columns of a terminal from which on a pair stands side by side."""

KEYS = "accept (Enter), edit (e), drop (d), back (b), quit (q)"
AT_END = "write the files (Enter), back (b)"
BETWEEN = "=== completion below this line ==="


def review(folder: Path) -> None:
    """Go through a craft's pairs; behind the last one, on quit or at the end of input, write the files."""
    found = Review(folder)
    pairs = found.pairs()
    place = next((at for at, pair in enumerate(pairs) if found.decisions.of(pair.crafted) is None), 0)
    while True:
        if place == len(pairs):
            output.print("\nThat was the last one.")
            answer = _answer(AT_END)
            if answer != "b" or not pairs:
                break
            place -= 1
            continue
        pair = pairs[place]
        _show(found, pair, place, len(pairs))
        answer = _answer(KEYS)
        if answer == "b":
            place = max(0, place - 1)
        elif answer == "q":
            break
        elif answer is not None and _decide(found, pair, answer):
            place += 1
    settled = found.finish()
    output.print(finished_sentence(settled), markup=False, soft_wrap=True)


def _decide(found: Review, pair: Pair, answer: str) -> bool:
    """Keep a decision; False where none was taken after all."""
    before = found.decisions.of(pair.crafted)
    if answer == "d":
        found.decisions.add(pair.crafted, Decision("drop"))
        return True
    if answer == "e":
        return _edit(found, pair)
    if before is None or before.verdict == "drop":
        found.decisions.add(pair.crafted, Decision("accept"))
    return True


def _edit(found: Review, pair: Pair) -> bool:
    now = decided(pair.crafted, found.decisions) or pair.crafted
    asked, answered = now.example.messages[-2].content, now.example.messages[-1].content
    text = _edited(f"{asked}\n{BETWEEN}\n{answered}\n")
    prompt, between, completion = text.partition(f"\n{BETWEEN}\n")
    completion = completion.removesuffix("\n")
    if not between or not prompt.strip() or not completion.strip():
        output.print(
            f"Not taken: prompt and completion both need words, with the line {BETWEEN!r} between.",
            markup=False,
        )
        return False
    if (prompt, completion) != (asked, answered):
        found.decisions.add(pair.crafted, Decision("edit", prompt, completion))
    return True


def _edited(text: str) -> str:
    """The text as a person left it in their editor."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.txt"
        path.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"The editor {editor!r} failed ({error}); set $EDITOR to another.") from None
        return path.read_text(encoding="utf-8")


def _answer(keys: str) -> str | None:
    """One letter of what was typed, "a" for nothing; None for what is no key, "q" at the end of input."""
    output.print(f"{keys}: ", markup=False, end="")
    line = sys.stdin.readline()
    if not line:
        return "q"
    typed = line.strip().lower()
    if typed in ("", "a", "accept"):
        return "a"
    for key, word in (("e", "edit"), ("d", "drop"), ("b", "back"), ("q", "quit")):
        if typed in (key, word):
            return key
    output.print(f"Not a key: {printable(typed)}", markup=False)
    return None


def _show(found: Review, pair: Pair, place: int, total: int) -> None:
    one = pair.crafted
    decision = found.decisions.of(one)
    said = "" if decision is None else f" · {_PAST[decision.verdict]}"
    task = f" · {one.example.task}" if one.example.task else ""
    output.print()
    output.print(
        Text(printable(f"{place + 1} of {total} · {one.reference}{task}{said}"), style="bold"), soft_wrap=True
    )
    now = decided(one, found.decisions) or one
    panels = [_panel(pair.beside), _panel(now)] if pair.beside else [_panel(now)]
    if output.width >= WIDE and len(panels) == 2:
        half = (output.width - 1) // 2
        shown: RenderableType = Columns([_sized(panel, half) for panel in panels], padding=(0, 1, 0, 0))
    else:
        shown = Group(*panels)
    output.print(shown)


_PAST = {"accept": "accepted", "edit": "edited", "drop": "dropped"}


def _sized(panel: Panel, width: int) -> Panel:
    panel.width = width
    return panel


def _panel(one: SetExample) -> Panel:
    text = Text(printable(one.prompt), style="dim")
    text.append("\n\n")
    text.append(printable(one.completion), style="not dim")
    return Panel(text, title=printable(one.set), title_align="left", padding=(0, 1))
