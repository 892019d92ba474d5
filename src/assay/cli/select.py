"""`assay select`: which examples to keep, by scores and a rule, with a reason for each."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.console import Terminal, output
from assay.cli.options import given_options
from assay.errors import ConfigError


def select(
    scores: Annotated[Path | None, typer.Option(metavar="FOLDER", help="What `assay score` wrote.")] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="top, trim, middle, round_robin, balance, diverse, correct, incorrect, combined.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="50%|2000|200ktok", help="How much to keep: a share, examples, or tokens."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the chosen rows and the report go (SCORES/selection)."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="By this method, where several were scored.")
    ] = None,
    query_set: Annotated[
        str | None, typer.Option(metavar="NAME", help="By this query set, where there are several.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="By the queries of this task alone.")
    ] = None,
    reverse: Annotated[
        bool | None, typer.Option("--reverse", help="Lowest scores first (for self-influence, say).")
    ] = None,
    turns: Annotated[
        str | None,
        typer.Option(metavar="query|task", help="round_robin: who takes turns (query)."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="task|source", help="balance: what shares the budget (task)."),
    ] = None,
    equally: Annotated[
        bool | None, typer.Option("--equally", help="balance: as many of each, instead of in proportion.")
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(metavar="X", help="middle: where the band begins, as a share from the top."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="X", help="diverse: largest cosine to what is chosen (0.9).")
    ] = None,
    weight: Annotated[
        bool | None, typer.Option("--weight", help="Add a column `weight` by rank to what is written.")
    ] = None,
) -> None:
    """Choose examples at a budget, write them in the format they came in, and show why.

    Every candidate gets a decision and a reason in `selection.parquet`; `report.html` shows what was dropped.
    """
    given = given_options(locals())
    for name, option in (
        ("scores", "--scores FOLDER"),
        ("rule", "--rule NAME"),
        ("budget", "--budget 50%"),
    ):
        if given.get(name) is None:
            raise ConfigError(f"Give {option}.")
    from assay.runs.selecting import run_selection
    from assay.runs.selecting_config import select_config

    folder = given.pop("scores")
    target = given.pop("out", None) or folder / "selection"
    config = select_config(given, options=given)
    command = shlex.join(["assay", *sys.argv[1:]])
    done = run_selection(config, folder, target, progress=Terminal(), command=command)
    output.print()
    for line in done.sentences:
        output.print(line, markup=False, soft_wrap=True)
    for path in done.written:
        output.print(f"Kept rows: {path}", markup=False, soft_wrap=True)
    output.print(f"Report: {done.report}", markup=False, soft_wrap=True)
