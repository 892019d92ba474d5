"""Columns and reasons are made when they are asked for, and no earlier."""

from functools import partial

import numpy as np
import pytest

from assay.selection.choice import Reasons
from assay.selection.named import Listed, Named


def test_a_column_is_made_when_it_is_asked_for() -> None:
    asked: list[str] = []

    def made(name: str) -> np.ndarray:
        asked.append(name)
        return np.full(2, len(name))

    columns = Named({name: partial(made, name) for name in ("one", "three")})
    both = Named.of(columns, "rank by {}") | Named({"four": partial(made, "four")})
    assert (list(both), len(both), "four" in both, "one" in both) == (
        ["rank by one", "rank by three", "four"],
        3,
        True,
        False,
    )
    assert asked == []
    assert both["rank by three"].tolist() == [5, 5]
    turned = Listed.of([columns["one"], columns["three"]], np.negative)
    assert [column.tolist() for column in turned[1:]] == [[-5, -5]]
    assert asked == ["three", "one", "three"]


def test_reasons_are_a_sequence() -> None:
    reasons = Reasons(3, lambda i: f"reason {i}")
    assert reasons == ("reason 0", "reason 1", "reason 2") == tuple(reasons)
    assert reasons != ("reason 0", "reason 1")
    assert (reasons[-1], reasons[1:]) == ("reason 2", ("reason 1", "reason 2"))
    with pytest.raises(IndexError):
        reasons[3]
