"""Pairs of a chosen and a rejected response, with or without a prompt, as preference trainers read them.

Only the response is learned. Knows no other formats and no loss of preference training.
"""

from collections.abc import Mapping
from typing import Any

from assay.data.drafts import (
    Draft,
    Options,
    Response,
    assistant_turn,
    conversation,
    history_turns,
    instruction,
    unlearned,
    user_turn,
)
from assay.data.example import Message
from assay.data.fields import (
    OPENAI,
    Record,
    Tags,
    filled,
    is_objects,
    is_turns,
    optional,
    present,
    text,
    turn,
    turn_list,
    turns,
)
from assay.data.texts import common_prefix


def read_preference(record: Record, options: Options) -> list[Draft]:
    """The chosen or the rejected response after its prompt; only the response is learned."""
    wanted, other = (record.get(key) for key in (options.response, _other(options.response)))
    answer, rival = _response(wanted, options), _response(other, options)
    prompt = _preference_prompt(record, options)
    if prompt is None and isinstance(wanted, str) and isinstance(other, str):
        shared = _shared_text(wanted, other)
        return [Draft((user_turn(wanted[:shared]), assistant_turn(wanted[shared:])), "plain")]
    if isinstance(wanted, str) and isinstance(record.get("prompt"), str):
        return [Draft((*(prompt or ()), *answer), "plain")]
    if prompt is None or answer[0].role != "assistant":
        shared = _shared_turns(answer, rival)
        given, answer = answer[:shared], answer[shared:]
        has_system = bool(given) and given[0].role == "system"
        prompt = (*(m for m in prompt or () if m.role == "system" and not has_system), *given)
    return [conversation(record, (*unlearned(prompt), *answer), optional(record, "system"))]


def _other(response: Response) -> Response:
    return "rejected" if response == "chosen" else "chosen"


def _response(value: Any, options: Options) -> tuple[Message, ...]:
    if isinstance(value, Mapping):
        return (turn(value, "the response", options.tags if options.tags.role in value else OPENAI),)
    if is_turns(value) or is_turns(value, options.tags.role):
        return turn_list(value, "the response", _tags(value, options))
    return (assistant_turn(filled({"response": value}, "response")),)


def _preference_prompt(record: Record, options: Options) -> tuple[Message, ...] | None:
    for key in ("prompt", "messages", "conversations"):
        value = record.get(key)
        if is_turns(value) or is_turns(value, options.tags.role):
            return turns(record, key, _tags(value, options))
    if present(record, "instruction"):
        return (*history_turns(record), user_turn(instruction(record)))
    given = next((key for key in ("prompt", "query", "question") if present(record, key)), None)
    return None if given is None else (*history_turns(record), user_turn(text(record, given)))


def _tags(value: Any, options: Options) -> Tags:
    """ShareGPT's names of fields where the turns have them, else OpenAI's."""
    return options.tags if is_objects(value, options.tags.role) else OPENAI


def _shared_text(ours: str, theirs: str) -> int:
    """Length of the common beginning, back to the last white space, so that no word is split."""
    same = common_prefix(ours, theirs)
    while same and not ours[same - 1].isspace():
        same -= 1
    return same


def _shared_turns(ours: tuple[Message, ...], theirs: tuple[Message, ...]) -> int:
    """How many turns both begin with; the last turn is always the response."""
    return min(common_prefix(ours, theirs), len(ours) - 1)
