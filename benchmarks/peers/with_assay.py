"""assay's part in the comparison: what `assay score` runs for `graddot` and `ekfac`, with the stages timed.

"dots" holds the gradients of the queries and lets the candidates pass; so does "given", in the batches of
the fixture in place of assay's own. "ekfac" takes covariances,
eigenvectors and moments over the candidates, holds H⁻¹g of the queries and lets the candidates pass. The
curvature is written to disk, as `assay score` does it and its peers do.
"""

import sys
from collections.abc import Sequence

import numpy as np
from peft import PeftModel
from stored import Call, Clock, Group

from assay.data.example import Tokens
from assay.gradients import Batch, Engine
from assay.gradients.curvature import (
    Covariances,
    Curvature,
    Moments,
    curvature,
    eigenbases,
    layout,
    observe,
    save_curvature,
)
from assay.gradients.held import hold
from assay.gradients.meeting import Side, meet
from assay.gradients.views import Transform


def main() -> None:
    call, clock = Call.read(), Clock()
    model = call.model()
    candidates, queries = call.groups()
    if call.work == "given":
        keep_batches(candidates, candidates.first(2), queries)
    scored(model, candidates.first(2), queries, Clock())
    transform = None
    if call.work == "ekfac":
        found = fitted(model, candidates, clock)
        call.result.mkdir(parents=True, exist_ok=True)
        with clock.stage("write"):
            save_curvature(call.result / "curvature.safetensors", found, "benchmark")
        transform = found.inverse()
    call.leave(clock, scored(model, candidates, queries, clock, transform))


def keep_batches(*groups: Group) -> None:
    """Let assay take these groups in the batches that they came with."""
    known = {tuple(len(row["input_ids"]) for row in group.rows): group.batches for group in groups}

    def as_given(lengths: Sequence[int], budget: int) -> list[list[int]]:
        return known[tuple(lengths)]

    sys.modules["assay.gradients.views"].__dict__["token_budget_batches"] = as_given


def tokens(group: Group) -> list[Tokens]:
    return [
        Tokens(str(number), np.array(row["input_ids"]), (np.array(row["labels"]) != -100).astype(np.float32))
        for number, row in enumerate(group.rows)
    ]


def fitted(model: PeftModel, group: Group, clock: Clock) -> Curvature:
    """The EK-FAC curvature on a group, with labels drawn from the model."""
    members = tokens(group)
    with Engine(model) as engine:
        with clock.stage("covariances"):
            engine.check(members)
            plan = layout(engine, "ekfac")
            covariances = Covariances.zeros(plan, engine.device)
            for rows in group.batches:
                observe(engine, Batch.of([members[row] for row in rows], engine.device), 0, covariances)
        with clock.stage("eigen"):
            bases = eigenbases(covariances)
        with clock.stage("moments"):
            moments = Moments.zeros(plan.shapes, bases, engine.device)
            for rows in group.batches:
                observe(engine, Batch.of([members[row] for row in rows], engine.device), 1, moments)
    return curvature(plan, bases, moments)


def scored(
    model: PeftModel, group: Group, queries: Group, clock: Clock, transform: Transform | None = None
) -> np.ndarray:
    """⟨g_z, T(g_q)⟩ of every candidate z and query q, (candidates, queries)."""
    candidates, held = tokens(group), tokens(queries)
    length = sum(map(len, candidates)) / len(candidates)
    with Engine(model) as engine, clock.stage("scores"):
        engine.check([*candidates, *held])
        gradients = hold(engine, held, candidate_length=length, transform=transform)
        found = meet(engine, candidates, {"only": Side(gradients)}).sides["only"].dot
    assert found is not None
    return found


if __name__ == "__main__":
    main()
