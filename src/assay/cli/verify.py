"""`assay verify`: are the gradients right on this model and this data?"""

import sys
from typing import Annotated

import typer
from rich.table import Table

from assay.cli.app import app
from assay.cli.console import Terminal, output
from assay.cli.options import BaseModel, Device, Dtype, LossOn, TokenBudget


@app.command()
def verify(
    checkpoints: Annotated[str, typer.Option(help="A trainer's folder, a checkpoint, a model, a hub id.")],
    probes: Annotated[str, typer.Option(help="A file of probe examples.")],
    queries: Annotated[str, typer.Option(help="A file of queries.")],
    count: Annotated[int, typer.Option(min=2, help="How many of each.")] = 4,
    step: Annotated[int | None, typer.Option(help="At this checkpoint instead of the last.")] = None,
    base_model: BaseModel = None,
    loss_on: LossOn = "assistant",
    device: Device = "auto",
    dtype: Dtype = "auto",
    token_budget: TokenBudget = 2048,
) -> None:
    """Hold the engine against autograd, against other batches, and against small real steps. Exit 1 if it
    fails.
    """
    from assay.gradients.verify import verify as check
    from assay.models.session import Session
    from assay.models.trajectory import Trajectory
    from assay.runs.config import study_config
    from assay.runs.inputs import read_sets, tokenise_sets

    config = study_config(
        {
            "checkpoints": checkpoints,
            "probes": {"probes": probes},
            "queries": {"queries": queries},
            "loss_on": loss_on,
        }
    )
    trajectory = Trajectory.discover(
        checkpoints, base_model=base_model, steps=None if step is None else [step]
    )
    sets, _, _ = read_sets(config)
    session = Session.open(trajectory, device=device, dtype=dtype)
    inputs = tokenise_sets(config, sets, session.tokenizer, None)
    model = session.at(trajectory.checkpoints[-1])
    found = check(
        model,
        inputs.probes["probes"].tokens[:count],
        inputs.queries["queries"].tokens[:count],
        token_budget=token_budget,
        progress=Terminal(),
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("check", "error", "allowed", "", "what"):
        table.add_column(column)
    for one in found:
        verdict = "[green]ok[/]" if one.passed else "[red]FAILS[/]"
        table.add_row(one.name, f"{one.error:.1e}", f"{one.allowed:.0e}", verdict, one.sentence)
    output.print(table)
    sys.exit(0 if all(one.passed for one in found) else 1)
