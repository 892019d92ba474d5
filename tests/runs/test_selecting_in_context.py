"""What a selection says of in-context influence is what the tables hold, counted and compared by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from scipy.stats import spearmanr

from assay.errors import DataError
from assay.runs.scored import Scored
from assay.runs.scores.in_context_table import PAIRS
from assay.runs.scores.needs import PAIRS_IN_CONTEXT
from assay.runs.selecting_in_context import EACH, correlated, influence_of
from assay.selection.in_context import Influence
from assay.selection.rules import Columns, Options
from assay.selection.select import select
from tests.report.selections import make_pool

N = 40
POOL = make_pool(N)
DRAW = np.random.default_rng(4)
WICI = DRAW.normal(size=N)
WICI[7] = np.nan
NAMED = {
    "wici": WICI,
    "wici_nearest": WICI + DRAW.normal(size=N),
    "ici": WICI + 0.1 * DRAW.normal(size=N),
    "ifd": -WICI + DRAW.normal(size=N),
    "length": POOL.tokens.astype(np.float64),
}
FEATURES = np.concatenate([np.eye(8)] * 5)


def _row(
    candidate: int, query: int | None, ici: float | None, variant: str = "clusters", reason=None
) -> dict:
    return {
        "candidate_id": POOL.ids[candidate],
        "variant": variant,
        "query_id": None if query is None else POOL.ids[query],
        "cosine": 0.5,
        "ifd": 1.0,
        "ifd_shown": None if ici is None else 1.0 - ici,
        "ici": ici,
        "weight": 0.25,
        "reason": reason,
    }


@pytest.fixture
def scored(tmp_path: Path) -> Scored:
    rows = [_row(at, (at + 1) % N, 0.1 * at) for at in range(N) if at != 7]
    rows += [_row(at, (at + 2) % N, 5.0 + at) for at in range(N) if at != 7]
    rows += [_row(at, (at + 3) % N, None, reason="not finite") for at in range(0, N, 2)]
    rows += [_row(7, None, None, reason="no other prompt")]
    rows += [_row(at, (at + 4) % N, 99.0, "nearest") for at in range(N)]
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRS), tmp_path / PAIRS_IN_CONTEXT)
    return Scored(tmp_path, POOL, {}, {}, {})


def _found(scored: Scored, rule: str = "top", order: str = "wici", **named: np.ndarray) -> Influence:
    columns = Columns({**NAMED, **named}, embeddings=FEATURES)
    options = Options(order=order)
    result = select(POOL, columns, rule, "20%", options)
    found = influence_of(scored, result, columns, "20%", options)
    assert found is not None
    return found


def test_both_ends_are_told_with_the_queries_they_were_shown_before_most_helped_first(scored: Scored) -> None:
    found = _found(scored)
    order = [at for at in np.argsort(-WICI, kind="stable").tolist() if at != 7]
    assert [one.candidate for one in found.most] == order[:EACH]
    assert [one.candidate for one in found.least] == order[: -EACH - 1 : -1]
    for one in (*found.most, *found.least):
        failed = [POOL.ids[(one.candidate + 3) % N]] if one.candidate % 2 == 0 else []
        helped = [POOL.ids[(one.candidate + step) % N] for step in (2, 1)]
        assert [query.id for query in one.taught] == [*helped, *failed]
        assert one.taught[0].influence == 5.0 + one.candidate
        assert one.taught[0].prompt == POOL.prompts[(one.candidate + 2) % N]
        assert [query.reason for query in one.taught[2:]] == ["not finite"] * len(failed)


def test_pairs_without_influence_are_counted_and_those_of_the_nearest_are_not_among_them(
    scored: Scored,
) -> None:
    found = _found(scored)
    assert (found.pairs, found.left_out) == (98, (("not finite", 20),))


def test_scores_that_one_query_carries_are_counted_among_the_highest(scored: Scored) -> None:
    found = _found(scored, wici=np.where(np.arange(N) < 4, 9.0, 0.0))
    assert found.carried == (4, 4)
    even = [_row(at, (at + step) % N, 1.0) for at in range(N) for step in (1, 2)]
    even[0]["weight"] = 0.3
    pq.write_table(pa.Table.from_pylist(even, schema=PAIRS), scored.folder / PAIRS_IN_CONTEXT)
    assert _found(scored, wici=np.where(np.arange(N) < 4, 9.0, 0.0)).carried == (1, 4)


def test_difficulty_is_compared_among_candidates_that_have_both(scored: Scored) -> None:
    (found,) = _found(scored).difficulties
    known = np.delete(np.arange(N), 7)
    expected = spearmanr(WICI[known], NAMED["ifd"][known]).statistic
    assert (found.name, found.correlation.n) == ("ifd", N - 1)
    assert found.correlation.value == pytest.approx(expected, abs=1e-9)
    assert found.correlation.sign == -1
    assert correlated(WICI, np.ones(N)).value is None


def test_the_complexity_that_chose_the_queries_is_told_where_it_is_no_ifd(scored: Scored) -> None:
    folder = scored.folder / "measures" / "base" / "complexity"
    folder.mkdir(parents=True)

    def names(stored: np.ndarray) -> list[str]:
        save_file({"complexity": stored}, folder / "00000.safetensors")
        return [one.name for one in _found(scored).difficulties]

    assert names(NAMED["ifd"]) == ["ifd"]
    assert names(POOL.tokens.astype(np.float64)) == ["ifd", "complexity"]
    assert names(np.ones(3)) == ["ifd"]


def test_ablations_choose_again_by_the_same_rule_with_one_part_left_out(scored: Scored) -> None:
    columns, options = Columns(NAMED, embeddings=FEATURES), Options(order="wici")
    kept = select(POOL, columns, "diverse", "20%", options).kept
    found = {one.name: one for one in _found(scored, "diverse").ablations}
    assert list(found) == ["diversity", "wici_nearest", "ici"]
    top = np.argsort(-np.nan_to_num(WICI, nan=-9))[: kept.sum()]
    assert found["diversity"].shared == kept[top].mean()
    assert found["diversity"].correlation is None
    for name in ("wici_nearest", "ici"):
        other = select(POOL, columns, "diverse", "20%", Options(order=name)).kept
        assert found[name].shared == (kept & other).sum() / kept.sum()
        assert found[name].by_chance == other.mean()


def test_where_another_column_decides_the_highest_stand_for_the_choice(scored: Scored) -> None:
    found = _found(scored, order="length")
    assert found.whole == "the 8 highest by wici"
    best = {
        name: set(np.argsort(-np.nan_to_num(NAMED[name], nan=-9))[:8].tolist()) for name in ("wici", "ici")
    }
    shared = {one.name: one.shared for one in found.ablations}
    assert shared["ici"] == len(best["wici"] & best["ici"]) / 8
    assert "diversity" not in shared


def test_nothing_is_said_where_nothing_was_scored_in_context(tmp_path: Path) -> None:
    columns = Columns({"length": NAMED["length"]})
    result = select(POOL, columns, "top", "20%")
    assert influence_of(Scored(tmp_path, POOL, {}, {}, {}), result, columns, "20%", Options()) is None


def test_a_damaged_table_and_one_of_another_pool_are_refused(scored: Scored) -> None:
    best = int(np.nanargmax(WICI))
    row = _row(best, 1, 0.5) | {"query_id": "elsewhere"}
    pq.write_table(pa.Table.from_pylist([row], schema=PAIRS), scored.folder / PAIRS_IN_CONTEXT)
    with pytest.raises(DataError, match="'elsewhere', which is not in this pool"):
        _found(scored)
    (scored.folder / PAIRS_IN_CONTEXT).write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        _found(scored)
