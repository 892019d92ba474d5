"""A reference: a plain example as a strategy sees it, cut into its query and its response.

Knows no strategy and no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.data.answers import reference_text
from assay.data.columns import unescaped
from assay.data.example import Example, Message, Rendering, Source
from assay.errors import DataError


@dataclass(frozen=True, slots=True)
class Reference:
    """`query` is the last user turn, `before` what stands before it (a system prompt, a conversation).

    `columns` holds the cells of the row that are texts or numbers, as text.
    """

    id: str
    task: str | None
    query: str
    response: str
    source: Source
    before: tuple[Message, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    rendering: Rendering = "chat"
    tools: tuple[Mapping[str, Any], ...] = ()
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def earlier(self) -> str:
        """The conversation before the query as text, without system turns; empty where there is none."""
        turns = (turn for turn in self.before if turn.role != "system")
        return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def reference_of(example: Example, *, unescape: bool = False) -> Reference:
    """The reference that an example is; `unescape` makes newlines of `\\n` in its columns.

    Raises `DataError` for ready tokens, for an example without a user turn right before its last turn, and
    for a response that is no text.
    """
    if example.rendering == "tokens":
        raise DataError(
            f"{example.source}: {example.id} is ready tokens; a strategy needs text, so give the rows before "
            "they were tokenized."
        )
    turns = example.messages
    if len(turns) < 2 or turns[-2].role != "user" or not turns[-2].content.strip():
        raise DataError(
            f"{example.source}: {example.id} has no user turn before its last turn; a strategy needs a query "
            "and a response."
        )
    if turns[-1].tool_calls or not turns[-1].content.strip():
        raise DataError(
            f"{example.source}: {example.id} ends in a tool call or without words; a strategy needs a "
            "response that is text."
        )
    cells = {name: _cell(value) for name, value in example.record.items()}
    return Reference(
        id=example.id,
        task=example.task,
        query=turns[-2].content,
        response=reference_text(example),
        source=example.source,
        before=turns[:-2],
        columns={
            name: unescaped(cell) if unescape else cell for name, cell in cells.items() if cell is not None
        },
        rendering=example.rendering,
        tools=example.tools,
        template_kwargs=example.template_kwargs,
        record=example.record,
    )


def of_sibling(reference: Reference, sibling: Example) -> Reference:
    """The sibling in the reference's place: its query and response under the reference's id and task.

    It has no columns, since those tell of the reference.
    """
    own = reference_of(sibling)
    return Reference(
        id=reference.id,
        task=reference.task,
        query=own.query,
        response=own.response,
        source=reference.source,
        before=own.before,
        rendering=own.rendering,
        tools=own.tools,
        template_kwargs=own.template_kwargs,
        record=reference.record,
    )


def _cell(value: Any) -> str | None:
    """Text and numbers; None for what is neither, or empty."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None
