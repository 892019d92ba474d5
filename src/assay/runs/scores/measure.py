"""Measuring a pool at one checkpoint after another: shard by shard, skipped where it is there.

One pass of the candidates feeds every measure that gradients give. Knows engine, session and store, and
nothing of methods or of what the numbers mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.fingerprint import fingerprint
from assay.gradients.adam import adam_direction
from assay.gradients.batch import Batch
from assay.gradients.curvature.curvature import Curvature
from assay.gradients.engine import Engine
from assay.gradients.held import Held, Request, hold_all
from assay.gradients.hidden import Pooling, cosines, hidden_features
from assay.gradients.meeting import Met, Side, measure_projection, meet
from assay.gradients.projection import ProjectionError
from assay.gradients.views import Transform
from assay.methods.bm25 import Statistics, bm25_scores, statistics, words_of
from assay.models.optimizer_state import OptimizerState
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.progress import Progress
from assay.runs.lookahead.optimizer import optimizer_digest
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.expected import PLAIN, Plan, Work, plan_for
from assay.runs.scores.factors import fitted
from assay.runs.scores.moments import trusted_optimizer
from assay.runs.scores.needs import BY_GRADIENTS, BY_HIDDEN_STATES, CURVATURES, LOSS, MOMENTS
from assay.runs.scores.pool_index import PoolIndex
from assay.runs.scores.queries import Queries
from assay.runs.scores.store import QUERIES, Store

LOOKED_AT = 16
"""Candidates and queries on which a projection's error is measured."""

Missing = Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Measuring:
    """A scoring whose data and model have been read without error; `say` tells a person a sentence.

    `marks` are the fingerprints that were needed so far.
    """

    config: ScoreConfig
    session: Session
    pool: PoolIndex
    queries: Queries
    out: Path
    settings: Mapping[str, Any]
    progress: Progress
    say: Callable[..., None]
    marks: dict[tuple[Checkpoint, str], str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.out / "measures")

    def of_shard(self, checkpoint: Checkpoint, measure: str, shard: int) -> dict[str, np.ndarray]:
        """What was measured of a shard; it must be there."""
        return self._read(checkpoint, measure, shard)

    def of_queries(self, checkpoint: Checkpoint, measure: str) -> dict[str, np.ndarray]:
        """Losses and squared norms of the queries, under measures by gradients; nothing under others."""
        return self._read(checkpoint, "gradient", QUERIES) if measure in BY_GRADIENTS else {}

    def missing(self, checkpoint: Checkpoint, measures: Sequence[str]) -> dict[int, tuple[str, ...]]:
        """The measures that each shard lacks, where it lacks any."""
        marks = {name: self.mark(checkpoint, name) for name in measures}
        found = {}
        for shard in range(len(self.pool.shards)):
            lacking = tuple(
                name for name in measures if not self.store.has(checkpoint.name, name, shard, marks[name])
            )
            if lacking:
                found[shard] = lacking
        return found

    def mark(self, checkpoint: Checkpoint, measure: str) -> str:
        """Fingerprint of everything a measure depends on."""
        key = checkpoint, measure
        if key not in self.marks:
            depends = {
                **self.settings,
                "weights": self.session.weights_digest(checkpoint),
                "pool": self.pool.digest(),
                "measure": measure,
                "optimizer": optimizer_digest(checkpoint) if measure in MOMENTS else None,
            }
            self.marks[key] = fingerprint(depends)
        return self.marks[key]

    def _read(self, checkpoint: Checkpoint, measure: str, shard: int | str) -> dict[str, np.ndarray]:
        found = self.store.read(checkpoint.name, measure, shard, self.mark(checkpoint, measure))
        assert found is not None, f"{checkpoint.name}, {measure}, {shard} was not measured"
        return found

    def write(self, checkpoint: Checkpoint, measure: str, shard: int | str, **arrays: np.ndarray) -> None:
        self.store.write(checkpoint.name, measure, shard, self.mark(checkpoint, measure), arrays)


