"""`assay truth`: how often do assay's predictions come true? The benchmark, on the embedded worlds."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.console import Terminal, output


def truth(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where runs, measurements and tables go.")],
    world: Annotated[int, typer.Option(metavar="SEED", help="0, or 1, on which no choice is made.")] = 0,
    half: Annotated[
        str, typer.Option(metavar="HALF", help="Strategies to report: reported or development.")
    ] = "reported",
    per_task: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Probes of each task; repeatable. 64, 16 and 6.")
    ] = None,
    lookahead: Annotated[
        bool, typer.Option(help="Also take real steps from every strategy's probes (the longest part).")
    ] = True,
) -> None:
    """Hold predictions against the truth: strategies that were really trained on, in the embedded world.

    Predictions are computed live (an hour or two, by estimate; resumable), on probes and queries that the
    truth never saw; the truth is a table that ships with assay.
    """
    from assay.errors import ConfigError
    from assay.truth.run import PER_TASK, run_benchmark
    from assay.truth.table import committed, read_truth
    from assay.truth.told import agreement_table
    from assay.world.shipped import base_model_path

    if half not in ("reported", "development"):
        raise ConfigError(f"There is no half {half!r}; choose reported or development.")
    counts = tuple(per_task or PER_TASK)
    known = read_truth(committed(world))
    found = run_benchmark(
        known,
        base_model_path(world),
        out,
        half="development" if half == "development" else "reported",
        per_task=counts,
        lookahead=counts if lookahead else (),
        progress=Terminal(),
    )
    output.print(agreement_table(found.agreements))
    output.print(f"All of it: {out / 'truth.md'} (and truth.json, truth.svg)", soft_wrap=True)
