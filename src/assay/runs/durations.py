"""Lengths of time and sizes in words, read and said. Knows no clock."""

import re

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, None: 1}


def seconds_of(text: str) -> float:
    """Seconds in "90s", "10m", "1.5h" or "90". Raises ValueError for anything else, and for nothing."""
    found = _LENGTH.fullmatch(text.strip().lower())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"give a length of time such as 90s, 10m or 1h, not {text!r}")
    return seconds


def duration_words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def size_words(size: float) -> str:
    """Bytes in kB, MB or GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
