"""The body of a chat completion, read strictly: a reply, or why it is none. Knows no client."""

import json
from typing import Any

from assay.asking.request import Reply

SHOWN = 60
"""Characters shown of a body that cannot be read."""


def read_completion(body: bytes) -> Reply | str:
    """The reply in a body of the chat completions API, or a clause that says what is wrong with the body.

    A refusal that stands apart is the reply's text. A model may say nothing, so empty text is a reply; no
    text at all is one only where the model was cut off before it said anything.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return f"the reply is not JSON, it begins {_beginning(body)}"
    if not isinstance(answer, dict):
        return f"the reply is no JSON object, it begins {_beginning(body)}"
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        said = error_message(answer)
        return f"the reply has no choices: {said}" if said else "the reply has no choices"
    message, finish = choices[0].get("message"), choices[0].get("finish_reason")
    if not isinstance(message, dict):
        return "the reply has a choice without a message"
    text = message.get("refusal") if message.get("content") is None else message["content"]
    if text is None and finish == "length":
        text = ""
    if text is None:
        why = f" (finish_reason {finish})" if isinstance(finish, str) else ""
        return f"the reply has no content{why}"
    if not isinstance(text, str):
        return "the reply's content is not text"
    if half_a_character(text):
        return "the reply holds half a character (a lone surrogate)"
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text,
        cut_off=finish in ("length", "content_filter"),
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def error_message(body: Any) -> str:
    """What a server says in the body of an error, one line; empty where it says nothing."""
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            return error_message(body[key])
    if isinstance(body, list) and body:
        return error_message(body[0])
    if isinstance(body, dict):
        body = body.get("msg", "")
    return " ".join(body.split())[:300].rstrip(".") if isinstance(body, str) else ""


def half_a_character(text: str) -> bool:
    """Whether a lone surrogate stands in a text, which no file in UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _beginning(body: bytes) -> str:
    text = " ".join(body[:400].decode(errors="replace").split())
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…") if text else "with nothing"
