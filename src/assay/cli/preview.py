"""`assay preview`: which tokens of an example are learned, in colour."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from assay.cli.app import app
from assay.cli.console import Terminal, output
from assay.cli.options import LossOn, one_of


@app.command()
def preview(
    file: Annotated[str, typer.Argument(help="A data file.")],
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template: a folder or hub id.")],
    rows: Annotated[int, typer.Option(min=1, help="How many examples.")] = 3,
    loss_on: LossOn = "assistant",
    render: Annotated[str, typer.Option(help="auto, chat or plain.")] = "auto",
    chat_template: Annotated[
        Path | None, typer.Option(help="A Jinja file in place of the tokenizer's.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest example in tokens.")] = None,
    format: Annotated[str | None, typer.Option(help="Data format, where detection errs.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of a table without header, by comma.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt: a column or a template.")] = None,
    completion: Annotated[str | None, typer.Option(help="Completion: a column or a template.")] = None,
    unescape: Annotated[bool, typer.Option(help=r"Turn \n in cells into newlines.")] = False,
    on_bad_rows: Annotated[str, typer.Option(help="error or skip.")] = "error",
) -> None:
    """Show what is learned: learned tokens in green, the rest dim. Nothing is trained."""
    from assay.data.columns import ColumnMapping
    from assay.data.preview import segments
    from assay.data.readers import read_examples
    from assay.data.render import tokenize
    from assay.models.loading import load_tokenizer

    mapping = ColumnMapping.parse(columns, prompt=prompt, completion=completion, unescape=unescape)
    found = read_examples(
        file,
        format=format,
        columns=mapping if columns or prompt else None,
        on_bad_rows=one_of(on_bad_rows, ("error", "skip"), "--on-bad-rows"),  # type: ignore[arg-type]
        limit=rows,
    )
    for note in found.notes:
        Terminal().note(note)
    tokenizer = load_tokenizer([model])
    for example in found.examples:
        tokens = tokenize(
            example,
            tokenizer,
            loss_on=one_of(loss_on, ("assistant", "last", "all"), "--loss-on"),  # type: ignore[arg-type]
            max_length=max_length,
            render=one_of(render, ("auto", "chat", "plain"), "--render"),  # type: ignore[arg-type]
            chat_template=None if chat_template is None else chat_template.read_text(encoding="utf-8"),
        )
        text = Text(f"{example.id} ({example.source})", style="bold")
        text.append(f"  {tokens.completion_tokens} of {len(tokens)} tokens learned\n", style="not bold")
        for segment in segments(tokens, tokenizer):
            style = "dim" if segment.weight == 0 else "green" if segment.weight == 1 else "yellow"
            text.append(segment.text, style=f"not bold {style}")
            if segment.weight not in (0, 1):
                text.append(f" ×{segment.weight:g}", style="not bold italic")
        output.print(text)
        output.print()
