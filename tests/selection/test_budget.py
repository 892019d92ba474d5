"""How much is kept: what budgets mean, which are refused, and how one is filled."""

import re

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.selection.budget import Budget
from tests.selection.pools import limit

TOKENS = np.array([10, 20, 30, 40])


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("50%", 2, "candidates"),
        ("74.9 %", 2, "candidates"),
        ("100%", 4, "candidates"),
        ("3", 3, "candidates"),
        (4, 4, "candidates"),
        ("0.004k", 4, "candidates"),
        ("60tok", 60, "learned tokens"),
        ("0.06ktok", 60, "learned tokens"),
        ("0.00006 M tokens", 60, "learned tokens"),
        (".1KTOK", 100, "learned tokens"),
    ],
)
def test_a_budget_is_a_share_a_count_or_tokens(text: str | int, amount: int, unit: str) -> None:
    found = Budget.parse(text).of(TOKENS)
    assert (found.amount, found.unit) == (amount, unit)
    assert found.total == (100 if unit == "learned tokens" else 4)


def test_shares_and_scales_are_exact_decimals() -> None:
    assert Budget.parse("29%").of(np.ones(100, dtype=int)).amount == 29
    assert Budget.parse("1.1Mtok").amount == 1_100_000
    assert Budget.parse("2,000").amount == Budget.parse("2k").amount == 2000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0", "keeps nothing"),
        ("0%", "keeps nothing"),
        ("0ktok", "keeps nothing"),
        ("-5", "cannot be read"),
        ("half", "cannot be read"),
        ("", "cannot be read"),
        ("nan", "cannot be read"),
        ("1e3", "cannot be read"),
        ("1,5Mtok", "cannot be read"),
        ("50k%", "cannot be read"),
        ("٥", "cannot be read"),
        ("101%", "more than the whole pool"),
        ("0.5", "write it with %"),
        ("0.0005ktok", "not a whole number"),
        ("5", "pool has 4"),
        ("101tok", "101 learned tokens, but the pool has 100"),
        ("20%", "less than one candidate"),
    ],
)
def test_budgets_that_cannot_be_are_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        Budget.parse(text).of(TOKENS)


def test_a_budget_is_said_as_it_was_meant() -> None:
    assert str(Budget.parse("12.5%")) == "12.5%"
    assert str(Budget.parse("200ktok")) == "200,000 learned tokens"
    assert str(Budget.parse("50%").of(TOKENS)) == "2 of 4 candidates"


def test_filling_ends_at_the_first_that_does_not_fit() -> None:
    filled = limit("60tok", 4, TOKENS.tolist()).fill([1, 3, 0])
    assert (filled.kept.tolist(), filled.taken, filled.over) == ([1, 3], 60, None)
    filled = limit("65tok", 4, TOKENS.tolist()).fill([1, 3, 0])
    assert (filled.kept.tolist(), filled.taken, filled.over) == ([1, 3], 60, 0)
    filled = limit("90tok", 4, TOKENS.tolist()).fill([1, 3, 0])
    assert (filled.kept.tolist(), filled.taken, filled.over) == ([1, 3, 0], 70, None)
