"""`assay preview`: which tokens of an example are learned, in colour."""

from typing import Annotated, Any

import typer
from rich.text import Text

from assay.cli.console import Terminal, output, printable
from assay.cli.options import (
    ChatTemplate,
    Columns,
    Completion,
    Format,
    LossOn,
    MaxLength,
    OnBadRows,
    Prompt,
    Render,
    Unescape,
    given_options,
)


def preview(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A data file.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Whose tokenizer and chat template: a folder or hub id.")
    ],
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="How many examples.")] = 3,
    format: Format = None,
    columns: Columns = None,
    prompt: Prompt = None,
    completion: Completion = None,
    unescape: Unescape = None,
    on_bad_rows: OnBadRows = None,
    loss_on: LossOn = None,
    render: Render = None,
    chat_template: ChatTemplate = None,
    max_length: MaxLength = None,
) -> None:
    """Show which tokens are learned; nothing is trained.

    Learned tokens are green, those with a weight of their own yellow, the rest
    dim. Without colours (in a pipe) learned stretches stand in ⟦ ⟧.
    """
    given = given_options(locals())
    for name in ("file", "model", "rows"):
        del given[name]
    from assay.models.loading import load_tokenizer
    from assay.runs.preview import preview as shown

    for one in shown(file, load_tokenizer([model]), rows, given, Terminal()):
        text = Text(printable(f"{one.example.id} ({one.example.source})"), style="bold")
        text.append(f"  {one.learned} of {one.length} tokens learned\n", style="not bold")
        for segment in one.segments:
            _append(text, segment)
        output.print(text, soft_wrap=True)
        output.print()


def _append(text: Text, segment: Any) -> None:
    learned, own = segment.weight != 0, segment.weight not in (0, 1)
    style = "yellow" if own else "green" if learned else "dim"
    words = printable(segment.text)
    if learned and output.color_system is None:
        words = f"⟦{words}⟧"
    text.append(words, style=f"not bold {style}")
    if own:
        text.append(f" ×{segment.weight:g}", style="not bold italic")
