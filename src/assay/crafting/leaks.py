"""Whether a text holds a long run of words of evaluation text. Keeps hashes alone, not the text.

A run that several different evaluation examples share (an instruction that a whole task begins with) is no
evidence, nor is one that the reference had already.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, UInt64

from assay.crafting.copies import by_characters, units
from assay.data.example import Example
from assay.data.texts import completion_text

WORDS, CHARACTERS = 8, 16
"""Length of a run in words, and in characters of scripts without spaces."""

LEAST_WORDS, LEAST_CHARACTERS = 4, 8
"""A shorter evaluation query is looked for whole, down to this length."""

COMMON = 3
"""A run in so many different evaluation examples belongs to none of them."""

BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class LeakIndex:
    """Hashes of runs, sorted, by the number of units in a run."""

    runs: dict[int, UInt64[np.ndarray, "r"]]

    def leak(self, text: str, allowed: Iterable[str] = ()) -> str | None:
        """The reason, where `text` holds a run of evaluation text that none of `allowed` holds.

        As in: "it repeats evaluation text: \"…\"", which quotes the run.
        """
        parts = units(text)
        others: list[list[str]] | None = None
        for size, index in sorted(self.runs.items(), reverse=True):
            found = hashes(parts, size)
            held = _among(found, index)
            if not held.any():
                continue
            others = [units(one) for one in allowed] if others is None else others
            for other in others:
                held &= ~_among(found, np.sort(hashes(other, size)))
            if held.any():
                start = int(np.argmax(held))
                return f'it repeats evaluation text: "{_quoted(parts[start : start + size])}"'
        return None


def leak_index(examples: Iterable[Example]) -> LeakIndex:
    """Runs of 8 words (16 characters where a text has no spaces) of every last query and completion.

    A query shorter than that counts as a whole from 4 words (8 characters) on.
    """
    seen: set[bytes] = set()
    found: dict[int, list[UInt64[np.ndarray, "r"]]] = {}
    for example in examples:
        query, response = _parts(example)
        key = hashlib.sha256("\n".join([*query, "", *response]).encode()).digest()[:12]
        if key in seen:
            continue
        seen.add(key)
        own: dict[int, list[UInt64[np.ndarray, "r"]]] = {}
        for size, run in _runs(query, response):
            own.setdefault(size, []).append(run)
        for size, arrays in own.items():
            found.setdefault(size, []).append(np.unique(np.concatenate(arrays)))
    return LeakIndex({size: _rare(np.concatenate(arrays)) for size, arrays in found.items()})


def hashes(parts: Sequence[str], size: int) -> UInt64[np.ndarray, "r"]:
    """A hash of every run of `size` units: Σ_i h(u_i) · BASE^i modulo 2⁶⁴."""
    if len(parts) < size:
        return np.zeros(0, dtype=np.uint64)
    each = np.array([_unit(part) for part in parts], dtype=np.uint64)
    total = np.zeros(len(parts) - size + 1, dtype=np.uint64)
    for place in range(size):
        total = total * BASE + each[place : place + len(total)]
    return total


def _runs(query: list[str], response: list[str]) -> Iterator[tuple[int, UInt64[np.ndarray, "r"]]]:
    for parts, whole in ((query, True), (response, False)):
        alone = by_characters(parts)
        size, least = (CHARACTERS, LEAST_CHARACTERS) if alone else (WORDS, LEAST_WORDS)
        if len(parts) >= size:
            yield size, hashes(parts, size)
        elif whole and len(parts) >= least:
            yield len(parts), hashes(parts, len(parts))


def _among(values: UInt64[np.ndarray, "v"], ordered: UInt64[np.ndarray, "r"]) -> Bool[np.ndarray, "v"]:
    """Whether each value stands in a sorted array."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[places] == values)


def _rare(runs: UInt64[np.ndarray, "r"]) -> UInt64[np.ndarray, "r"]:
    values, counts = np.unique(runs, return_counts=True)
    return values[counts < COMMON]


def _parts(example: Example) -> tuple[list[str], list[str]]:
    asked = [turn.content for turn in example.messages[:-1] if turn.role == "user"]
    return units(asked[-1]) if asked else [], units(completion_text(example))


@lru_cache(maxsize=1 << 16)
def _unit(part: str) -> int:
    return int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")


def _quoted(parts: Sequence[str]) -> str:
    return ("" if by_characters(parts) else " ").join(parts)
