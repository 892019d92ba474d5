"""What `assay craft` shows in place of crafting: an estimate, a strategy's mistakes, what is shipped."""

import sys
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from assay.cli.console import Terminal, output, printable

if TYPE_CHECKING:
    from assay.runs.crafting.config import CraftConfig
    from assay.runs.crafting.dry import DryRun


def show_dry_run(settings: "CraftConfig") -> None:
    from assay.runs.crafting.dry import dry_run, dry_run_told
    from assay.runs.crafting.prepare import prepare

    ready = prepare(settings, dry=True)
    for note in ready.notes:
        Terminal().note(note)
    found = dry_run(ready)
    _show_prompts(found)
    for line in dry_run_told(found):
        output.print(line, markup=False, soft_wrap=True)


def _show_prompts(found: "DryRun") -> None:
    for shown in found.prompts:
        output.print(
            Text(f"{shown.strategy}, {shown.step} (asks the {shown.by})", style="bold"), soft_wrap=True
        )
        if shown.problem:
            output.print(printable(f"  cannot be shown: {shown.problem}"), markup=False, soft_wrap=True)
        for turn in shown.turns:
            output.print(Text(f"[{turn.role}]", style="dim"))
            output.print(printable(turn.content), markup=False, soft_wrap=True)
        output.print()


def check_strategy(file: str) -> None:
    from assay.crafting.reading import mistakes, read_strategy

    found = mistakes(file)
    for one in found:
        output.print(printable(f"{file}, line {one.line}: {one.sentence}"), markup=False, soft_wrap=True)
    if found:
        sys.exit(2)
    strategy = read_strategy(file)
    steps = ", ".join(f"{step.name} ({step.by})" for step in strategy.asks) or "nobody"
    sets = ", ".join(f"{one.name} ({one.role})" for one in strategy.writes)
    output.print(
        printable(f"{file}: no mistakes. {strategy.name} asks for {steps} and writes {sets}."),
        markup=False,
        soft_wrap=True,
    )


def list_strategies() -> None:
    from assay.crafting.reading import read_strategy, shipped

    table = Table(box=None, pad_edge=False)
    for heading in ("strategy", "what it writes", "who is asked"):
        table.add_column(heading, overflow="fold")
    for name in shipped():
        strategy = read_strategy(name)
        asked = ", ".join(dict.fromkeys(step.by for step in strategy.asks)) or "nobody"
        table.add_row(Text(name, style="bold"), Text(strategy.what), asked)
    output.print(table)
