"""`assay score`: what is every example of a dataset worth, by the method of your choice?"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

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

METHOD = "How a method computes"
CONTEXT = "How influence in context is measured"
ANSWERS = "Query sets from two models' own answers"


def score(
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A method of `assay methods`; repeatable, in one pass together."),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="A trainer's folder, a checkpoint, a model, a hub id."),
    ] = None,
    candidates: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="The examples to score; repeatable.")
    ] = None,
    queries: Annotated[
        list[str] | None, typer.Option(metavar="[NAME=]FILE", help="Evaluation examples; repeatable.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run folder; the same command goes on from it."),
    ] = None,
    base_model: BaseModel = None,
    steps: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Only the checkpoints of these steps.")
    ] = None,
    every: Annotated[
        int | None, typer.Option(metavar="N", help="Every n-th checkpoint, the last always.")
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=ANSWERS,
            help="Questions with reference answers: makes the query sets correct and incorrect.",
        ),
    ] = None,
    incorrect: Annotated[
        str | None,
        typer.Option(
            metavar="right-to-wrong|all-wrong",
            rich_help_panel=ANSWERS,
            help="Which wrong answers make the set incorrect (right-to-wrong).",
        ),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="auto|exact|normalised|numeric|choice",
            rich_help_panel=ANSWERS,
            help="When an answer is right (auto).",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=ANSWERS, help="Longest answer (256).")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="auto|off|N",
            rich_help_panel=METHOD,
            help="Keep at most N numbers of a query's gradient per parameter (auto: all, if they fit).",
        ),
    ] = None,
    damping: Annotated[
        float | None,
        typer.Option(metavar="X", rich_help_panel=METHOD, help="Of curvature, times its mean (0.1)."),
    ] = None,
    factor_examples: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=METHOD, help="Candidates to fit curvature on (all)."),
    ] = None,
    exact: Annotated[
        bool | None,
        typer.Option("--exact", rich_help_panel=METHOD, help="LESS as its authors' code computes it."),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="hidden|NAME",
            rich_help_panel=CONTEXT,
            help="Where prompts lie: the model's hidden states, or a sentence-transformers model (hidden).",
        ),
    ] = None,
    complexity: Annotated[
        str | None,
        typer.Option(
            metavar="ifd|length|MODEL",
            rich_help_panel=CONTEXT,
            help="How complex a candidate is: IFD, learned tokens, or a DEITA scorer (ifd).",
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=CONTEXT, help="Nearest prompts to choose queries from (32)."
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=CONTEXT, help="Queries of each candidate (5)."),
    ] = None,
    departure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="positive-only|failed-as-zero",
            rich_help_panel=CONTEXT,
            help="Score as the public code of wici does; repeatable (none).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=METHOD, help="Of all that is drawn (0).")
    ] = None,
    task_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Column of task labels (task)."),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=READ, help="Task labels: a file of id and task."),
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
    """Score every example of a dataset, against your queries or by itself.

    Candidates stream past one pass a checkpoint, however many there are. The scores are a table that
    `assay select` chooses from.
    """
    given = given_options(locals())
    for name, option in (
        ("method", "--method NAME (`assay methods` lists them)"),
        ("checkpoints", "--checkpoints FOLDER, or --base-model MODEL to score with it as it is"),
        ("candidates", "--candidates FILE"),
        ("out", "--out FOLDER"),
    ):
        if not given.get(name) and not (name == "checkpoints" and given.get("base_model")):
            raise ConfigError(f"Give {option}.")
    folder = given.pop("out")
    given["methods"] = given.pop("method")
    if "queries" in given:
        given["queries"] = named_files(given["queries"], "--queries")
    if "steps" in given:
        given["steps"] = whole_numbers(given["steps"])
    if "project" in given and given["project"].isdecimal():
        given["project"] = int(given["project"])
    from assay.runs.scores.config import score_config
    from assay.runs.scores.run import run_scores
    from assay.runs.scores.told import next_command, scores_told

    config = score_config(given, options=given)
    command = shlex.join(["assay", *sys.argv[1:]])
    done = run_scores(config, folder, progress=Terminal(), command=command)
    output.print()
    output.print(scores_told(done))
    output.print(f"\nScores: {folder / 'scores.parquet'}", markup=False, soft_wrap=True)
    output.print(f"Next: {next_command(done)}", markup=False, soft_wrap=True)
