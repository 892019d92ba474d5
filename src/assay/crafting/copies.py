"""How much of one text stands in another, by runs of words; in scripts with spaces and without. Pure text."""

import re
import unicodedata
from collections.abc import Sequence

ALONE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han and kana
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\U00020000-\U0003ffff"
)
UNIT = re.compile(rf"[{ALONE}]|[^\W{ALONE}]+")

WORDS, CHARACTERS = 3, 6
"""Length of a shingle in words, and where most units are characters."""

SHORT = 8
"""Texts with fewer units are copies only where they are equal."""


def units(text: str) -> list[str]:
    """Words without case and punctuation; characters by themselves in scripts that put no spaces.

    >>> units("Hello, 世界 42!")
    ['hello', '世', '界', '42']
    """
    return UNIT.findall(unicodedata.normalize("NFKC", text).casefold())


def by_characters(parts: Sequence[str]) -> bool:
    """Whether most units are characters of a script without spaces."""
    return 2 * sum(len(part) == 1 and re.match(f"[{ALONE}]", part) is not None for part in parts) > len(parts)


def likeness(text: str, other: str) -> float:
    """Jaccard index |A ∩ B| / |A ∪ B| of the sets of shingles: 1 for equal texts, 0 for nothing in common.

    A shingle is a run of 3 words or 6 characters (Broder 1997). Of a text shorter than 8 units only equality
    counts.
    """
    ours, theirs = units(text), units(other)
    if ours == theirs:
        return 1.0
    if min(len(ours), len(theirs)) < SHORT:
        return 0.0
    size = CHARACTERS if by_characters(theirs) else WORDS
    a, b = shingles(ours, size), shingles(theirs, size)
    return len(a & b) / len(a | b)


def shingles(parts: Sequence[str], size: int) -> set[tuple[str, ...]]:
    """Every run of `size` units."""
    return {tuple(parts[start : start + size]) for start in range(len(parts) - size + 1)}
