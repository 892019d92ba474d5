"""`assay verify`: are the gradients right on this model and this data?"""

import sys
from typing import Annotated

import typer
from rich.table import Table

from assay.cli.console import Terminal, output
from assay.cli.options import (
    AllowPickle,
    Attention,
    BaseModel,
    ChatTemplate,
    Columns,
    Completion,
    Device,
    Dtype,
    Format,
    GradientCheckpointing,
    LossOn,
    MaxLength,
    OnBadRows,
    Prompt,
    Quantize,
    QueryLossOn,
    Render,
    TokenBudget,
    Truncation,
    Unescape,
    given_options,
)


def verify(
    checkpoints: Annotated[
        str, typer.Option(metavar="FOLDER", help="A trainer's folder, a checkpoint, a model, a hub id.")
    ],
    probes: Annotated[str, typer.Option(metavar="FILE", help="A file of probe examples.")],
    queries: Annotated[str, typer.Option(metavar="FILE", help="A file of queries.")],
    count: Annotated[int, typer.Option(min=2, metavar="N", help="How many of each.")] = 4,
    step: Annotated[
        int | None, typer.Option(metavar="N", help="At this checkpoint instead of the last.")
    ] = None,
    base_model: BaseModel = None,
    format: Format = None,
    columns: Columns = None,
    prompt: Prompt = None,
    completion: Completion = None,
    unescape: Unescape = None,
    on_bad_rows: OnBadRows = None,
    loss_on: LossOn = None,
    query_loss_on: QueryLossOn = None,
    render: Render = None,
    chat_template: ChatTemplate = None,
    max_length: MaxLength = None,
    truncation: Truncation = None,
    device: Device = None,
    dtype: Dtype = None,
    token_budget: TokenBudget = None,
    attention: Attention = None,
    quantize: Quantize = None,
    gradient_checkpointing: GradientCheckpointing = None,
    allow_pickle: AllowPickle = None,
) -> None:
    """Check the gradients on your model and data against slower ways.

    Compares with autograd, with other batches, and with small real steps.
    Give the options of your study, so that what is verified is what it measures.
    Exit code 1 if a check fails.
    """
    given = given_options(locals())
    from assay.models.trajectory import Trajectory
    from assay.runs.config import MeasureConfig, measure_config
    from assay.runs.verify import verify as run

    trajectory = Trajectory.discover(
        checkpoints,
        base_model=base_model,
        steps=None if step is None else [step],
        allow_pickle=bool(allow_pickle),
    )
    of_measuring = {name: value for name, value in given.items() if name in MeasureConfig.model_fields}
    config = measure_config(of_measuring, options=of_measuring)
    found = run(trajectory, probes, queries, config, count=count, progress=Terminal())
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("check", "error", "allowed", "", "what"):
        table.add_column(column)
    for one in found:
        verdict = "[green]ok[/]" if one.passed else "[red]FAILS[/]"
        table.add_row(one.name, f"{one.error:.1e}", f"{one.allowed:.0e}", verdict, one.sentence)
    output.print(table)
    sys.exit(0 if all(one.passed for one in found) else 1)
