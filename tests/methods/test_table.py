"""Every row of the table against its formula written out, and what must hold of all rows."""

import math
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from assay.errors import ConfigError, NumericsError
from assay.methods import in_context
from assay.methods.table import METHODS, Measure, Measured, Method, method_named
from tests.methods.measurements import measured, rows

BY_PAIR = {
    "graddot": lambda m, z, q: m.dot[z, q],
    "gradcos": lambda m, z, q: m.dot[z, q] / (math.sqrt(m.sqnorm[z]) * math.sqrt(m.query_sqnorm[q])),
    "relinf": lambda m, z, q: m.dot[z, q] / m.query_sqnorm[q],
    "tracin": lambda m, z, q: m.dot[z, q],
    "less": lambda m, z, q: m.dot[z, q] / (math.sqrt(m.sqnorm[z]) * math.sqrt(m.query_sqnorm[q])),
    "less_exact": lambda m, z, q: m.dot[z, q] / (math.sqrt(m.sqnorm[z]) * math.sqrt(m.query_sqnorm[q])),
    "ekfac": lambda m, z, q: m.dot[z, q],
    "kfac": lambda m, z, q: m.dot[z, q],
    "diagonal": lambda m, z, q: m.dot[z, q],
    "bm25": lambda m, z, q: m.dot[z, q],
    "rds": lambda m, z, q: m.dot[z, q],
    "embedding": lambda m, z, q: m.dot[z, q],
    "nuggets": lambda m, z, q: float(m.context.shown[z, q] < m.context.query_given[z, q]),
}
BY_CANDIDATE = {
    "self_influence": lambda m, z: m.sqnorm[z],
    "self_ekfac": lambda m, z: m.sqnorm[z],
    "minus_loss": lambda m, z: -m.loss[z] / m.tokens[z],
    "ppl_top": lambda m, z: m.loss[z] / m.tokens[z],
    "length": lambda m, z: m.tokens[z],
}
OTHERS = {"ppl_mid", "random", "random_balanced"} | {row.name for row in in_context.ROWS} - {"nuggets"}
"""Have tests of their own: their scores depend on the whole pool, on a draw, or on queries of their own."""
FORWARD = (None, "loss", "rds", "embedding", "bm25", *(row.measure for row in in_context.ROWS))


@pytest.mark.parametrize("name", BY_PAIR)
def test_a_score_of_pairs_is_its_formula(name: str) -> None:
    m = measured()
    found = METHODS[name].score(m)
    assert found.dtype == np.float64
    expected = [[BY_PAIR[name](m, z, q) for q in range(4)] for z in range(11)]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", BY_CANDIDATE)
def test_a_score_of_candidates_is_its_formula(name: str) -> None:
    m = measured()
    found = METHODS[name].score(m)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [BY_CANDIDATE[name](m, z) for z in range(11)], rtol=1e-14)


def test_every_row_is_tested_against_its_formula() -> None:
    assert {*BY_PAIR, *BY_CANDIDATE, *OTHERS} == set(METHODS)
    assert {name for name, row in METHODS.items() if row.per_query} == set(BY_PAIR)


@pytest.mark.parametrize("row", METHODS.values(), ids=list(METHODS))
def test_a_row_is_complete(row: Method) -> None:
    for field in fields(Method):
        value = getattr(row, field.name)
        assert value or field.name in ("measure", "per_query", "by_candidate"), field.name
        if isinstance(value, str):
            assert value == value.strip()
            assert "  " not in value
            assert "|" not in value  # which would end a cell of the table in the documentation
    assert METHODS[row.name] is row
    assert re.search(r"arXiv \d{4}\.\d{5}", row.source) or row.name in ("bm25", "minus_loss")
    assert row.measure is None or row.measure in get_args(Measure)


@pytest.mark.parametrize("row", METHODS.values(), ids=list(METHODS))
def test_a_row_asks_for_what_it_needs(row: Method) -> None:
    assert ("queries" in row.needs) == row.per_query
    assert ("learning rates" in row.needs) == (row.weight != "one") == (row.checkpoints == "all")
    assert ("checkpoint" in row.needs) == (row.checkpoints != "none")
    assert ("optimizer.pt" in row.needs) == (row.measure in ("adam", "adam_exact"))
    assert ("backward" in row.cost) == (row.measure not in FORWARD)
    assert row.per_query or row.aggregate == "mean"


