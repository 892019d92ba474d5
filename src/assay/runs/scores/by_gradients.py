"""The pass that gives every measure by gradients: queries are held, candidates go by once for all of them.

Knows nothing of methods.
"""

from collections.abc import Mapping

import numpy as np
import torch

from assay.fingerprint import fingerprint
from assay.gradients.adam import adam_direction
from assay.gradients.curvature.curvature import Curvature
from assay.gradients.curvature.layout import Kind
from assay.gradients.engine import Engine
from assay.gradients.held import Held, Request, hold_all
from assay.gradients.meeting import Met, Side, measure_projection, meet
from assay.gradients.projection import Projection, ProjectionError
from assay.gradients.views import Transform
from assay.models.optimizer_state import OptimizerState
from assay.models.trajectory import Checkpoint
from assay.runs.scores.factors import fitted
from assay.runs.scores.measuring import Measuring, Missing
from assay.runs.scores.moments import trusted_optimizer
from assay.runs.scores.needs import CURVATURES, LOSS, MOMENTS
from assay.runs.scores.plan import PLAIN, Plan, plan_of
from assay.runs.scores.store import QUERIES

LOOKED_AT = 16
"""Candidates and queries on which a projection's error is measured."""


def measure_by_gradients(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    """Bring what is missing into the store, and the losses of the same candidates with it."""
    plan = plan_of(run, missing)
    optimizer = trusted_optimizer(run.session, checkpoint) if set(plan.measures) & set(MOMENTS) else None
    model = run.session.at(checkpoint)
    first = run.pool.read_shard(min(missing))
    choice = run.choice if plan.holds else None
    project = None if choice is None else choice.projection
    with Engine(model) as engine:
        engine.check([*first, *run.queries.tokens])
        curvatures: dict[str, Curvature] = {
            kind: _curvature(run, checkpoint, engine, kind) for kind in plan.curvatures
        }
        held = _hold(run, checkpoint, engine, plan, project, curvatures, label)
        if project is not None:
            error = measure_projection(
                engine,
                first[:LOOKED_AT],
                run.queries.tokens[:LOOKED_AT],
                project,
                token_budget=run.config.token_budget,
            )
            run.say(_said(error))
        sides = {
            name: _side(name, held, curvatures, optimizer, engine.device, run.config.damping)
            for name in plan.measures
        }
        with run.progress.stage(label, run.tokens_of(missing), "tokens") as advance:
            for shard, names in missing.items():
                met = meet(
                    engine,
                    run.pool.read_shard(shard),
                    sides,
                    token_budget=run.config.token_budget,
                    advance=advance,
                )
                _keep(run, checkpoint, shard, met, names)


def _keep(run: Measuring, checkpoint: Checkpoint, shard: int, met: Met, names: tuple[str, ...]) -> None:
    """Write what a shard met of what it lacks; an influence is divided by the number of candidates.

    Losses come first and plain gradients second: nothing that is written depends on what is left then, so
    that a run which is stopped in between goes on to the same numbers.
    """
    if not run.has(checkpoint, LOSS, shard):
        run.write(checkpoint, LOSS, shard, loss=met.loss)
    for name in sorted(names, key=lambda name: name != "gradient"):
        side = met.sides[name]
        by_curvature = name.removesuffix("_self") in CURVATURES
        scale = 1 / run.pool.examples if by_curvature else 1.0
        arrays = {"sqnorm": side.sqnorm * scale} if name.endswith("_self") or not by_curvature else {}
        if side.dot is not None:
            arrays["dot"] = side.dot * scale
        run.write(checkpoint, name, shard, **arrays)


def _hold(
    run: Measuring,
    checkpoint: Checkpoint,
    engine: Engine,
    plan: Plan,
    project: Projection | None,
    curvatures: Mapping[str, Curvature],
    label: str,
) -> dict[str, Held]:
    """Gradients of the queries as every side meets them; their losses and norms are kept."""
    if not plan.holds:
        return {}
    requests = {
        name: Request(
            curvatures[name].inverse(run.config.damping) if name in curvatures else None,
            project,
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
    if not run.has(checkpoint, "gradient", QUERIES):
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


def _curvature(run: Measuring, checkpoint: Checkpoint, engine: Engine, kind: Kind) -> Curvature:
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
