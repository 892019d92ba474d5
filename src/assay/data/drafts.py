"""Parts that formats share: what a record says before it has a place, and turns in the usual shapes.

Knows single fields and turns, not the table of formats.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from assay.data.columns import ColumnMapping
from assay.data.example import Message, Rendering
from assay.data.fields import Record, RowError, Tags, listed, optional, template_kwargs, text, tools

Response = Literal["chosen", "rejected"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a reader may be told: which response of a pair, names of turns, a column mapping."""

    response: Response = "chosen"
    tags: Tags = field(default_factory=Tags)
    columns: ColumnMapping = field(default_factory=ColumnMapping)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a record says, before it has an id, labels and a place."""

    messages: tuple[Message, ...] = ()
    rendering: Rendering = "chat"
    tools: tuple[Mapping[str, Any], ...] = ()
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    input_ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()


def user_turn(content: str) -> Message:
    return Message("user", content)


def assistant_turn(content: str) -> Message:
    return Message("assistant", content)


def system_turns(content: str) -> tuple[Message, ...]:
    return (Message("system", content),) if content else ()


def history_turns(record: Record, key: str = "history") -> tuple[Message, ...]:
    """Earlier exchanges as a list of (user, assistant) pairs."""
    messages: list[Message] = []
    for number, pair in enumerate(listed(record.get(key)), start=1):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise RowError(f"field '{key}', entry {number} should be a pair of user and assistant texts")
        cells = {"user": pair[0], "assistant": pair[1]}
        messages += [user_turn(text(cells, "user")), assistant_turn(text(cells, "assistant"))]
    return tuple(messages)


def unlearned(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Turns of a given prompt: its assistant turns are not learned."""
    return tuple(
        replace(message, weight=0.0) if message.role == "assistant" else message for message in messages
    )


def conversation(record: Record, messages: tuple[Message, ...], system: str = "") -> Draft:
    """Turns with the record's tools and template arguments, and `system` before them if they have none."""
    if system and messages[0].role != "system":
        messages = system_turns(system) + messages
    return Draft(messages, tools=tools(record), template_kwargs=template_kwargs(record))


def instruction(record: Record) -> str:
    """Alpaca's question: the instruction, and the input on the next line where there is one."""
    asked, given = optional(record, "instruction"), optional(record, "input")
    if not (asked + given).strip():
        raise RowError("fields 'instruction' and 'input' are both empty")
    return f"{asked}\n{given}" if asked and given else asked or given


def checked(draft: Draft) -> Draft:
    """The draft if its last turn is a completion that holds something; raises `RowError` otherwise."""
    if draft.rendering == "tokens":
        return draft
    roles = [message.role for message in draft.messages]
    if "assistant" not in roles:
        raise RowError("there is no assistant turn, so there is nothing to learn")
    last = draft.messages[-1]
    if last.role != "assistant":
        raise RowError(f"the last turn is by the {last.role}; an example ends with an assistant turn")
    if not last.content.strip() and not last.tool_calls:
        raise RowError("the completion is empty")
    return draft