def test_names_titles_and_formulas_of_rows_differ() -> None:
    for texts in ([row.title for row in METHODS.values()], [row.good_for for row in METHODS.values()]):
        assert len(set(texts)) == len(METHODS)
    assert len({(row.formula, row.checkpoints) for row in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("name", [row.name for row in METHODS.values() if row.per_query or row.by_candidate])
def test_blocks_of_a_pool_score_as_the_whole_pool_does(name: str) -> None:
    m = measured(n=30)
    score = METHODS[name].score
    cuts = [list(range(1)), list(range(1, 8)), list(range(8, 30))]
    blocks = np.concatenate([score(rows(m, cut)) for cut in cuts])
    assert np.array_equal(blocks, score(m))


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_the_pool_does_not_change_a_score(name: str) -> None:
    m = measured(n=30)
    shuffled = [int(row) for row in np.random.default_rng(5).permutation(30)]
    score = METHODS[name].score
    assert np.array_equal(score(rows(m, shuffled)), score(m)[shuffled])


@pytest.mark.parametrize("name", ["gradcos", "relinf", "less"])
def test_a_query_without_a_gradient_has_no_score(name: str) -> None:
    m = measured()
    m.query_sqnorm[2], m.dot[:, 2] = 0, 0
    found = METHODS[name].score(m)
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(np.delete(found, 2, axis=1)).all()


def test_a_candidate_without_a_gradient_has_no_cosine_but_a_product_of_zero() -> None:
    m = measured()
    m.sqnorm[3], m.dot[3] = 0, 0
    assert np.isnan(METHODS["gradcos"].score(m)[3]).all()
    assert not METHODS["graddot"].score(m)[3].any()


def test_cosines_survive_gradients_whose_squared_norms_multiply_beyond_float64() -> None:
    norms = {"sqnorm": np.full(1, 1e250), "query_sqnorm": np.full(1, 1e150)}
    m = Measured(["a"], [None], np.ones(1), dot=np.full((1, 1), 1e200), **norms)
    assert METHODS["gradcos"].score(m)[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(("field", "said"), [("dot", "product"), ("sqnorm", "norm"), ("loss", "loss")])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_naming_the_candidate(field: str, said: str, bad: float) -> None:
    whole = {"dot": np.ones((4, 3)), "sqnorm": np.ones(4), "loss": np.ones(4)}
    whole[field][2] = bad
    with pytest.raises(NumericsError, match=rf"{said}.* 'c'"):
        Measured(["a", "b", "c", "d"], [None] * 4, np.ones(4), **whole)


def test_a_method_given_another_measure_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="'sqnorm'"):
        METHODS["gradcos"].score(Measured(["a"], [None], np.ones(1), dot=np.ones((1, 1))))


@pytest.mark.parametrize(
    ("asked", "offered"),
    [("gradot", "graddot"), ("GradCos", "gradcos"), ("ek-fac", "ekfac"), ("less-exact", "less_exact")],
)
def test_a_misspelt_method_is_answered_with_the_nearest(asked: str, offered: str) -> None:
    with pytest.raises(ConfigError, match=rf"no method {asked!r}; did you mean .*\b{offered}\b"):
        method_named(asked)


def test_an_unknown_method_is_answered_with_all_there_are() -> None:
    with pytest.raises(ConfigError, match=r"choose one of graddot, .*complexity\."):
        method_named("???")
    assert method_named("ekfac") is METHODS["ekfac"]


def test_the_page_for_users_shows_the_table_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    table = page.read_text(encoding="utf-8").partition("| method | score |")[2].partition("\n\n")[0]
    shown = [line for line in table.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{row.name}` | {row.formula} | {row.needs} | {row.cost} | {row.good_for} |"
        for row in METHODS.values()
    ]
    assert shown == expected
