"""`assay validate`: train with a strategy's data and without, and hold what comes out against the study."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.console import Terminal, output
from assay.cli.options import (
    COMPUTE,
    READ,
    ChatTemplate,
    Columns,
    Completion,
    Device,
    Format,
    LossOn,
    MaxLength,
    OnBadRows,
    Prompt,
    QueryLossOn,
    Render,
    Truncation,
    Unescape,
    given_options,
)
from assay.errors import ConfigError
from assay.runs.names import named_files

if TYPE_CHECKING:
    from assay.runs.validation.config import ValidateConfig

ASKING, JUDGE = "How arms are asked", "A judge of their answers"
OF_JUDGE = ("endpoint", "model", "local", "key_env")


def validate(
    arms: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sets, arms and recipe as YAML; options go before what it says."),
    ] = None,
    base_model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="The model to train, a folder or hub id; repeatable."),
    ] = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]FILE", help="Held-out evaluation examples; repeatable."),
    ] = None,
    undesired: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="This query set holds bad responses; repeatable."),
    ] = None,
    study: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER",
            help="A swift study whose verdicts are held against the effects; one for each base model.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run folder; the same command goes on from it."),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The paper's arms: in-task (Table 1) or cross-task (Table 2)."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Trainings of every arm (3), with seeds 0, 1, …")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(metavar="steps|tokens|examples", help="What arms are made equal in (steps)."),
    ] = None,
    weigh: Annotated[
        str | None,
        typer.Option(
            metavar="tokens|sets",
            help="A mixed step learns the mean over its tokens, or each set's own mean.",
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="auto|in-task|cross-task",
            help="Which of the study's verdicts are held against the effects (auto: by task labels).",
        ),
    ] = None,
    queries_are: Annotated[
        str | None,
        typer.Option(
            metavar="fixed|redrawn", help="Intervals speak of these queries (fixed), or of ones like them."
        ),
    ] = None,
    on_trained: Annotated[
        str | None,
        typer.Option(metavar="error|drop|keep", help="What to do with queries that an arm would train on."),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="auto|exact|normalised|numeric|choice|none",
            rich_help_panel=ASKING,
            help="When a generated answer is right (auto); none generates none.",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=ASKING, help="Longest answer (256).")
    ] = None,
    judge_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=JUDGE, help="An OpenAI-compatible server that judges,"),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=JUDGE, help="and the judge's name there.")
    ] = None,
    judge_local: Annotated[
        str | None,
        typer.Option(metavar="MODEL", rich_help_panel=JUDGE, help="Or a judge loaded here, by transformers."),
    ] = None,
    judge_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE", rich_help_panel=JUDGE, help="Where the server's key is (OPENAI_API_KEY)."
        ),
    ] = None,
    judge_labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=JUDGE,
            help="Answers that people judged (columns answer, label), to hold the judge against.",
        ),
    ] = None,
    judge_pairs: Annotated[
        bool | None,
        typer.Option(
            "--judge-pairs", rich_help_panel=JUDGE, help="Judge arms against the first, in both orders, too."
        ),
    ] = None,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE_OR_FOLDER",
            rich_help_panel=ASKING,
            help="Tasks for lm-eval as local YAML files; repeatable.",
        ),
    ] = None,
    benchmark_limit: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=ASKING, help="Ask the first N questions of each task."),
    ] = None,
    task_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Column of task labels (task)."),
    ] = None,
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
    token_budget: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=COMPUTE, help="Tokens of a padded batch (8192)."),
    ] = None,
) -> None:
    """Was the study right? Retrain with a strategy's data and without, and compare.

    Every arm sees the same base batches in the same order. Effects are paired by
    seed, with intervals and tests.
    """
    given = given_options(locals())
    if out is None:
        raise ConfigError("Name the run folder with --out.")
    del given["out"]
    settings = _settings(given.pop("arms", None), given)
    from assay.runs.validation.run import run_validation

    command = shlex.join(["assay", *sys.argv[1:]])
    done = run_validation(settings, out, progress=Terminal(), command=command)
    output.print()
    for line in done.sentences:
        output.print(line, markup=False, soft_wrap=True)
    output.print(f"\nReport: {done.report}", markup=False, soft_wrap=True)


def _settings(arms: Path | None, given: dict[str, Any]) -> "ValidateConfig":
    """Settings from the file, overridden by options, checked."""
    from assay.runs.config import read_settings
    from assay.runs.validation.config import validate_config

    values = {} if arms is None else read_settings(arms)
    reading = values.get("reading")
    if "reading" in given and isinstance(reading, dict):
        given["reading"] = {**reading, **given["reading"]}
    if "queries" in given:
        given["queries"] = named_files(given["queries"], "--queries")
    judge = {name: given.pop(f"judge_{name}") for name in OF_JUDGE if f"judge_{name}" in given}
    if judge:
        beneath = values.get("judge")
        given["judge"] = {**(beneath if isinstance(beneath, dict) else {}), **judge}
    values |= given
    for name, option in (
        ("sets", "--arms FILE with the training sets (`sets: {base: base.jsonl, cot: cot.jsonl}`)"),
        ("base_model", "--base-model MODEL"),
        ("queries", "--queries FILE"),
    ):
        if not values.get(name):
            raise ConfigError(f"Give {option}.")
    return validate_config(values, options=given)
