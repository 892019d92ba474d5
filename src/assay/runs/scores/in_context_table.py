"""`in_context.parquet`: every candidate before each of its own queries; and what there is to say of them.

Made from stored measures, a shard at a time. Knows no model.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from assay.data.texts import counted
from assay.incontext.perplexity import Reason
from assay.methods.in_context import influences, ratio, weights
from assay.methods.method import InContext
from assay.models.loading import context_length
from assay.models.trajectory import Checkpoint
from assay.runs.scores.candidates import TEXT, Candidates
from assay.runs.scores.measuring import Measuring
from assay.runs.scores.needs import (
    DIFFICULTY,
    ON_ANCHORS,
    ON_OWN_QUERIES,
    PAIRS_IN_CONTEXT,
    PROMPT,
    VARIANTS,
)
from assay.runs.scores.tables import write_table

PAIRS = pa.schema(
    [
        ("candidate_id", pa.string()),
        ("variant", TEXT),
        ("query_id", pa.string()),
        ("cosine", pa.float64()),
        ("ifd", pa.float64()),
        ("ifd_shown", pa.float64()),
        ("ici", pa.float64()),
        ("weight", pa.float64()),
        ("reason", TEXT),
    ]
)
"""`ifd` is that of the query by itself, `ifd_shown` behind the candidate, `ici` their difference; `weight` is
(1 − cosine) / 2. `reason` says why there is no number. A candidate without any query has one row, whose
`query_id` is empty."""

ARRAYS = ("alone", "given", "complexity", "cosine", "query_alone", "query_given", "shown")
REASONS = {
    Reason.MEASURED: None,
    Reason.TOO_LONG: "longer than the context",
    Reason.EMPTY: "nothing can follow it",
    Reason.NOT_FINITE: "not finite",
    Reason.ABSENT: "no other prompt",
}


def in_context_of(
    arrays: Mapping[str, np.ndarray], asked: Mapping[str, np.ndarray], departures: frozenset[str]
) -> InContext:
    """A stored measure of candidates, and of the queries that they all have, as methods read it."""
    found = {name: arrays[name] for name in ARRAYS if name in arrays}
    if "query_given" in asked:
        found["query_given"] = np.broadcast_to(asked["query_given"], arrays["shown"].shape)
    failed = arrays["reason"] == Reason.NOT_FINITE if "reason" in arrays else None
    return InContext(**found, failed=failed, departures=departures)


def write_pairs(
    run: Measuring, checkpoint: Checkpoint, measures: Sequence[str], candidates: Candidates
) -> None:
    """The table of all pairs under these measures."""
    mine = [measure for measure in measures if measure in VARIANTS]
    if not mine:
        return
    ids = candidates.ids
    parts = (
        _rows(run.of_shard(checkpoint, measure, shard), part, VARIANTS[measure], ids)
        for measure in mine
        for shard, part in enumerate(run.pool.slices)
    )
    write_table(run.out / PAIRS_IN_CONTEXT, PAIRS, parts)


def notes_in_context(run: Measuring, checkpoint: Checkpoint, measures: Sequence[str]) -> Iterator[str]:
    """Sentences that count what has no number, and why."""
    everyone = run.pool.examples
    if DIFFICULTY in measures:
        for name, how in (("alone", "by themselves"), ("given", "behind their prompts")):
            yield from _of_difficulty(_counts(run, checkpoint, DIFFICULTY, f"{name}_reason"), everyone, how)
    if PROMPT in measures:
        lost = sum(_lost(run, checkpoint, shard) for shard in range(len(run.pool.shards)))
        if lost:
            yield f"{lost:,} of {counted(everyone, 'prompt')}: no finite state, so no neighbours."
    context = context_length(run.session.model.config)
    for measure in measures:
        if measure in (*ON_OWN_QUERIES, ON_ANCHORS):
            counts = _counts(run, checkpoint, measure, "reason")
            yield from _of_pairs(counts, context, "their own" if measure in VARIANTS else "your")
        if measure in ON_OWN_QUERIES:
            without = sum(
                int((_measured(run, checkpoint, measure, shard).sum(axis=1) == 0).sum())
                for shard in range(len(run.pool.shards))
            )
            if without:
                yield f"{without:,} of {counted(everyone, 'candidate')}: no score in context."
            yield from _of_help(run, checkpoint, measure)


def _rows(arrays: dict[str, np.ndarray], part: slice, variant: str, ids: pa.Array) -> pa.Table:
    """One shard; absent queries are left out, but for one row of a candidate that has none."""
    known = in_context_of(arrays, {}, frozenset())
    queries = arrays["queries"]
    there = queries >= 0
    there[:, 0] |= ~there.any(axis=1)
    row, place = np.nonzero(there)
    chosen = queries[row, place]
    asked = pa.array(chosen, mask=chosen < 0)
    labels = [REASONS[Reason(int(code))] for code in arrays["reason"][row, place]]
    values = {
        "cosine": arrays["cosine"],
        "ifd": ratio(arrays["query_given"], arrays["query_alone"]),
        "ifd_shown": ratio(arrays["shown"], arrays["query_alone"]),
        "ici": influences(known),
        "weight": weights(known),
    }
    columns = {
        "candidate_id": ids.take(pa.array(part.start + row)),
        "variant": pa.array([variant] * len(row)).dictionary_encode().cast(TEXT),
        "query_id": ids.take(asked),
        **{name: _numbers(array[row, place]) for name, array in values.items()},
        "reason": pa.array(labels, pa.string()).dictionary_encode().cast(TEXT),
    }
    return pa.Table.from_pydict(columns, schema=PAIRS)


def _numbers(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _counts(run: Measuring, checkpoint: Checkpoint, measure: str, name: str) -> Counter[Reason]:
    found: Counter[Reason] = Counter()
    for shard in range(len(run.pool.shards)):
        codes, counts = np.unique(run.of_shard(checkpoint, measure, shard)[name], return_counts=True)
        found.update({Reason(int(code)): int(count) for code, count in zip(codes, counts, strict=True)})
    return found


def _lost(run: Measuring, checkpoint: Checkpoint, shard: int) -> int:
    return int((~np.isfinite(run.of_shard(checkpoint, PROMPT, shard)["states"]).all(axis=1)).sum())


def _measured(run: Measuring, checkpoint: Checkpoint, measure: str, shard: int) -> Bool[np.ndarray, "n m"]:
    return np.asarray(run.of_shard(checkpoint, measure, shard)["reason"] == Reason.MEASURED)


def _of_help(run: Measuring, checkpoint: Checkpoint, measure: str) -> Iterator[str]:
    """How often a demonstration helped at all: a model that none helps is no judge of demonstrations."""
    easier, pairs = 0, 0
    for shard in range(len(run.pool.shards)):
        arrays = run.of_shard(checkpoint, measure, shard)
        ici = influences(in_context_of(arrays, {}, frozenset()))
        easier, pairs = easier + int((ici > 0).sum()), pairs + int(np.isfinite(ici).sum())
    if pairs:
        of = f"{counted(pairs, 'pair')}{'' if measure == ON_OWN_QUERIES[0] else ' of nearest neighbours'}"
        doubt = "; a model that most of them disturb tells little of what they would teach it"
        yield (
            f"Demonstrations made their queries easier in {easier / pairs:.0%} of {of}"
            f"{doubt if 2 * easier < pairs else ''}."
        )


def _of_difficulty(counts: Counter[Reason], everyone: int, how: str) -> Iterator[str]:
    words = {
        Reason.TOO_LONG: "longer than the model's context",
        Reason.EMPTY: "no token that is scored",
        Reason.NOT_FINITE: "a result that is not finite",
    }
    for reason, what in words.items():
        if counts[reason]:
            yield f"{counts[reason]:,} of {counted(everyone, 'candidate')} {how}: {what}, so no score."


def _of_pairs(counts: Counter[Reason], context: int | None, whose: str) -> Iterator[str]:
    """The pairs that were asked for; those with an absent query were not."""
    pairs = sum(counts.values()) - counts[Reason.ABSENT]
    beyond = "" if context is None else f" of {context:,}"
    words = {
        Reason.TOO_LONG: f"longer than the model's context{beyond}",
        Reason.EMPTY: "nothing can follow the demonstration, or the query cannot stand behind one",
        Reason.NOT_FINITE: "the result is not finite",
    }
    for reason, what in words.items():
        if counts[reason]:
            yield (
                f"{counts[reason]:,} of {counted(pairs, 'pair')} of candidates and {whose} queries: {what}; "
                "they are left out of every score."
            )
