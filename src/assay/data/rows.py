"""What a row of a file is before anyone asks what it means: a record, or why it could not be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

BROKEN_JSON = (ValueError, RecursionError)
"""What the JSON parser raises for text that is no JSON."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read: why, and what stood there as far as it can be shown as text."""

    reason: str
    text: str


Row = tuple[int, Record | BadRow]


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
