"""Values of a record, checked: text, turns, tool calls, loss weights. Knows nothing of whole formats.

Whatever cannot be used raises `RowError`, whose text is a reason for a person and names the field.
A field that holds None counts as absent, because Parquet and Arrow fill absent fields with None.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.data.example import Message, Role

Record = Mapping[str, Any]

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "ipython": "tool",
}
CALL_ROLES = frozenset({"function_call", "tool_call"})
WEIGHT_KEYS = ("loss_weight", "weight", "loss_scale", "loss", "train", "training")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")

RESERVED = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "self",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)
"""Arguments of `apply_chat_template` that data may not set."""


class RowError(Exception):
    """Why a record cannot be used; the reader adds the file and the row."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The names under which turns stand in a record; LLaMA-Factory's `tags` rename them."""

    role: str = "from"
    content: str = "value"
    roles: Mapping[str, Role] = field(default_factory=lambda: ROLES)
    calls: frozenset[str] = CALL_ROLES


OPENAI = Tags(role="role", content="content")


def present(record: Record, *keys: str) -> bool:
    return all(record.get(key) is not None for key in keys)


def is_objects(value: Any, *keys: str) -> bool:
    """Whether `value` is a list (or JSON text of one) whose first item is an object that has `keys`."""
    items = listed(value)
    return bool(items) and isinstance(items[0], Mapping) and all(key in items[0] for key in keys)


def is_turns(value: Any, key: str = "role") -> bool:
    """Whether `value` is a list, or JSON text of turns that have `key`; other bracketed text is just text."""
    return isinstance(value, (list, tuple)) or is_objects(value, key)


def listed(value: Any) -> Sequence[Any]:
    """A list as it is, JSON text of a list parsed (tables hold lists so), anything else as ()."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed_json(value)
    return value if isinstance(value, (list, tuple)) else ()


def parsed_json(text: str) -> Any:
    """The JSON value of a text, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def text(record: Record, key: str) -> str:
    """A field that must be text and may be empty."""
    if record.get(key) is None:
        raise RowError(f"field '{key}' is missing; the row has {', '.join(map(str, record)) or 'no fields'}")
    return checked_text(record[key], f"field '{key}'")


def filled(record: Record, key: str) -> str:
    """A field that must hold more than white space."""
    value = text(record, key)
    if not value.strip():
        raise RowError(f"field '{key}' is empty")
    return value


def optional(record: Record, key: str | None) -> str:
    """A field that may be absent, then it is empty."""
    return "" if key is None or record.get(key) is None else text(record, key)


def checked_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"{where} should be text but is {_kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(f"{where} holds half a character (a lone surrogate) at {error.start + 1}") from error
    return value


def label(record: Record, key: str) -> str | None:
    """An id, task or pair label: text or a whole number; None where absent or blank."""
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if value is None else checked_text(value, f"field '{key}'").strip() or None


def turns(record: Record, key: str, tags: Tags) -> tuple[Message, ...]:
    """The list of turns under `key`."""
    return turn_list(record.get(key), f"field '{key}'", tags)


def turn_list(value: Any, where: str, tags: Tags) -> tuple[Message, ...]:
    items = listed(value)
    if not items:
        raise RowError(f"{where} should be a list of turns but is {_kind(value)}")
    return tuple(turn(item, f"{where}, turn {number}", tags) for number, item in enumerate(items, start=1))


def turn(item: Any, where: str, tags: Tags) -> Message:
    """One turn; content may be text, or a list of parts as in OpenAI's and LLaMA-Factory's v1 formats."""
    if not isinstance(item, Mapping):
        raise RowError(f"{where} should be an object but is {_kind(item)}")
    name = checked_text(item.get(tags.role), f"{where}, '{tags.role}'")
    content, reasoning, calls = _parts(item.get(tags.content), where)
    weight = _weight(item, where)
    if name in tags.calls:
        return Message("assistant", "", weight, tool_calls(content, where), reasoning or None)
    if name not in tags.roles:
        raise RowError(f"{where} has the unknown role {name!r}; known are {', '.join(sorted(tags.roles))}")
    calls += tool_calls(item.get("tool_calls"), where)
    given = [item[key] for key in REASONING_KEYS if item.get(key) is not None]
    if given:
        reasoning += checked_text(given[0], f"{where}, reasoning")
    return Message(tags.roles[name], content, weight, calls, reasoning or None)


