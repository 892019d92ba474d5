"""What a pass by gradients holds at a checkpoint, and the memory that takes. Runs no model."""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.data.example import Tokens
from assay.gradients.curvature.layout import Kind, layout
from assay.gradients.engine import Engine
from assay.gradients.held import held_bytes
from assay.gradients.projection import Projection
from assay.runs.scores.measuring import Measuring, Missing
from assay.runs.scores.needs import CURVATURES, MOMENTS

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Plan:
    """`measures` are those of the pass, `curvatures` what has to be fitted for them.

    `holds` are the ways in which queries are held: as they are ("plain"), and under a curvature. With `dense`
    the plain ones are held dense.
    """

    measures: tuple[str, ...]
    curvatures: tuple[Kind, ...]
    holds: tuple[str, ...]
    dense: bool


def plan_of(run: Measuring, missing: Missing) -> Plan:
    """For all that any shard lacks."""
    measures = tuple(dict.fromkeys(name for names in missing.values() for name in names))
    kinds: tuple[Kind, ...] = ("ekfac", "kfac", "diagonal")
    plain = (PLAIN,) if {"gradient", *MOMENTS} & set(measures) else ()
    holds = (*plain, *(kind for kind in CURVATURES if kind in measures))
    return Plan(
        measures,
        tuple(kind for kind in kinds if {kind, f"{kind}_self"} & set(measures)),
        holds if len(run.queries) else (),
        bool(set(MOMENTS) & set(measures)),
    )


def bytes_needed(
    plan: Plan,
    engine: Engine,
    queries: Sequence[Tokens],
    candidate_length: float,
    token_budget: int,
    project: Projection | None,
) -> float:
    """What held gradients and curvatures take together."""
    each = (
        held_bytes(engine, queries, candidate_length, token_budget, name != PLAIN or plan.dense, project)
        for name in plan.holds
    )
    return sum(each) * len(queries) + sum(layout(engine, kind).bytes for kind in plan.curvatures)
