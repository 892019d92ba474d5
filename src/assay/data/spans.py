"""Where each turn stands in a conversation written out by a chat template. Knows no tokens and no weights.

Two ways, the second where the first does not apply:

- *Prefixes*: the turns before, followed by the generation prompt, are a beginning of the whole, and so are
  the turns up to and with this one; the turn is what lies between.
- *Contrast*: some templates write earlier turns otherwise once later ones follow (Qwen3 drops their
  reasoning, gpt-oss ends them differently), so that no prefix fits. Then the turn's words are replaced by two
  markers that differ in their first and last letter: what changes in the whole is the turn.

A turn begins where the model would begin to write, after the generation prompt, and ends with its end-of-turn
token; white space that a template writes after that token is not part of it.
"""

import json
from collections.abc import Mapping
from typing import Any

from assay.data.chat import Chat, TemplateError, Turn
from assay.data.example import Example
from assay.data.texts import common_prefix, common_suffix

MARKERS = ("Zq1X", "Kw7J")
SHORTEST_HEADER = 3
"""Fewer characters of a generation prompt than this are not taken for one."""

Span = tuple[int, int]


def turn_span(chat: Chat, index: int) -> Span:
    """Characters [start, end) of `chat.full` that turn `index` adds when its author writes it.

    Raises `TemplateError` where they cannot be told.
    """
    is_assistant = chat.turns[index]["role"] == "assistant"
    found = _by_prefixes(chat, index, prompt=is_assistant)
    start, end = found if found is not None else _by_contrast(chat, index, header=is_assistant)
    if start >= end:
        raise TemplateError(f"turn {index + 1} does not appear in what the chat template writes")
    return start, _without_trailing_space(chat, start, end)


def appears(chat: Chat, index: int) -> bool:
    """Whether the words and tool calls of turn `index` have a part in what the template writes."""
    calls = chat.turns[index].get("tool_calls", ())
    if not all(call["function"]["name"] in chat.full for call in calls):
        return False
    if _shows(chat.full, chat.turns[index]["content"]):
        return True
    return chat.attempt(_with_marker(chat, chat.turns, index, MARKERS[0])) != chat.full


def left_out(chat: Chat, example: Example) -> tuple[str, ...]:
    """What the example has and the template leaves out, as words for a person."""
    tools = [str(tool.get("function", tool).get("name", "")) for tool in example.tools]
    calls = [call["function"]["name"] for message in example.messages for call in message.tool_calls]
    reasoning = [message.reasoning for message in example.messages if message.reasoning]
    missing = {
        "tools": not all(name in chat.full for name in tools),
        "tool calls": not all(name in chat.full for name in calls),
        "reasoning": not all(_shows(chat.full, words) for words in reasoning),
        "turns": not all(appears(chat, index) for index in range(len(chat.turns))),
    }
    return tuple(what for what, is_missing in missing.items() if is_missing)


def _shows(written: str, words: str) -> bool:
    """Whether the last line of `words` stands in what was written; templates may trim and cut before it."""
    return not words.strip() or words.strip().splitlines()[-1].strip() in written


def _by_prefixes(chat: Chat, index: int, *, prompt: bool) -> Span | None:
    before = chat.attempt(chat.turns[:index], prompt=prompt)
    upto = chat.full if index + 1 == len(chat.turns) else chat.attempt(chat.turns[: index + 1])
    if before is None or upto is None or not chat.full.startswith(before) or not chat.full.startswith(upto):
        return None
    if not _shows(upto[len(before) :], chat.turns[index]["content"]):
        return None
    if prompt and not chat.generation_prompt:
        return _changed(chat, chat.turns, index)[0], len(upto)
    return len(before), len(upto)


def _by_contrast(chat: Chat, index: int, *, header: bool) -> Span:
    start, end = _changed(chat, chat.turns, index)
    if header:
        start = _after_header(chat, _end_of_words(chat, index - 1), start)
    return start, end + len(_closing(chat, index, end))


def _changed(chat: Chat, turns: tuple[Turn, ...], index: int) -> Span:
    """The characters of the written `turns` that change when the words of turn `index` change."""
    whole = chat.full if turns is chat.turns else chat.text(turns)
    others = [chat.text(_with_marker(chat, turns, index, marker)) for marker in MARKERS]
    if whole in others or others[0] == others[1]:
        raise TemplateError(f"turn {index + 1} does not appear in what the chat template writes")
    start = min(common_prefix(whole, other) for other in others)
    same_end = min(common_suffix(whole, other) for other in others)
    return start, max(start, len(whole) - same_end)


def _with_marker(chat: Chat, turns: tuple[Turn, ...], index: int, marker: str) -> tuple[Turn, ...]:
    turn = turns[index]
    marked: dict[str, Any] = {"role": turn["role"], "content": marker}
    if turn.get("tool_calls"):
        marked["tool_calls"] = [_marked_call(call, marker) for call in turn["tool_calls"]]
    replaced = (*turns[:index], marked, *turns[index + 1 :])
    if "tool_calls" in marked and chat.attempt(replaced) is None:
        marked["content"] = turn["content"]
    return replaced


def _marked_call(call: Mapping[str, Any], marker: str) -> Mapping[str, Any]:
    arguments: Any = {marker: marker}
    if isinstance(call["function"]["arguments"], str):
        arguments = json.dumps(arguments)
    return {**call, "function": {"name": marker, "arguments": arguments}}


def _end_of_words(chat: Chat, index: int) -> int:
    """Where the words of turn `index` end; 0 where there is no such turn or its words are not written."""
    if index < 0:
        return 0
    try:
        return _changed(chat, chat.turns, index)[1]
    except TemplateError:
        return 0


def _after_header(chat: Chat, low: int, words: int) -> int:
    """The place behind as much of the generation prompt as stands between `low` and the turn's words."""
    between, header = chat.full[low:words], chat.generation_prompt
    for length in range(len(header), SHORTEST_HEADER - 1, -1):
        found = between.rfind(header[:length])
        if found >= 0:
            return low + found + length
    return words


def _closing(chat: Chat, index: int, end: int) -> str:
    """What the template writes behind a turn's words to end it, as far as it stands in the whole."""
    turns = chat.turns[: index + 1]
    alone = chat.attempt(turns)
    if alone is None:
        return ""
    usual = alone[_changed(chat, turns, index)[1] :]
    behind = chat.full[end:]
    shared = behind[: common_prefix(behind, usual)]
    if shared == usual:
        return usual
    ends = [shared.rfind(token) + len(token) for token in chat.control_tokens if token in shared]
    if ends:
        return shared[: max(ends)]
    spaces = len(behind) - len(behind.lstrip())
    token = next((token for token in chat.control_tokens if behind.startswith(token, spaces)), None)
    return shared if token is None else behind[: spaces + len(token)]


def _without_trailing_space(chat: Chat, start: int, end: int) -> int:
    body = chat.full[start:end].rstrip()
    return start + len(body) if body.endswith(chat.control_tokens) else end
