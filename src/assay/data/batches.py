"""Which examples share a batch, and how they look side by side. Knows nothing of models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.data.example import Tokens


@dataclass(frozen=True, slots=True, eq=False)
class PaddedBatch:
    """Examples as rectangular arrays, padded on the right; padding has weight 0 and mask False."""

    input_ids: Int[np.ndarray, "n t"]
    attention_mask: Bool[np.ndarray, "n t"]
    weights: Float[np.ndarray, "n t"]


MUCH_SHORTER = 0.8
"""A row below this share of the longest starts a batch of its own, where the batch is worth running."""
WORTH_RUNNING = 8
"""A batch of 1/8 of the budget keeps the machine busy; fewer tokens take longer each."""


def token_budget_batches(lengths: Sequence[int], budget: int, beside: int = 0) -> list[list[int]]:
    """Positions of `lengths` in batches whose padded size, rows × longest, stays within `budget` tokens.

    Longest first, so that a batch that does not fit in memory fails at once. One row alone may exceed it. A
    batch ends before the budget does where the next row would be mostly padding. Tokens that every row has
    `beside` (in a cache) count towards the budget and are no padding.
    """
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and _joins(lengths[position], lengths[batches[-1][0]], len(batches[-1]), budget, beside):
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def _joins(length: int, longest: int, rows: int, budget: int, beside: int) -> bool:
    much_shorter = length < MUCH_SHORTER * longest
    worth_running = longest * rows * WORTH_RUNNING >= budget
    return (longest + beside) * (rows + 1) <= budget and not (much_shorter and worth_running)


def pad(tokens: Sequence[Tokens], pad_id: int = 0) -> PaddedBatch:
    """Side by side, int64 ids and float32 weights, shape (examples, longest)."""
    longest = max(len(example) for example in tokens)
    shape = (len(tokens), longest)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=bool)
    weights = np.zeros(shape, dtype=np.float32)
    for row, example in enumerate(tokens):
        input_ids[row, : len(example)] = example.input_ids
        attention_mask[row, : len(example)] = True
        weights[row, : len(example)] = example.weights
    return PaddedBatch(input_ids, attention_mask, weights)
