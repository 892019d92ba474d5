"""A finished example from its turns. Knows no steps, no checks and no files."""

from collections.abc import Mapping
from typing import Any

from assay.crafting.reference import Reference
from assay.crafting.strategy import Written
from assay.crafting.templates import FillingError, filled
from assay.data.example import Example, Message


def example_of(one: Written, reference: Reference, names: Mapping[str, Any]) -> Example:
    """The example of a set; raises `FillingError` for a template that cannot be filled in and an empty turn.

    It is rendered as its reference is. Where that joins prompt and completion as they are ("plain"), a line
    break goes between them if neither has white space there and the prompt is not the reference's own; an
    example of more than two turns becomes a chat.
    """
    before = reference.before
    turns = [
        Message(turn.role, filled(turn.text, names), weight=None if turn.learn else 0.0) for turn in one.turns
    ]
    empty = next((turn.role for turn in turns if not turn.content.strip()), None)
    if empty is not None:
        raise FillingError(f"the {empty}'s turn is empty")
    if turns[0].role == "system":
        before = tuple(turn for turn in before if turn.role != "system")
    messages = (*before, *turns)
    rendering = reference.rendering
    if rendering == "plain" and len(messages) > 2:
        rendering = "chat"
    if rendering == "plain" and turns[0].content != reference.query:
        messages = (_parted(turns[0], turns[1]), turns[1])
    return Example(
        id=f"{reference.id}-{one.name}",
        messages=messages,
        source=reference.source,
        task=reference.task,
        pair=reference.id,
        rendering=rendering,
        tools=reference.tools,
        template_kwargs=reference.template_kwargs,
    )


def part_of(example: Example, part: str) -> str:
    """The completion, or the `prompt`: the last user turn before it."""
    if part == "prompt":
        return next(turn.content for turn in reversed(example.messages) if turn.role == "user")
    return example.messages[-1].content


def _parted(prompt: Message, completion: Message) -> Message:
    if prompt.content[-1].isspace() or completion.content[0].isspace():
        return prompt
    return Message(prompt.role, f"{prompt.content}\n", prompt.weight)
