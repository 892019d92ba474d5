"""Where values stand in a JSON text, and a field put into an object as text. Knows no files and no formats.

For texts that are known to be JSON: nothing is checked again.
"""

import json
import re

Span = tuple[int, int]

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")


def array_spans(text: str, start: int) -> list[Span]:
    """The spans of the items of the array whose bracket opens at `start`."""
    spans: list[Span] = []
    at = _after_blank(text, start + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        spans.append((at, end))
        at = _after_blank(text, end)
        if text[at] == ",":
            at = _after_blank(text, at + 1)
    return spans


def field_spans(text: str, start: int) -> dict[str, Span]:
    """The spans of the values of the object whose brace opens at `start`; of equal names the last counts."""
    spans: dict[str, Span] = {}
    at = _after_blank(text, start + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        at = _after_blank(text, _after_blank(text, end) + 1)
        _, end = _DECODER.raw_decode(text, at)
        spans[name] = (at, end)
        at = _after_blank(text, end)
        if text[at] == ",":
            at = _after_blank(text, at + 1)
    return spans


def first_value(text: str) -> int:
    """Where the value of a text begins."""
    return _after_blank(text, 0)


def with_field(text: str, name: str, value: float) -> str:
    """An object's text with one more field at its end; all else stands as it stood."""
    body = text.rstrip()[:-1].rstrip()
    end = text[len(body) :]
    blank = text[first_value(text) + 1 : _after_blank(text, first_value(text) + 1)]
    comma = "" if body.endswith("{") else "," + (blank or " ")
    return f"{body}{comma}{json.dumps(name, ensure_ascii=False)}: {json.dumps(value)}{end}"


def _after_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()
