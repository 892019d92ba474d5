"""Sums over checkpoints, and what queries come to, in the tables: from given measures, against loops."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.data.example import Example, Message, Source, Tokens
from assay.errors import ConfigError
from assay.methods.table import METHODS, Measured
from assay.models.trajectory import Checkpoint, Trajectory
from assay.runs.scores.aggregates import Aggregate
from assay.runs.scores.candidates import Candidates
from assay.runs.scores.needs import steps_of
from assay.runs.scores.pool_shards import CANDIDATES
from assay.runs.scores.queries import Queries
from assay.runs.scores.scoring import score_all
from tests.methods.measurements import measured

nan = np.nan
N, Q = 11, 4
RATES = (3e-4, 2e-4, 1e-4)
SHARDS = [slice(0, 4), slice(4, N)]
TASKS = ("sums", "letters", "sums", "sums")


def trajectory(*rates: float | None) -> Trajectory:
    """Checkpoints of folders that are not there, so that nothing but these rates is known."""
    names = [f"checkpoint-{step}" for step in range(1, len(rates) + 1)]
    return Trajectory(
        tuple(
            Checkpoint(name, f"nowhere/{name}", "adapter", step, None, rate)
            for step, (name, rate) in enumerate(zip(names, rates, strict=True), start=1)
        ),
        None,
    )


class Given:
    """Measures as they would be stored, one for each step."""

    def __init__(self, at: list[Measured]) -> None:
        self.at = at

    def of_shard(self, checkpoint: Checkpoint, measure: str, shard: int) -> dict[str, np.ndarray]:
        one = self.at[(checkpoint.step or 0) - 1]
        return {name: getattr(one, name)[SHARDS[shard]] for name in ("dot", "sqnorm", "loss")}

    def of_queries(self, checkpoint: Checkpoint, measure: str) -> dict[str, np.ndarray]:
        one = self.at[(checkpoint.step or 0) - 1]
        return {"sqnorm": one.query_sqnorm, "loss": one.query_loss}


def queries() -> Queries:
    examples = tuple(
        Example(f"q{at}", (Message("user", "q"), Message("assistant", "r")), Source("dev.jsonl", at))
        for at in range(Q)
    )
    tokens = tuple(Tokens(one.id, np.arange(3), np.ones(3, dtype=np.float32)) for one in examples)
    return Queries(("dev",) * Q, tuple(one.id for one in examples), TASKS, examples, tokens)


def scored(
    folder: Path, name: str, at: list[Measured], rates: tuple[float, ...]
) -> tuple[np.ndarray, list[Aggregate]]:
    """Scores of all pairs as the table has them, (n, q), and the aggregates."""
    rows = [
        {"candidate_id": f"pool.jsonl:{row}", "source_file": "pool.jsonl", "source_row": row, "tokens": 5}
        for row in range(N)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=CANDIDATES), folder / "candidates.parquet")
    found = score_all(
        Given(at),
        [METHODS[name]],
        trajectory(*rates),
        Candidates.read(folder / "candidates.parquet"),
        SHARDS,
        queries(),
        folder,
        0,
    )
    column = pq.read_table(folder / "scores.parquet", columns=["score"])["score"]
    return np.array(column.to_numpy(), dtype=np.float64).reshape(N, Q), found


def at_checkpoints() -> list[Measured]:
    return [measured(seed=k) for k in range(3)]


@pytest.mark.parametrize("name", ["tracin", "less"])
def test_tracin_and_less_are_their_sums_over_checkpoints(tmp_path: Path, name: str) -> None:
    at = at_checkpoints()
    found, aggregates = scored(tmp_path, name, at, RATES)
    for z in range(N):
        for q in range(Q):
            expected = sum(
                rate * m.dot[z, q] / (1 if name == "tracin" else np.sqrt(m.sqnorm[z] * m.query_sqnorm[q]))
                for m, rate in zip(at, RATES, strict=True)
            )
            assert found[z, q] == pytest.approx(expected, rel=1e-12)
    (whole,) = [one for one in aggregates if one.checkpoint == "all" and one.query_task is None]
    by_task = np.stack([found[:, [0, 2, 3]].mean(axis=1), found[:, 1]])
    expected_whole = found.mean(axis=1) if name == "tracin" else by_task.max(axis=0)
    np.testing.assert_allclose(whole.scores, expected_whole, rtol=1e-12)
    for before, m in zip(at_checkpoints(), at, strict=True):
        assert np.array_equal(before.dot, m.dot)


def test_a_checkpoint_of_rate_zero_is_left_out_with_what_is_not_known_there(tmp_path: Path) -> None:
    one, other = at_checkpoints()[:2]
    other.sqnorm[2] = 0.0  # no direction, so no score by less
    found, _ = scored(tmp_path, "less", [one, other], (2.0, 0.0))
    np.testing.assert_allclose(found, 2 * METHODS["less"].score(one), rtol=1e-12)
    found, _ = scored(tmp_path, "less", [one, other], (2.0, 1e-9))
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()


def test_the_mean_percentile_resists_a_query_that_carries_the_mean(tmp_path: Path) -> None:
    one = measured()
    one.dot[:, :3] = np.arange(N, 0, -1)[:, None]
    one.dot[:, 3] = np.arange(N) * 1000.0
    _, aggregates = scored(tmp_path, "graddot", [one], RATES[:1])
    (whole,) = [each for each in aggregates if each.query_task is None]
    assert whole.scores.argmax() == N - 1
    assert whole.percentile is not None
    best = (3 * (N - 0.5) + 0.5) / (4 * N)
    assert whole.percentile.argmax() == 0
    assert whole.percentile[0] == pytest.approx(best, rel=1e-12)
    np.testing.assert_allclose(whole.percentile[-1], (3 * 0.5 + N - 0.5) / (4 * N), rtol=1e-12)


@pytest.mark.parametrize("rates", [(0.0, 0.0), (1.0, -1.0), (1.0, nan), (np.inf, 1.0), (None, 1.0)])
@pytest.mark.parametrize("name", ["tracin", "less"])
def test_rates_that_cannot_weigh_checkpoints_are_refused(name: str, rates: tuple[float | None, ...]) -> None:
    with pytest.raises(ConfigError, match=rf"{name} weighs checkpoints by their learning rates"):
        steps_of(METHODS[name], trajectory(*rates))
