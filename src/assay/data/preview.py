"""Tokens back to text, cut where the loss weight changes, for showing what is learned. Knows no screens."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from assay.data.example import Tokens


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of tokens of equal loss weight, as text."""

    text: str
    weight: float
    tokens: int


def segments(tokens: Tokens, tokenizer: Any) -> tuple[Segment, ...]:
    """The whole example in order, special tokens shown; joined, the texts are what the ids decode to."""
    edges = [0, *(np.flatnonzero(np.diff(tokens.weights)) + 1).tolist(), len(tokens)]
    written = [_decoded(tokenizer, tokens.input_ids[:edge], whole=edge == len(tokens)) for edge in edges]
    return tuple(
        Segment(written[i + 1][len(written[i]) :], float(tokens.weights[start]), end - start)
        for i, (start, end) in enumerate(pairwise(edges))
    )


def _decoded(tokenizer: Any, ids: np.ndarray, *, whole: bool) -> str:
    """Text of `ids`; a character whose bytes are cut off at the end is left to what follows."""
    text: str = tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text if whole else text.rstrip("\ufffd")
