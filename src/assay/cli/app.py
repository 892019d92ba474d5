"""The commands together, and the one place where errors become sentences instead of tracebacks."""

import os
import sys

import typer

from assay import __version__
from assay.cli.console import complain
from assay.errors import AssayError

app = typer.Typer(
    name="assay",
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


def main() -> None:
    """Run the command line. A person's error is one sentence and exit code 2; an interruption is 130."""
    from assay.cli import demo, preview, study, train, verify  # noqa: F401  commands register themselves

    try:
        app(standalone_mode=True)
    except AssayError as error:
        complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        complain("Stopped. What was finished is kept; the same command goes on from there.")
        sys.exit(130)
    except (MemoryError, OSError, RuntimeError) as error:
        complain(_of_machine(error))
        sys.exit(1)


def _of_machine(error: BaseException) -> str:
    """What the machine refused, in one sentence; `ASSAY_DEBUG=1` shows where."""
    if os.environ.get("ASSAY_DEBUG"):
        raise error
    said = str(error).strip().split("\n")[0] or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in said.lower():
        return (
            f"Out of memory ({said}); try a smaller --token-budget, --memory-gb, or --gradient-checkpointing."
        )
    return f"{type(error).__name__}: {said}. Set ASSAY_DEBUG=1 to see where, and please report it."
