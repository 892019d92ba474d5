"""An example as text for reading, and keys by which equal contents are found.

Knows no files and no tokenizers.
"""

import json
from collections.abc import Sequence
from typing import Any

from assay.data.example import Example, Message
from assay.fingerprint import digest


def prompt_text(example: Example) -> str:
    """Everything before the completion: the words of a single turn, or several turns under their roles."""
    earlier = example.messages[:-1]
    if len(earlier) == 1:
        return said(earlier[0])
    return "\n\n".join(f"{message.role}: {said(message)}" for message in earlier)


def completion_text(example: Example) -> str:
    """The last assistant turn: reasoning, words and tool calls as far as it has them."""
    return said(example.messages[-1]) if example.messages else ""


def content_key(example: Example) -> str:
    """Digest of prompt and completion with white space folded; equal for examples of equal content.

    Roles and the way a prompt is cut into turns count, loss weights do not.
    """
    if example.rendering == "tokens":
        return digest("tokens", _json(example.input_ids), _json(_learned(example)))
    return digest("content", *_turns(example.messages[:-1]), "completion", folded(completion_text(example)))


def prompt_key(example: Example) -> str:
    """Digest of the prompt alone with white space folded; of a single user turn, its words only."""
    if example.rendering == "tokens":
        start = next((place for place, flag in enumerate(_learned(example)) if flag), len(example.input_ids))
        return digest("tokens", _json(example.input_ids[:start]))
    return digest("prompt", *_turns(example.messages[:-1]))


def folded(text: str) -> str:
    """Text with every run of white space as one space and none at the ends."""
    return " ".join(text.split())


def common_prefix(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """Length of the common beginning."""
    shorter = min(len(ours), len(theirs))
    if ours[:shorter] == theirs[:shorter]:
        return shorter
    return next(place for place in range(shorter) if ours[place] != theirs[place])


def common_suffix(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    """Length of the common end."""
    return common_prefix(ours[::-1], theirs[::-1])


def counted(number: int, noun: str) -> str:
    """As in: 1 row, 2 rows, 1,200 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def content_hash(example: Example) -> str:
    """Digest of messages, weights, tools and ready tokens; not of task, pair or place."""
    messages = [
        [m.role, m.content, m.weight, [dict(call) for call in m.tool_calls], m.reasoning]
        for m in example.messages
    ]
    tools = [dict(tool) for tool in example.tools]
    return digest(_json([messages, tools, example.rendering, example.input_ids, example.labels]))


def said(message: Message) -> str:
    """A turn's reasoning, words and tool calls as text."""
    calls = (
        json.dumps(call.get("function", call), ensure_ascii=False, default=str) for call in message.tool_calls
    )
    return "\n".join(part for part in (message.reasoning, message.content, *calls) if part)


def _turns(messages: tuple[Message, ...]) -> list[str]:
    return [part for message in messages for part in (message.role, folded(said(message)))]


def _learned(example: Example) -> list[bool]:
    return [wanted >= 0 for wanted in example.labels]


def _json(value: Any) -> str:
    """JSON in ASCII, so that any text has a digest."""
    return json.dumps(value, sort_keys=True, default=str)
