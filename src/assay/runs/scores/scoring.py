"""From stored measures to scores: pairs, sums over checkpoints, aggregates over queries, and ranks.

Reads the store shard by shard and writes the two tables; what it puts together on the way is on disk. Knows
no model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from assay.methods.combine import over_queries
from assay.methods.table import Measured, Method
from assay.models.trajectory import Checkpoint, Trajectory
from assay.runs.arrow_memory import from_the_system
from assay.runs.numbers import NumberFile
from assay.runs.scores.aggregates import Aggregate
from assay.runs.scores.candidates import Candidates
from assay.runs.scores.in_context_table import in_context_of
from assay.runs.scores.needs import Step, measure_of, steps_of
from assay.runs.scores.queries import Column, Queries
from assay.runs.scores.tables import (
    AGGREGATES,
    ALL,
    PAIRS,
    SCORES,
    SUMMED,
    aggregate_rows,
    mean_percentiles,
    pair_rows,
    rank_columns,
    write_table,
)

STEP = 1000
"""Candidates whose pairs are written together."""


class Measures(Protocol):
    """Where measures come from: of a shard, or of the queries, at a checkpoint."""

    def of_shard(self, checkpoint: Checkpoint, measure: str, shard: int) -> dict[str, np.ndarray]: ...
    def of_queries(self, checkpoint: Checkpoint, measure: str) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True, slots=True)
class _Draft:
    """An aggregate that is not in its table yet: where its numbers are; `percentile` is None without any."""

    about: tuple[str, str, str | None, str | None]
    scores: int
    percentile: int | None = None


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
    n = len(candidates)
    with from_the_system(), NumberFile(out, n) as numbers:
        scorer = _Scorer(measures, candidates, shards, queries, out, seed, frozenset(departures), numbers)

        def pairs() -> Iterator[pa.Table]:
            for row in rows:
                steps = steps_of(row, trajectory)
                if row.per_query:
                    yield from scorer.by_query(row, steps)
                else:
                    scorer.alone(row, steps)

        def aggregates() -> Iterator[pa.Table]:
            for one in scorer.drafts:
                yield from aggregate_rows(candidates, one.about, numbers, one.scores, one.percentile)

        write_table(out / SCORES, PAIRS, pairs())
        write_table(out / AGGREGATES, SUMMED, aggregates())
        abouts = [one.about for one in scorer.drafts]
    return [Aggregate(*about, out / AGGREGATES, n * place, n) for place, about in enumerate(abouts)]


class _Scorer:
    """Turns measures into scores; `drafts` are the aggregates so far, whose columns are in `numbers`."""

    def __init__(
        self,
        measures: Measures,
        candidates: Candidates,
        shards: Sequence[slice],
        queries: Queries,
        out: Path,
        seed: int,
        departures: frozenset[str],
        numbers: NumberFile,
    ) -> None:
        self.measures, self.candidates, self.shards = measures, candidates, shards
        self.queries, self.out, self.seed, self.departures = queries, out, seed, departures
        self.numbers = numbers
        self.columns = queries.columns()
        self.drafts: list[_Draft] = []

    def by_query(self, row: Method, steps: Sequence[Step]) -> Iterator[pa.Table]:
        """Rows of pairs of one method."""
        n, q = len(self.candidates), len(self.queries)
        with NumberFile(self.out, n, q) as total, NumberFile(self.out, n, q) as ranked:
            for step in steps:
                drafts = self._drafts(row, step.checkpoint.name) if len(steps) > 1 else []
                for part, values in self._blocks(row, step.checkpoint):
                    total.put_block(part, total.block(part) + step.weight * values)
                    self._put(drafts, part, values, row)
            name = steps[0].checkpoint.name if len(steps) == 1 else ALL
            known = rank_columns(total, ranked, self.shards)
            drafts = self._drafts(row, name, ranked=True)
            for part in self.shards:
                self._put(drafts, part, total.block(part), row)
                ranks = ranked.block(part)
                for column, draft in zip(self.columns, drafts, strict=True):
                    assert draft.percentile is not None
                    self.numbers.put(draft.percentile, part, mean_percentiles(ranks, known, column))
            yield from pair_rows(self.candidates, self.queries, row, name, total, ranked, STEP)

    def _drafts(self, row: Method, checkpoint: str, *, ranked: bool = False) -> list[_Draft]:
        """A new draft for each column of queries."""
        found = [
            _Draft(
                (row.name, checkpoint, column.query_set, column.task),
                self.numbers.add(),
                self.numbers.add() if ranked else None,
            )
            for column in self.columns
        ]
        self.drafts += found
        return found

    def _put(
        self, drafts: Sequence[_Draft], part: slice, values: Float[np.ndarray, "n q"], row: Method
    ) -> None:
        """What the scores of some candidates come to, column by column."""
        if drafts:
            for column, draft in zip(self.columns, drafts, strict=True):
                self.numbers.put(draft.scores, part, self._over(values, column, row))

    def alone(self, row: Method, steps: Sequence[Step]) -> None:
        """A method without the user's queries: on the whole pool at once, or in blocks if it is the same."""
        measure = measure_of(row)
        n = len(self.candidates)
        total = np.zeros(n)
        for step in steps:
            if row.by_candidate:
                for part, values in self._blocks(row, step.checkpoint):
                    total[part] += step.weight * values
                continue
            arrays: dict[str, np.ndarray] = {}
            if measure is not None:
                for number, part in enumerate(self.shards):
                    for name, values in self.measures.of_shard(step.checkpoint, measure, number).items():
                        if name != "dot":
                            arrays.setdefault(name, np.empty(n, values.dtype))[part] = values
            total += step.weight * row.score(
                self._measured(
                    self.candidates.names(), self.candidates.tasks(), self.candidates.tokens, arrays, {}
                )
            )
            del arrays
        name = "" if measure is None else steps[0].checkpoint.name
        draft = _Draft((row.name, name, None, None), self.numbers.add())
        self.numbers.put(draft.scores, slice(None), total)
        self.drafts.append(draft)

    def _blocks(
        self, row: Method, checkpoint: Checkpoint
    ) -> Iterator[tuple[slice, Float[np.ndarray, "n q"]]]:
        measure = measure_of(row)
        assert measure is not None
        asked = self.measures.of_queries(checkpoint, measure)
        for number, part in enumerate(self.shards):
            arrays = self.measures.of_shard(checkpoint, measure, number)
            labels = self.candidates.part(part)
            ids, tasks = labels.ids.to_pylist(), labels.tasks.to_pylist()
            yield part, row.score(self._measured(ids, tasks, labels.tokens, arrays, asked))

    def _measured(
        self,
        ids: Sequence[str],
        tasks: Sequence[str | None],
        tokens: Int[np.ndarray, "n"],
        arrays: dict[str, np.ndarray],
        asked: dict[str, np.ndarray],
    ) -> Measured:
        return Measured(
            ids=ids,
            tasks=tasks,
            tokens=tokens,
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
