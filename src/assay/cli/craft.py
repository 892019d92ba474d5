"""`assay craft`: probe examples of a data strategy out of plain references, by a model or from columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.console import Terminal, output, printable
from assay.cli.crafting import check_strategy, list_strategies, show_dry_run
from assay.cli.options import (
    READ,
    Columns,
    Completion,
    Format,
    OnBadRows,
    Prompt,
    Unescape,
    given_options,
)
from assay.errors import ConfigError
from assay.runs.names import named_files

if TYPE_CHECKING:
    from assay.runs.crafting.config import CraftConfig

MADE, ASKED, OTHER = "What is made", "Who is asked", "Instead of crafting"
OWN_WORK = ("check", "strategies", "review", "dry_run", "out", "cache", "config")


def craft(
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="A shipped strategy or a YAML file; repeatable."),
    ] = None,
    references: Annotated[
        list[str] | None,
        typer.Option(metavar="[TASK=]FILE", help="Plain examples to make others from; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the sets go; the same command goes on from it."),
    ] = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            rich_help_panel=MADE,
            help="Your evaluation examples, in place of siblings; repeatable.",
        ),
    ] = None,
    references_are: Annotated[
        str | None,
        typer.Option(
            metavar="probes|queries",
            rich_help_panel=MADE,
            help="Probes are made of references (default), or of siblings of them.",
        ),
    ] = None,
    siblings: Annotated[
        str | None,
        typer.Option(
            metavar="model|rows",
            rich_help_panel=MADE,
            help="Who makes siblings: a model, or other rows of the task.",
        ),
    ] = None,
    build: Annotated[
        bool | None,
        typer.Option("--build", rich_help_panel=MADE, help="A training set: the strategies' examples alone."),
    ] = None,
    per_task: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=MADE, help="The first N references of every task."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=MADE, help="The first N references.")
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", rich_help_panel=MADE, help="For study.yaml: the run to study."),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL", rich_help_panel=ASKED, help="An OpenAI-compatible server, such as http://…/v1."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=ASKED, help="The model's name there.")
    ] = None,
    local: Annotated[
        str | None,
        typer.Option(metavar="MODEL", rich_help_panel=ASKED, help="Or a model loaded here, by transformers."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT", rich_help_panel=ASKED, help="Whose own answers are sampled, loaded here."
        ),
    ] = None,
    student_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=ASKED, help="Or at a server (default: --endpoint),"),
    ] = None,
    student_model: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=ASKED, help="under this name.")
    ] = None,
    judge_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=ASKED, help="Who judges answers, if not the writer:"),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=ASKED, help="a server and a name.")
    ] = None,
    from_columns: Annotated[
        str | None,
        typer.Option(
            metavar="Q,A,…",
            rich_help_panel=ASKED,
            help="Nobody: columns hold query, response and what else a strategy needs.",
        ),
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            rich_help_panel=ASKED,
            help="Where --endpoint's key is (OPENAI_API_KEY).",
        ),
    ] = None,
    student_key_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", rich_help_panel=ASKED, help="The same of --student-endpoint."),
    ] = None,
    judge_key_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", rich_help_panel=ASKED, help="The same of --judge-endpoint."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=ASKED, help="Requests at once to a server (8)."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", rich_help_panel=ASKED, help="For one reply (120)."),
    ] = None,
    max_retries: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=ASKED, help="After 429, 5xx and time-outs (5)."),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            metavar="IN,OUT", rich_help_panel=ASKED, help="Of a million tokens, prompts and replies."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=ASKED, help="Replies are kept in (OUT/replies.sqlite)."),
    ] = None,
    dry_run: Annotated[
        bool | None,
        typer.Option("--dry-run", rich_help_panel=OTHER, help="Show prompts and an estimate; ask nobody."),
    ] = None,
    review: Annotated[
        bool | None,
        typer.Option("--review", rich_help_panel=OTHER, help="Accept, edit or drop what lies in --out."),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=OTHER, help="What is wrong in a strategy, by line."),
    ] = None,
    strategies: Annotated[
        bool | None,
        typer.Option("--strategies", rich_help_panel=OTHER, help="List the shipped strategies."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=READ, help="Settings as YAML; options go before them."),
    ] = None,
    format: Format = None,
    columns: Columns = None,
    prompt: Prompt = None,
    completion: Completion = None,
    unescape: Unescape = None,
    task_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Column of task labels (task)."),
    ] = None,
    on_bad_rows: OnBadRows = None,
) -> None:
    """Turn plain examples into probe examples of a data strategy, and a study of it.

    Everything that a model writes is checked; what fails is asked for again, and
    in the end set aside in rejects.jsonl. A rerun asks nothing twice.
    """
    given = given_options(locals())
    if check is not None:
        check_strategy(check)
        return
    if strategies:
        list_strategies()
        return
    if out is None and not dry_run:
        raise ConfigError("Name the folder for the sets with --out.")
    if review:
        from assay.cli.review import review as go_through

        assert out is not None
        go_through(out)
        return
    settings = _settings(given)
    if dry_run:
        show_dry_run(settings)
        return
    from assay.runs.crafting.run import run_craft
    from assay.runs.crafting.told import craft_told

    assert out is not None
    done = run_craft(settings, out, cache=cache, progress=Terminal())
    output.print()
    for line in craft_told(done):
        output.print(printable(line), markup=False, soft_wrap=True)
    for line in _next(done.study, out):
        output.print(line, markup=False, soft_wrap=True)


def _settings(given: dict[str, Any]) -> "CraftConfig":
    from assay.runs.config import read_settings
    from assay.runs.crafting.config import craft_config, labelled_files

    values = {} if "config" not in given else read_settings(given["config"])
    options = {name: value for name, value in given.items() if name not in OWN_WORK}
    if "strategy" in options:
        options["strategies"] = options.pop("strategy")
    if "references" in options:
        options["references"] = labelled_files(options["references"])
    if "queries" in options:
        options["queries"] = named_files(options["queries"], "--queries")
    reading = values.get("reading")
    if "reading" in options and isinstance(reading, dict):
        options["reading"] = {**reading, **options["reading"]}
    values |= options
    for name, option in (
        ("strategies", "--strategy NAME (`assay craft --strategies` lists them)"),
        ("references", "--references FILE"),
    ):
        if not values.get(name):
            raise ConfigError(f"Give {option}.")
    return craft_config(values, options=options)


def _next(study: str | None, out: Path) -> Sequence[str]:
    look = f"To look at every pair: assay craft --review --out {out}"
    return (look,) if study is None else (look, f"Next: {study}")
