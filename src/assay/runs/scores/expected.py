"""What measuring by gradients will take, said before it begins: time, memory, and whether to project."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.errors import ConfigError
from assay.gradients.batch import Batch
from assay.gradients.curvature.fit import passes
from assay.gradients.curvature.layout import Kind, layout
from assay.gradients.engine import Engine
from assay.gradients.held import held_bytes
from assay.gradients.products import free_memory
from assay.gradients.projection import Projection
from assay.runs.durations import duration_words, size_words
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.needs import CURVATURES, MOMENTS

PLAIN = "plain"
SMALLEST, LARGEST = 64, 2**20
"""Sizes of a projection that are tried where memory is short."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`holds` are the ways in which queries are held: as they are ("plain"), and under a curvature.

    With `dense` the plain ones are held dense; with a `project` all are held projected.
    """

    holds: tuple[str, ...]
    curvatures: tuple[Kind, ...]
    dense: bool
    project: Projection | None
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is: candidates still to be measured and what the pool holds in all, in tokens."""

    examples: int
    to_measure: int
    pool_tokens: int
    sample: Sequence[Tokens]


def plan_for(
    engine: Engine, config: ScoreConfig, queries: Sequence[Tokens], work: Work, measures: Sequence[str]
) -> Plan:
    """Plan the memory and time one batch, the longest of a sample, so that what does not fit fails here.

    Raises ConfigError where the queries' gradients do not fit into the memory that may be used.
    """
    kinds: dict[Kind, None] = {}
    for kind in ("ekfac", "kfac", "diagonal"):
        if kind in measures or f"{kind}_self" in measures:
            kinds[kind] = None
    plain = bool({"gradient", *MOMENTS} & set(measures))
    holds = (*((PLAIN,) if plain else ()), *(kind for kind in CURVATURES if kind in measures))
    holds = holds if queries else ()
    dense = bool(set(MOMENTS) & set(measures))
    length = work.pool_tokens / max(1, work.examples)
    factors = sum(layout(engine, kind).bytes for kind in kinds)
    limit = free_memory(engine.device) // 2 if config.memory_gb is None else int(config.memory_gb * 1e9)

    def needed(project: Projection | None) -> float:
        each = [
            held_bytes(engine, queries, length, config.token_budget, name != PLAIN or dense, project)
            for name in holds
        ]
        return sum(each) * len(queries) + factors

    project = _chosen(config, limit, needed) if holds else None
    seconds = _seconds_per_token(engine, work.sample, config.token_budget)
    rounds = sum(passes(kind) for kind in kinds)
    again = f", after {rounds} over all candidates for the curvature" if rounds else ""
    total = seconds * (work.to_measure + rounds * work.pool_tokens + sum(map(len, queries)))
    sentences = [
        f"One pass over {work.to_measure:,} tokens of candidates{again}: about {duration_words(total)}, "
        f"{size_words(needed(project))} for gradients and factors, besides model and activations."
    ]
    if project is not None:
        sentences.append(
            f"Gradients of queries are projected to at most {project.size:,} numbers per parameter "
            f"({project.kind}, seed {project.seed}), so scores are approximate."
        )
    return Plan(holds, tuple(kinds), dense, project, tuple(sentences))


def _chosen(
    config: ScoreConfig, limit: int, needed: Callable[[Projection | None], float]
) -> Projection | None:
    """As asked for, or the largest that fits; None where exact gradients do."""
    if isinstance(config.project, int):
        return Projection(config.project, config.projection, config.seed)
    if needed(None) <= limit:
        return None
    if config.project == "off":
        raise ConfigError(
            f"The gradients of the queries take {size_words(needed(None))}, and {size_words(limit)} may be "
            "used; give fewer queries, more --memory-gb, or --project auto."
        )
    step = LARGEST
    while step >= SMALLEST:
        projection = Projection(step, config.projection, config.seed)
        if needed(projection) <= limit:
            return projection
        step //= 2
    raise ConfigError(
        f"Even projected, the gradients of the queries do not fit into {size_words(limit)}; give fewer "
        "queries or more --memory-gb."
    )


def _seconds_per_token(engine: Engine, sample: Sequence[Tokens], token_budget: int) -> float:
    rows = token_budget_batches([len(one) for one in sample], 1 if engine.one_at_a_time else token_budget)
    seconds = 0.0
    for chosen in (rows[-1], rows[0]):
        batch = Batch.of([sample[row] for row in chosen], engine.device)
        start = time.perf_counter()
        engine.run(batch, lambda name, contributions: None)
        seconds = time.perf_counter() - start
    return seconds / sum(len(sample[row]) for row in rows[0])