def measure_all(run: Measuring, wanted: Mapping[Checkpoint, Sequence[str]]) -> None:
    """Bring every measure of `wanted` into the store.

    Raises NumericsError naming the example whose loss or gradient is not finite, ModelError where Adam's
    moments are not there or not this model's, ConfigError where the memory is too small.
    """
    for number, (checkpoint, measures) in enumerate(wanted.items(), start=1):
        missing = run.missing(checkpoint, measures)
        if not missing:
            run.say(f"{checkpoint.name}: measured before.")
            continue
        label = f"{checkpoint.name} ({number} of {len(wanted)})"
        if mine := _of(missing, BY_GRADIENTS):
            _by_gradients(run, checkpoint, mine, label)
            missing = run.missing(checkpoint, measures)
        if mine := _of(missing, (LOSS,)):
            _losses(run, checkpoint, mine, label)
        if mine := _of(missing, BY_HIDDEN_STATES):
            _hidden_states(run, checkpoint, mine, label)
        if mine := _of(missing, ("bm25",)):
            _words(run, checkpoint, mine, label)


def _of(missing: Missing, kinds: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """What is missing of these kinds."""
    mine = {shard: tuple(name for name in names if name in kinds) for shard, names in missing.items()}
    return {shard: names for shard, names in mine.items() if names}


def _by_gradients(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    measures = tuple(dict.fromkeys(name for names in missing.values() for name in names))
    optimizer = trusted_optimizer(run.session, checkpoint) if set(measures) & set(MOMENTS) else None
    model = run.session.at(checkpoint)
    first = run.pool.read_shard(min(missing))
    with Engine(model) as engine:
        engine.check([*first, *run.queries.tokens])
        run.say(f"{engine.coverage.sentence()[0].upper()}{engine.coverage.sentence()[1:]}.")
        work = sum(run.pool.shards[shard].tokens for shard in missing)
        amount = Work(run.pool.examples, work, run.pool.tokens, first)
        plan = plan_for(engine, run.config, run.queries.tokens, amount, measures)
        run.say(*plan.sentences)
        curvatures: dict[str, Curvature] = {
            kind: _curvature(run, checkpoint, engine, kind) for kind in plan.curvatures
        }
        held = _hold(run, checkpoint, engine, plan, curvatures, label)
        if plan.project is not None and len(run.queries):
            error = measure_projection(
                engine,
                first[:LOOKED_AT],
                run.queries.tokens[:LOOKED_AT],
                plan.project,
                token_budget=run.config.token_budget,
            )
            run.say(_said(error))
        sides: dict[str, Side] = {}
        for name in measures:
            sides[name] = _side(name, held, curvatures, optimizer, engine.device, run.config.damping)
        with run.progress.stage(label, work, "tokens") as advance:
            for shard, names in missing.items():
                met = meet(
                    engine,
                    run.pool.read_shard(shard),
                    {name: sides[name] for name in names},
                    token_budget=run.config.token_budget,
                    advance=advance,
                )
                _keep(run, checkpoint, shard, met)


def _said(error: ProjectionError) -> str:
    ranks = (
        ""
        if np.isnan(error.spearman)
        else f" and order candidates alike with a Spearman of {error.spearman:.2f}"
    )
    return (
        f"On {error.candidates} candidates and {error.queries} queries, projected products differ from the "
        f"exact ones by {error.relative:.1%} of their size (root mean square){ranks}."
    )


def _keep(run: Measuring, checkpoint: Checkpoint, shard: int, met: Met) -> None:
    """Write what a shard met. An influence is divided by the number of candidates."""
    for name, side in met.sides.items():
        by_curvature = name.removesuffix("_self") in CURVATURES
        scale = 1 / run.pool.examples if by_curvature else 1.0
        arrays = {"sqnorm": side.sqnorm * scale} if name.endswith("_self") or not by_curvature else {}
        if side.dot is not None:
            arrays["dot"] = side.dot * scale
        run.write(checkpoint, name, shard, **arrays)
    run.write(checkpoint, LOSS, shard, loss=met.loss)


def _hold(
    run: Measuring,
    checkpoint: Checkpoint,
    engine: Engine,
    plan: Plan,
    curvatures: Mapping[str, Curvature],
    label: str,
) -> dict[str, Held]:
    """Gradients of the queries as every side meets them; their losses and norms are kept."""
    if not plan.holds:
        return {}
    requests = {
        name: Request(
            curvatures[name].inverse(run.config.damping) if name in curvatures else None,
            plan.project,
            dense=name == PLAIN and plan.dense,
        )
        for name in plan.holds
    }
    held = hold_all(
        engine,
        run.queries.tokens,
        requests,
        candidate_length=run.pool.tokens / run.pool.examples,
        token_budget=run.config.token_budget,
        progress=run.progress,
        label=f"{label}: queries",
    )
    one = next(iter(held.values()))
    run.write(checkpoint, "gradient", QUERIES, sqnorm=one.sqnorm, loss=one.loss)
    return held


def _side(
    name: str,
    held: Mapping[str, Held],
    curvatures: Mapping[str, Curvature],
    optimizer: OptimizerState | None,
    device: torch.device,
    damping: float,
) -> Side:
    if name in MOMENTS:
        assert optimizer is not None
        transform: Transform = adam_direction(optimizer, device, exact=name == "adam_exact")
        return Side(held.get(PLAIN), transform, mean=True)
    if name.endswith("_self"):
        return Side(None, curvatures[name.removesuffix("_self")].whitening(damping))
    return Side(held.get(name if name in curvatures else PLAIN))


def _curvature(run: Measuring, checkpoint: Checkpoint, engine: Engine, kind: Any) -> Curvature:
    depends = {
        "model": run.settings["model"],
        "weights": run.session.weights_digest(checkpoint),
        "pool": run.pool.digest(),
        "seed": run.config.seed,
        "factor_examples": run.config.factor_examples,
        "kind": kind,
    }
    found = fitted(
        engine,
        run.pool,
        kind,
        folder=run.out / "factors" / checkpoint.name,
        fingerprint=fingerprint(depends),
        seed=run.config.seed,
        examples=run.config.factor_examples,
        token_budget=run.config.token_budget,
        progress=run.progress,
        label=f"{checkpoint.name}: {kind} curvature",
    )
    run.say(f"{found.sentence()[0].upper()}{found.sentence()[1:]}.")
    return found


def _losses(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    """Forward passes alone, for shards that no pass by gradients has been over."""
    model = run.session.at(checkpoint)
    with (
        Engine(model) as engine,
        run.progress.stage(
            f"{label}: losses", sum(run.pool.shards[shard].tokens for shard in missing), "tokens"
        ) as advance,
    ):
        engine.check(run.pool.read_shard(min(missing)))
        for shard in missing:
            tokens = run.pool.read_shard(shard)
            losses = np.empty(len(tokens))
            budget = 1 if engine.one_at_a_time else run.config.token_budget
            for rows in token_budget_batches([len(one) for one in tokens], budget):
                batch = [tokens[row] for row in rows]
                losses[rows] = engine.losses(Batch.of(batch, engine.device)).cpu().numpy()
                advance(sum(map(len, batch)))
            run.write(checkpoint, LOSS, shard, loss=losses)


def _hidden_states(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    model = run.session.at(checkpoint)
    poolings: list[Pooling] = [
        name for name in ("rds", "embedding") if any(name in n for n in missing.values())
    ]
    asked = hidden_features(model, run.queries.tokens, poolings, token_budget=run.config.token_budget)
    work = sum(run.pool.shards[shard].tokens for shard in missing)
    with run.progress.stage(f"{label}: hidden states", work, "tokens") as advance:
        for shard, names in missing.items():
            mine: list[Pooling] = [name for name in poolings if name in names]
            tokens = run.pool.read_shard(shard)
            found = hidden_features(model, tokens, mine, token_budget=run.config.token_budget)
            for name in mine:
                run.write(
                    checkpoint, name, shard, dot=cosines(found[name], asked[name]), features=found[name]
                )
            advance(run.pool.shards[shard].tokens)


def _words(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    queries = [tokens.input_ids for tokens in run.queries.tokens]
    words = words_of(queries)
    total: Statistics | None = None
    with run.progress.stage(f"{label}: words", 2 * run.pool.tokens, "tokens") as advance:
        for shard in range(len(run.pool.shards)):
            here = statistics(_ids(run.pool.read_shard(shard)), words)
            total = here if total is None else total + here
            advance(run.pool.shards[shard].tokens)
        assert total is not None
        for shard in missing:
            run.write(
                checkpoint,
                "bm25",
                shard,
                dot=bm25_scores(_ids(run.pool.read_shard(shard)), queries, total),
            )
            advance(run.pool.shards[shard].tokens)


def _ids(tokens: Sequence[Tokens]) -> list[np.ndarray]:
    return [example.input_ids for example in tokens]
