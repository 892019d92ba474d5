"""The commands together, and the one place where errors become sentences instead of tracebacks."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from assay import __version__
from assay.cli.console import complain
from assay.cli.craft import craft
from assay.cli.demo import demo
from assay.cli.methods import methods
from assay.cli.once import OnceEach
from assay.cli.preview import preview
from assay.cli.score import score
from assay.cli.select import select
from assay.cli.study import study
from assay.cli.train import train
from assay.cli.truth import truth
from assay.cli.validate import validate
from assay.cli.verify import verify
from assay.errors import AssayError


class Commands(TyperGroup):
    """The commands; an interruption ends in a sentence and exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("Stopped. What was finished is kept; the same command goes on from there.")
            sys.exit(130)


app = typer.Typer(
    name="assay",
    cls=Commands,
    help="What will your fine-tuning data do, before you train on it?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """What will your fine-tuning data do, before you train on it?"""


for command in (study, craft, score, select, validate, methods, demo, preview, train, verify, truth):
    app.command(cls=OnceEach)(command)


def main() -> None:
    """Run the command line. A person's error is a sentence and exit code 2, anything unforeseen one and 1."""
    try:
        app()
    except AssayError as error:
        complain(str(error))
        sys.exit(2)
    except Exception as error:
        if os.environ.get("ASSAY_DEBUG"):
            raise
        complain(_unforeseen(error))
        sys.exit(1)


def _unforeseen(error: Exception) -> str:
    """What the machine or we did wrong, in one sentence."""
    said = str(error).strip().split("\n")[0] or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in said.lower():
        return (
            f"Out of memory ({said}); try a smaller --token-budget, --memory-gb, or --gradient-checkpointing."
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'}: {error.strerror}."
    return f"{type(error).__name__}: {said}. Set ASSAY_DEBUG=1 to see where, and please report it."
