"""JSON objects wherever they stand in a reply: a code fence, a sentence, behind a draft. Pure text."""

import json
from typing import Any


def objects(text: str) -> list[dict[str, Any]]:
    """Every outermost JSON object; line breaks within its strings are forgiven."""
    decoder = json.JSONDecoder(strict=False)
    found: list[dict[str, Any]] = []
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place = text.find("{", place + 1)
            continue
        found.append(value)
        place = text.find("{", end)
    return found
