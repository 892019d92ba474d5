"""`assay study`: will this data strategy help, judged by a handful of probes and one run's checkpoints?"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.app import app
from assay.cli.console import Terminal, output
from assay.cli.options import BaseModel, named_files
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.runs.study import Study


@app.command()
def study(
    config: Annotated[
        Path | None, typer.Option(help="Settings as YAML; options given here go before it.")
    ] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="A trainer's folder, a checkpoint, a model, a hub id.")
    ] = None,
    probes: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE of a strategy's examples; repeatable.")
    ] = None,
    control: Annotated[str | None, typer.Option(help="NAME=FILE of the plain control's examples.")] = None,
    queries: Annotated[
        list[str] | None, typer.Option(help="[NAME=]FILE of evaluation examples; repeatable.")
    ] = None,
    undesired: Annotated[
        list[str] | None, typer.Option(help="Query set of bad responses; repeatable.")
    ] = None,
    design: Annotated[
        str | None, typer.Option(help="One of the paper's designs: cot, clarify, evaluation.")
    ] = None,
    train_data: Annotated[
        list[str] | None, typer.Option(help="What the run was trained on; repeatable.")
    ] = None,
    on_trained: Annotated[
        str | None, typer.Option(help="Probes or queries in it: error, drop or keep.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; the same command goes on from it.")
    ] = None,
    base_model: BaseModel = None,
    tasks: Annotated[
        str | None, typer.Option(help="Task labels: a file of id and task, or cluster:K.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Data format, where detection errs.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a table without header, by comma.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Prompt: a column or a template such as '{question}'.")
    ] = None,
    completion: Annotated[str | None, typer.Option(help="Completion: a column or a template.")] = None,
    unescape: Annotated[bool | None, typer.Option(help=r"Turn \n in cells into newlines.")] = None,
    task_column: Annotated[str | None, typer.Option(help="Column of task labels (task).")] = None,
    pair_column: Annotated[str | None, typer.Option(help="Column that names the reference (pair).")] = None,
    on_bad_rows: Annotated[str | None, typer.Option(help="error, or skip (into rejects.jsonl).")] = None,
    loss_on: Annotated[str | None, typer.Option(help="Learned of probes: assistant, last or all.")] = None,
    query_loss_on: Annotated[
        str | None, typer.Option(help="Learned of queries: assistant, last or all.")
    ] = None,
    render: Annotated[str | None, typer.Option(help="auto, chat (template) or plain (joined).")] = None,
    chat_template: Annotated[
        str | None, typer.Option(help="A Jinja file in place of the tokenizer's.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest example in tokens.")] = None,
    truncation: Annotated[
        str | None, typer.Option(help="Over-long: error, or prompt (cut its beginning).")
    ] = None,
    estimator: Annotated[str | None, typer.Option(help="What verdicts rest on (relinf).")] = None,
    margin: Annotated[
        float | None, typer.Option(help="Share of the control's effect that counts as like it.")
    ] = None,
    steps: Annotated[str | None, typer.Option(help="Only these checkpoints, by step: 50,100,300.")] = None,
    every: Annotated[int | None, typer.Option(help="Every n-th checkpoint, the last always.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many examples per task of every set.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp64.")] = None,
    attention: Annotated[str | None, typer.Option(help="transformers' attention: sdpa, eager …")] = None,
    quantize: Annotated[str | None, typer.Option(help="4bit loads the base as QLoRA does.")] = None,
    gradient_checkpointing: Annotated[bool | None, typer.Option(help="Less memory, more time.")] = None,
    allow_pickle: Annotated[bool | None, typer.Option(help="Load .bin weights (tensors only).")] = None,
    token_budget: Annotated[int | None, typer.Option(help="Tokens of a padded batch (2048).")] = None,
    memory_gb: Annotated[float | None, typer.Option(help="Memory for held gradients.")] = None,
) -> None:
    """Will a data strategy help, within a task and across tasks? No retraining.

    Compares probe examples of each strategy with a plain control by how much training on them would lower
    the loss of your queries, at every checkpoint of one fine-tuning run.
    """
    if out is None:
        raise ConfigError("Name the run folder with --out.")
    given: dict[str, Any] = {
        name: value
        for name, value in locals().items()
        if name not in ("config", "out", "given") and value is not None
    }
    values = _settings(config, given)
    from assay.runs.config import study_config
    from assay.runs.study import run_study

    show(run_study(study_config(values), out=out, progress=Terminal(), command=_command()), out)


def show(done: "Study", out: Path) -> None:
    """Print the verdicts of a finished study and where its report lies."""
    from assay.report import summary_lines, verdict_table

    output.print()
    output.print(verdict_table(done.result))
    output.print()
    for line in summary_lines(done.result):
        output.print(line, markup=False)
    output.print(f"\nReport: {out / 'report.html'}", markup=False, soft_wrap=True)


READING = ("format", "columns", "prompt", "completion", "unescape", "task_column", "pair_column")


def _settings(config: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    """Settings from the file, overridden by options."""
    values: dict[str, Any] = {}
    if config is not None:
        from assay.runs.config import read_config

        values = read_config(config).model_dump(exclude_defaults=True)
    reading = {name: given.pop(name) for name in READING if name in given}
    if reading:
        values["reading"] = {**values.get("reading", {}), **reading}
    for name in ("probes", "queries"):
        if name in given:
            values[name] = named_files(given.pop(name), f"--{name}")
    if "control" in given:
        values["control"] = named_files([given.pop("control")], "--control")
    if "steps" in given:
        values["steps"] = _whole_numbers(given.pop("steps"))
    values.update(given)
    for name, option in (
        ("checkpoints", "--checkpoints FOLDER"),
        ("probes", "--probes NAME=FILE"),
        ("queries", "--queries FILE"),
    ):
        if not values.get(name):
            raise ConfigError(f"Give {option} (or a --config that holds it).")
    return values


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(
            f"--steps {text}: give steps as whole numbers with commas, such as 50,100."
        ) from None


def _command() -> str:
    return shlex.join(["assay", *sys.argv[1:]])
