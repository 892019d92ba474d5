"""What a reply says: its text, the fields of an object, or a label. Pure text.

Reasoning up to a `</think>` is no part of a reply.
"""

import json
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from assay.asking.objects import objects
from assay.crafting.strategy import ReadAs
from assay.data.final_answer import spoken
from assay.errors import AssayError

Value = str | SimpleNamespace
"""A text, or the fields of an object as attributes."""


class UnreadableError(AssayError):
    """A reply that does not say what was asked; the text is a clause."""


def value_of(reply: str, read: ReadAs, names: Sequence[str] = ()) -> Value:
    """The value that a reply stands for; raises `UnreadableError` with the reason."""
    text = spoken(reply).strip()
    if not text:
        raise UnreadableError("the reply is empty")
    if read == "json":
        values = fields(text, names)
        _require_characters(*values.values())
        return SimpleNamespace(**values)
    _require_characters(text)
    return label(text, names) if read == "label" else text


def label(text: str, labels: Sequence[str]) -> str:
    """The label that is said last, as a word of its own and in any case; where two fit, the longer one.

    >>> label("It is not similar, so: Not similar.", ["similar", "not similar"])
    'not similar'
    """
    longest = sorted(labels, key=len, reverse=True)
    choices = "|".join(f"({re.escape(one)})" for one in longest)
    said = list(re.finditer(rf"(?<![A-Za-z0-9])(?:{choices})(?![A-Za-z0-9])", text, re.IGNORECASE))
    if not said:
        raise UnreadableError(f"the reply says none of {', '.join(labels)}")
    return longest[(said[-1].lastindex or 1) - 1]


def fields(text: str, names: Sequence[str]) -> dict[str, str]:
    """The fields of the last JSON object that has them all, wherever it stands (a code fence, a sentence).

    Values that are no text (numbers, lists) are kept as JSON.
    """
    found = [one for one in objects(text) if one.keys() >= set(names)]
    if not found:
        raise UnreadableError(f"the reply holds no JSON object with {_listed(names)}")
    values = {name: _text(found[-1][name]) for name in names}
    empty = [name for name in names if not values[name].strip()]
    if empty:
        raise UnreadableError(f"{empty[0]} is empty")
    return values


def _require_characters(*texts: str) -> None:
    """Half a surrogate pair cannot be written to any file."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise UnreadableError("the reply holds a broken character (half a surrogate pair)") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
