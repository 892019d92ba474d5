"""Middle perplexity: the order it keeps candidates in, written out."""

import numpy as np

from assay.methods.table import METHODS, Measured

MID = METHODS["ppl_mid"].score


def pool(per_token: list[float], tokens: list[int] | None = None) -> Measured:
    counts = np.array(tokens or [1] * len(per_token))
    names = [f"id{row:03}" for row in range(len(per_token))]
    return Measured(names, [None] * len(names), counts, loss=np.array(per_token) * counts)


def kept(m: Measured) -> list[int]:
    """Rows, the first to keep first."""
    return [int(row) for row in np.argsort(-MID(m), kind="stable")]


def test_the_middle_comes_first_then_the_hardest_then_the_easiest() -> None:
    assert kept(pool([9, 0, 3, 6, 1, 8, 2, 7, 4, 5])) == [2, 8, 9, 3, 7, 5, 0, 1, 4, 6]


def test_the_middle_is_that_of_losses_per_token() -> None:
    values = [5.0, 1.0, 2.0, 9.0, 3.0, 7.0]
    assert kept(pool(values, tokens=[1, 90, 40, 1, 30, 2])) == kept(pool(values))


def test_scores_are_places_from_the_start_at_33_percent() -> None:
    m = pool(list(range(100)))
    assert MID(m)[33] == 0
    assert MID(m)[99] == -66
    assert MID(m)[0] == -67
    assert MID(m)[32] == -99


def test_equal_losses_stand_in_the_order_of_ids() -> None:
    names = ["c", "a", "g", "b", "f", "e", "d"]
    m = Measured(names, [None] * 7, np.ones(7), loss=np.ones(7))
    assert [names[row] for row in kept(m)] == ["c", "d", "e", "f", "g", "a", "b"]


def test_a_pool_of_one_or_none_has_an_order() -> None:
    assert MID(pool([2.0])).tolist() == [0]
    assert MID(pool([])).tolist() == []
