"""Options that several commands share, and how `NAME=FILE` is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from assay.errors import ConfigError

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")]
Dtype = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp64; auto keeps what is stored.")]
TokenBudget = Annotated[int, typer.Option(min=1, help="Tokens of a padded batch.")]
LossOn = Annotated[str, typer.Option(help="What is learned: assistant (every turn), last (turn) or all.")]
BaseModel = Annotated[str | None, typer.Option(help="The base model, where the run's own path has moved.")]


def named_files(values: Iterable[str], option: str, default: str | None = None) -> dict[str, str]:
    """`NAME=FILE` pairs as a mapping. A bare FILE is named by `default`, or after the file itself.

    Raises ConfigError for an empty part or a name given twice.
    """
    files: dict[str, str] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or "/" in name or Path(value).exists():
            name, file = default or Path(value).name.split(".")[0], value
        if not name or not file:
            raise ConfigError(f"{option} {value}: give it as NAME=FILE.")
        if name in files:
            raise ConfigError(f"{option}: the name {name!r} is given twice; names must differ.")
        files[name] = file
    return files


def one_of(value: str, choices: tuple[str, ...], option: str) -> str:
    """Raises ConfigError for a value that is no choice."""
    if value not in choices:
        raise ConfigError(f"{option} {value}: choose one of {', '.join(choices)}.")
    return value
