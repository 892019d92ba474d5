"""Choices by chance, each for n of the pool's candidates. They know nothing of scores."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from setting import CLEAN

BINS = 10


def randomly(size: int, keep: int, rng: np.random.Generator) -> list[bool]:
    kept = np.zeros(size, dtype=bool)
    kept[rng.permutation(size)[:keep]] = True
    return kept.tolist()


def oracle(kinds: Sequence[str], keep: int, rng: np.random.Generator) -> list[bool]:
    """Drops what was planted first and clean candidates after it, both at random. No method: it is told."""
    defective = np.array([kind not in CLEAN for kind in kinds])
    order = np.lexsort((rng.random(len(kinds)), defective))
    kept = np.zeros(len(kinds), dtype=bool)
    kept[order[:keep]] = True
    return kept.tolist()


def length_matched(
    lengths: Int[np.ndarray, "n"], like: Bool[np.ndarray, "n"] | Sequence[bool], rng: np.random.Generator
) -> list[bool]:
    """Keeps at random as many of each tenth of the pool by length (completion tokens) as `like` keeps."""
    like, kept = np.asarray(like), np.zeros(len(lengths), dtype=bool)
    for members in np.array_split(np.argsort(lengths, kind="stable"), BINS):
        kept[rng.permutation(members)[: int(like[members].sum())]] = True
    return kept.tolist()