def _parts(value: Any, where: str) -> tuple[str, str, tuple[Mapping[str, Any], ...]]:
    """Text, reasoning and tool calls of a turn's content."""
    if value is None:
        return "", "", ()
    if not isinstance(value, (list, tuple)):
        return checked_text(value, f"{where}, content"), "", ()
    content, reasoning = "", ""
    calls: tuple[Mapping[str, Any], ...] = ()
    for part in value:
        kind = part.get("type") if isinstance(part, Mapping) else None
        body = (
            next((part[key] for key in ("value", "text", kind) if part.get(key) is not None), None)
            if kind
            else None
        )
        if kind == "text":
            content += checked_text(body, f"{where}, text part")
        elif kind in ("reasoning", "thinking"):
            reasoning += checked_text(body, f"{where}, reasoning part")
        elif kind in ("tool_call", "tool_calls"):
            calls += tool_calls(body, where)
        else:
            raise RowError(
                f"{where} holds a part of kind {kind!r}; only text, reasoning and tool calls are read"
            )
    return content, reasoning, calls


def tool_calls(value: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    """Calls as a list, an object or JSON text, in OpenAI's shape {type, function: {name, arguments}}."""
    calls = []
    for call in _objects(value, f"{where}, tool call"):
        function = call["function"] if isinstance(call.get("function"), Mapping) else call
        name = checked_text(function.get("name"), f"{where}, tool call's 'name'")
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            arguments = _without_none(arguments)
        elif not isinstance(arguments, str):
            raise RowError(f"{where}, tool call {name!r} has no 'arguments' object")
        rest = {key: item for key, item in call.items() if key == "id" and isinstance(item, str)}
        calls.append({**rest, "type": "function", "function": {"name": name, "arguments": arguments}})
    return tuple(calls)


def tools(record: Record, key: str | None = "tools") -> tuple[Mapping[str, Any], ...]:
    """Tool descriptions as a list, an object or JSON text; bare functions are wrapped in OpenAI's shape."""
    if key is None:
        return ()
    return tuple(
        tool if "function" in tool or "name" not in tool else {"type": "function", "function": tool}
        for tool in _objects(record.get(key), f"field '{key}'")
    )


def _objects(value: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    if isinstance(value, str) and value.strip():
        parsed = parsed_json(value)
        if parsed is None and value.strip() != "null":
            raise RowError(f"{where} is not JSON: {value.strip()[:60]!r}")
        value = parsed
    if value is None or isinstance(value, str):
        return ()
    items = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, Mapping) for item in items):
        raise RowError(f"{where} should be an object or a list of objects but is {_kind(value)}")
    cleaned = tuple(_without_none(item) for item in items)
    try:
        json.dumps(cleaned, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"{where} holds a value that JSON text cannot ({error})") from error
    return cleaned


def _without_none(value: Any) -> Any:
    """Objects without their None fields, at every depth: Arrow adds them to unite the rows' types."""
    if isinstance(value, Mapping):
        return {str(key): _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, (list, tuple)) else value


def _weight(item: Record, where: str) -> float | None:
    for key in WEIGHT_KEYS:
        value = item.get(key)
        if value is None:
            continue
        if not isinstance(value, (bool, int, float)) or not math.isfinite(value) or value < 0:
            raise RowError(f"{where} has {key} = {value!r}; it must be true, false or a number of at least 0")
        return float(value)
    return None


def template_kwargs(record: Record) -> Mapping[str, Any]:
    """`chat_template_kwargs`; names that would replace the template or its input are refused."""
    value = record.get("chat_template_kwargs")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError(f"field 'chat_template_kwargs' should be an object but is {_kind(value)}")
    refused = sorted(str(key) for key in value if not isinstance(key, str) or key in RESERVED)
    if refused:
        raise RowError(f"field 'chat_template_kwargs' may not set {', '.join(refused)}")
    return {key: item for key, item in value.items() if item is not None}


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float) and math.isnan(value):
        return "NaN (an empty cell?)"
    names = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)
