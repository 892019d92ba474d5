"""Text to token ids, and which tokens cover which characters. Knows nothing of turns or loss."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Encoded:
    """Token ids of a text; token t covers the characters [starts[t], ends[t]).

    A token that covers several characters belongs to each of them; a character of several tokens to all of
    these. Tokens that a tokenizer adds around the text cover nothing.
    """

    ids: Int[Array, "t"]
    starts: Int[Array, "t"]
    ends: Int[Array, "t"]

    def covering(self, start: int, end: int) -> slice:
        """The tokens that cover any of the characters [start, end)."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        behind = int(np.searchsorted(self.starts, end, side="left"))
        return slice(first, max(first, behind))


def encode(tokenizer: Any, text: str, boundaries: tuple[int, ...], *, add_special_tokens: bool) -> Encoded:
    """Token ids of `text`. Fast tokenizers tell the characters of every token.

    For slow ones tokens are placed only relative to `boundaries`: those that the text up to a boundary and
    the whole text have in common lie before it. Raises UnicodeEncodeError for a lone surrogate in the text.
    """
    text.encode("utf-8")
    fast = bool(getattr(tokenizer, "is_fast", False))
    extra = {"return_offsets_mapping": True} if fast else {}
    encoded = tokenizer(text, add_special_tokens=add_special_tokens, **extra)
    ids = np.asarray(encoded["input_ids"], dtype=np.int64)
    if fast:
        return _from_offsets(ids, np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2))
    return _from_prefixes(tokenizer, text, ids, boundaries, add_special_tokens)


def _from_offsets(ids: Int[Array, "t"], offsets: Int[Array, "t 2"]) -> Encoded:
    """Offsets without gaps: byte-level tokenizers leave spaces out, and added tokens stand at (0, 0)."""
    ends = np.maximum.accumulate(offsets[:, 1])
    before = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    added = (offsets[:, 1] == 0) & (offsets[:, 0] == 0)
    starts = np.where(added, before, np.minimum(offsets[:, 0], before))
    return Encoded(ids, np.maximum.accumulate(starts), ends)


def _from_prefixes(
    tokenizer: Any, text: str, ids: Int[Array, "t"], boundaries: tuple[int, ...], add_special_tokens: bool
) -> Encoded:
    marks = sorted({0, *boundaries, len(text)})
    counts = [0]
    for mark in marks[1:-1]:
        part = tokenizer(text[:mark], add_special_tokens=add_special_tokens)["input_ids"]
        same = next(
            (i for i, (a, b) in enumerate(zip(part, ids, strict=False)) if a != b), min(len(part), len(ids))
        )
        counts.append(max(counts[-1], same))
    counts.append(len(ids))
    starts = np.repeat(marks[:-1], np.diff(counts)).astype(np.int64)
    ends = np.repeat(marks[1:], np.diff(counts)).astype(np.int64)
    return Encoded(ids, starts, ends)
