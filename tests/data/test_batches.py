"""Batches hold little padding even where there are few rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.batches import MUCH_SHORTER, WORTH_RUNNING, token_budget_batches


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 400), max_size=60), st.integers(1, 3000))
def test_a_row_much_shorter_than_the_longest_only_fills_a_batch_too_small_to_run(
    lengths: list[int], budget: int
) -> None:
    for batch in token_budget_batches(lengths, budget):
        longest = lengths[batch[0]]
        for place, row in enumerate(batch):
            assert lengths[row] >= MUCH_SHORTER * longest or place * longest * WORTH_RUNNING < budget


def test_a_dozen_rows_are_not_half_padding() -> None:
    lengths = np.random.default_rng(1).lognormal(np.log(78), 0.55, 12).astype(int).tolist()
    batches = token_budget_batches(lengths, 2048)
    padded = sum(len(batch) * lengths[batch[0]] for batch in batches)
    one_batch = len(lengths) * max(lengths)
    assert sum(lengths) / one_batch < 0.75
    assert sum(lengths) / padded > 0.85


def test_what_every_row_has_beside_counts_towards_the_budget_and_not_as_padding() -> None:
    assert token_budget_batches([10, 10, 10, 10], 40) == [[0, 1, 2, 3]]
    assert token_budget_batches([10, 10, 10, 10], 40, beside=10) == [[0, 1], [2, 3]]
    lengths = [100, 60, 100, 60]
    assert token_budget_batches(lengths, 1000, beside=100) == token_budget_batches(lengths, 1000)
