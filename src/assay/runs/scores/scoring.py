"""From stored measures to scores: pairs, sums over checkpoints, aggregates over queries, and ranks.

Reads the store shard by shard and writes the two tables. Knows no model.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from assay.methods.combine import over_queries
from assay.methods.table import Measured, Method
from assay.models.trajectory import Checkpoint, Trajectory
from assay.runs.scores.in_context_table import in_context_of
from assay.runs.scores.needs import Step, measure_of, steps_of
from assay.runs.scores.queries import Column, Queries
from assay.runs.scores.tables import (
    AGGREGATES,
    ALL,
    PAIRS,
    SCORES,
    SUMMED,
    Aggregate,
    Candidates,
    PairScores,
    aggregate_rows,
    mean_percentiles,
    pair_rows,
    rank_file,
    write_table,
)

STEP = 1000
"""Candidates whose pairs are written together."""


class Measures(Protocol):
    """Where measures come from: of a shard, or of the queries, at a checkpoint."""

    def of_shard(self, checkpoint: Checkpoint, measure: str, shard: int) -> dict[str, np.ndarray]: ...
    def of_queries(self, checkpoint: Checkpoint, measure: str) -> dict[str, np.ndarray]: ...


def score_all(
    measures: Measures,
    rows: Sequence[Method],
    trajectory: Trajectory,
    candidates: Candidates,
    shards: Sequence[slice],
    queries: Queries,
    out: Path,
    seed: int,
    departures: Sequence[str] = (),
) -> list[Aggregate]:
    """Scores of every method into `out`, and their aggregates. `shards` are the pool's rows by shard."""
    scorer = _Scorer(measures, candidates, shards, queries, out, seed, frozenset(departures))
    aggregates: list[Aggregate] = []

    def pairs() -> Iterator[pa.Table]:
        for row in rows:
            steps = steps_of(row, trajectory)
            if row.per_query:
                yield from scorer.by_query(row, steps, aggregates)
            else:
                aggregates.append(scorer.alone(row, steps))

    write_table(out / SCORES, PAIRS, pairs())
    write_table(out / AGGREGATES, SUMMED, (aggregate_rows(candidates, found) for found in aggregates))
    return aggregates


class _Scorer:
    def __init__(
        self,
        measures: Measures,
        candidates: Candidates,
        shards: Sequence[slice],
        queries: Queries,
        out: Path,
        seed: int,
        departures: frozenset[str],
    ) -> None:
        self.measures, self.candidates, self.shards = measures, candidates, shards
        self.queries, self.out, self.seed, self.departures = queries, out, seed, departures
        self.columns = queries.columns()
        self.ids = candidates.ids.to_pylist()
        self.tasks = candidates.tasks.to_pylist()

    def by_query(self, row: Method, steps: Sequence[Step], aggregates: list[Aggregate]) -> Iterator[pa.Table]:
        """Rows of pairs of one method; its aggregates are appended to `aggregates`."""
        n, q = len(self.candidates), len(self.queries)
        total = PairScores(self.out / f".{row.name}.scores", n, q)
        ranked = None
        try:
            for step in steps:
                parts = [np.empty(n) for _ in self.columns]
                for part, values in self._blocks(row, step.checkpoint):
                    total.values[part] += step.weight * values
                    for column, whole in zip(self.columns, parts, strict=True):
                        whole[part] = self._over(values, column, row)
                if len(steps) > 1:
                    aggregates += [
                        Aggregate(row.name, step.checkpoint.name, column.query_set, column.task, whole)
                        for column, whole in zip(self.columns, parts, strict=True)
                    ]
            name = steps[0].checkpoint.name if len(steps) == 1 else ALL
            percentiles = mean_percentiles(total, self.columns)
            for column, percentile in zip(self.columns, percentiles, strict=True):
                whole = np.concatenate(
                    [self._over(np.asarray(total.values[part]), column, row) for part in self.shards]
                )
                aggregates.append(Aggregate(row.name, name, column.query_set, column.task, whole, percentile))
            ranked, ranks = rank_file(total, self.out / f".{row.name}.ranks")
            yield from pair_rows(self.candidates, self.queries, row, name, total.values, ranks, STEP)
        finally:
            total.close()
            if ranked is not None:
                ranked.close()

    def alone(self, row: Method, steps: Sequence[Step]) -> Aggregate:
        """A method without the user's queries: on the whole pool at once, or in blocks if it is the same."""
        measure = measure_of(row)
        total = np.zeros(len(self.candidates))
        for step in steps:
            if row.by_candidate:
                for part, values in self._blocks(row, step.checkpoint):
                    total[part] += step.weight * values
                continue
            arrays: dict[str, np.ndarray] = {}
            if measure is not None:
                parts = [self.measures.of_shard(step.checkpoint, measure, i) for i in range(len(self.shards))]
                arrays = {
                    name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "dot"
                }
            everyone = slice(0, len(self.candidates))
            total += step.weight * row.score(self._measured(everyone, arrays, {}))
        name = None if measure is None else steps[0].checkpoint.name
        return Aggregate(row.name, name or "", None, None, total)

    def _blocks(
        self, row: Method, checkpoint: Checkpoint
    ) -> Iterator[tuple[slice, Float[np.ndarray, "n q"]]]:
        measure = measure_of(row)
        assert measure is not None
        asked = self.measures.of_queries(checkpoint, measure)
        for number, part in enumerate(self.shards):
            arrays = self.measures.of_shard(checkpoint, measure, number)
            yield part, row.score(self._measured(part, arrays, asked))

    def _measured(self, part: slice, arrays: dict[str, np.ndarray], asked: dict[str, np.ndarray]) -> Measured:
        return Measured(
            ids=self.ids[part],
            tasks=self.tasks[part],
            tokens=self.candidates.tokens[part],
            dot=arrays.get("dot"),
            sqnorm=arrays.get("sqnorm"),
            loss=arrays.get("loss"),
            query_sqnorm=asked.get("sqnorm"),
            query_loss=asked.get("loss"),
            query_tokens=self.queries.lengths,
            context=in_context_of(arrays, asked, self.departures),
            seed=self.seed,
        )

    def _over(self, values: Float[np.ndarray, "n q"], column: Column, row: Method) -> Float[np.ndarray, "n"]:
        tasks = [self.queries.tasks[at] for at in column.at]
        return over_queries(values[:, column.at], tasks, row.aggregate)
