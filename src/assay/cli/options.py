"""Options that several commands share."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from assay.errors import ConfigError

READ, LEARN, COMPUTE = "How data is read", "What is learned", "How it is computed"

Format = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=READ, help="Data format, where detection errs."),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", rich_help_panel=READ, help="Columns of a table without header."),
]
Prompt = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Prompt: a column, or text with '{column}'."),
]
Completion = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", rich_help_panel=READ, help="Completion, in the same way."),
]
Unescape = Annotated[
    bool | None,
    typer.Option("--unescape", rich_help_panel=READ, help=r"Turn \n in cells into newlines."),
]
OnBadRows = Annotated[
    str | None,
    typer.Option(
        metavar="error|skip", rich_help_panel=READ, help="A row that cannot be used: stop, or set aside."
    ),
]
LossOn = Annotated[
    str | None,
    typer.Option(
        metavar="assistant|last|all",
        rich_help_panel=LEARN,
        help="Learned: every assistant turn (default), the last one, or the whole text.",
    ),
]
QueryLossOn = Annotated[
    str | None,
    typer.Option(metavar="assistant|last|all", rich_help_panel=LEARN, help="The same of queries (last)."),
]
Truncation = Annotated[
    str | None,
    typer.Option(
        metavar="error|prompt", rich_help_panel=LEARN, help="Over-long: stop, or cut the prompt's beginning."
    ),
]
Render = Annotated[
    str | None,
    typer.Option(metavar="auto|chat|plain", rich_help_panel=LEARN, help="By chat template, or joined."),
]
ChatTemplate = Annotated[
    str | None,
    typer.Option(metavar="FILE", rich_help_panel=LEARN, help="A Jinja file in place of the tokenizer's."),
]
MaxLength = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=LEARN, help="Longest example in tokens.")
]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=COMPUTE, help="auto (default), cpu, cuda, cuda:1, mps …"),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel=COMPUTE, help="auto (default: as stored), fp32, bf16 or fp64."
    ),
]
TokenBudget = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=COMPUTE, help="Tokens of a padded batch (2048)."),
]
Attention = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=COMPUTE, help="transformers' attention: sdpa, eager …"),
]
Quantize = Annotated[
    str | None,
    typer.Option(metavar="4bit", rich_help_panel=COMPUTE, help="Load the base as QLoRA does."),
]
GradientCheckpointing = Annotated[
    bool | None,
    typer.Option("--gradient-checkpointing", rich_help_panel=COMPUTE, help="Less memory, more time."),
]
AllowPickle = Annotated[
    bool | None,
    typer.Option("--allow-pickle", rich_help_panel=COMPUTE, help="Load .bin weights (tensors only)."),
]
BaseModel = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="The base model, where the run's own path has moved."),
]

READING = ("format", "columns", "prompt", "completion", "unescape", "task_column", "pair_column")


def given_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was given on the command line, the options of reading together under `reading`."""
    given = {name: value for name, value in values.items() if value is not None}
    reading = {name: given.pop(name) for name in READING if name in given}
    return {**given, "reading": reading} if reading else given


def whole_numbers(text: str) -> list[int]:
    """`50,100` as numbers; raises ConfigError as of --steps."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--steps {text}: give steps as whole numbers with commas, such as 50,100."
        ) from None
