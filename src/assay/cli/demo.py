"""`assay demo`: the whole job on the embedded world, in minutes, without a network."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.console import Terminal
from assay.cli.study import show


def demo(
    out: Annotated[Path, typer.Option(help="Where data, checkpoints and study go.")] = Path("demo"),
    max_steps: Annotated[int | None, typer.Option(min=8, help="Shorten the fine-tuning run.")] = None,
) -> None:
    """Fine-tune a tiny model on synthetic tasks and study five data strategies on it."""
    from assay.runs.demo import run_demo

    show(run_demo(out, progress=Terminal(), max_steps=max_steps), out / "study")
