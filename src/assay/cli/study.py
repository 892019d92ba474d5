"""`assay study`: will this data strategy help, judged by a handful of probes and one run's checkpoints?"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.console import Terminal, output
from assay.cli.options import (
    COMPUTE,
    READ,
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
    whole_numbers,
)
from assay.errors import ConfigError
from assay.runs.names import named_files

if TYPE_CHECKING:
    from assay.runs.config import StudyConfig
    from assay.runs.study import Study

JUDGE = "What is said, and of which checkpoints"
CLIMB = "How far the evidence goes"


def study(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings as YAML; options given beside it go before it."),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="A trainer's folder, a checkpoint, a model, a hub id."),
    ] = None,
    probes: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A strategy's examples; repeatable."),
    ] = None,
    control: Annotated[
        str | None, typer.Option(metavar="NAME=FILE", help="The plain control's examples.")
    ] = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]FILE", help="Evaluation examples; repeatable."),
    ] = None,
    undesired: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="This query set holds bad responses; repeatable."),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One of the paper's designs: cot, clarify, evaluation."),
    ] = None,
    train_data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="What the run was trained on; repeatable."),
    ] = None,
    on_trained: Annotated[
        str | None,
        typer.Option(metavar="error|drop|keep", help="What to do with probes and queries found in it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run folder; the same command goes on from it."),
    ] = None,
    base_model: BaseModel = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", rich_help_panel=READ, help="Task labels: a file of id and task, or cluster:K."
        ),
    ] = None,
    task_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Column of task labels (task)."),
    ] = None,
    pair_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Column that names the reference (pair)."),
    ] = None,
    format: Format = None,
    columns: Columns = None,
    prompt: Prompt = None,
    completion: Completion = None,
    unescape: Unescape = None,
    on_bad_rows: OnBadRows = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=READ, help="At most so many per task of every set."),
    ] = None,
    loss_on: LossOn = None,
    query_loss_on: QueryLossOn = None,
    render: Render = None,
    chat_template: ChatTemplate = None,
    max_length: MaxLength = None,
    truncation: Truncation = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=JUDGE,
            help="What verdicts rest on (pair_cosine); relinf is the published one.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="X", rich_help_panel=JUDGE, help="Share of the control's effect that is like it (0.2)."
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(metavar="N,N,…", rich_help_panel=JUDGE, help="Only the checkpoints of these steps."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=JUDGE, help="Every n-th checkpoint, the last always."),
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            metavar="gradient|lookahead|all",
            rich_help_panel=CLIMB,
            help="Gradients (default), a few real optimizer steps, or both.",
        ),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="10m", rich_help_panel=CLIMB, help="For the steps; spent on what is undecided first."
        ),
    ] = None,
    lookahead_steps: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=CLIMB, help="Real steps in a lookahead (20)."),
    ] = None,
    lookahead_seeds: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=CLIMB, help="Draws of batches and tasks (3)."),
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    token_budget: TokenBudget = None,
    memory_gb: Annotated[
        float | None,
        typer.Option(
            metavar="X", rich_help_panel=COMPUTE, help="Memory for gradients (half of what is free)."
        ),
    ] = None,
    attention: Attention = None,
    quantize: Quantize = None,
    gradient_checkpointing: GradientCheckpointing = None,
    allow_pickle: AllowPickle = None,
) -> None:
    """Will a data strategy help, within a task and across tasks? No retraining.

    Compares probe examples of each strategy with a plain control by how much
    training on them would lower the loss of your queries, at every checkpoint
    of one fine-tuning run.
    """
    given = given_options(locals())
    if out is None:
        raise ConfigError("Name the run folder with --out.")
    del given["out"]
    settings = _settings(given.pop("config", None), given)
    from assay.runs.study import run_study

    show(run_study(settings, out=out, progress=Terminal(), command=_command()), out)


def show(done: "Study", out: Path) -> None:
    """Print the verdicts of a finished study and where its report lies."""
    from assay.report import summary_lines, verdict_table

    output.print()
    output.print(verdict_table(done.result))
    output.print()
    for line in summary_lines(done.result):
        output.print(line, markup=False)
    output.print(f"\nReport: {out / 'report.html'}", markup=False, soft_wrap=True)


def _settings(config: Path | None, given: dict[str, Any]) -> "StudyConfig":
    """Settings from the file, overridden by options, checked."""
    from assay.runs.config import read_settings, study_config

    values = {} if config is None else read_settings(config)
    reading = values.get("reading")
    if "reading" in given and isinstance(reading, dict):
        given["reading"] = {**reading, **given["reading"]}
    for name in ("probes", "queries"):
        if name in given:
            given[name] = named_files(given[name], f"--{name}")
    if "control" in given:
        given["control"] = named_files([given["control"]], "--control")
    if "steps" in given:
        given["steps"] = whole_numbers(given["steps"])
    values |= given
    for name, option in (
        ("checkpoints", "--checkpoints FOLDER"),
        ("probes", "--probes NAME=FILE"),
        ("queries", "--queries FILE"),
    ):
        if not values.get(name):
            raise ConfigError(f"Give {option} (or a --config that holds it).")
    return study_config(values, file=config, options=given)


def _command() -> str:
    return shlex.join(["assay", *sys.argv[1:]])
