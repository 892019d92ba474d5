"""What has to be measured for a choice of methods: which measure at which checkpoints. Computes nothing."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from assay.errors import ConfigError
from assay.methods.table import Method
from assay.models.rates import mean_learning_rates
from assay.models.trajectory import Checkpoint, Trajectory

CURVATURES = ("ekfac", "kfac", "diagonal")
MOMENTS = ("adam", "adam_exact")
BY_GRADIENTS = ("gradient", *MOMENTS, *CURVATURES, *(f"{name}_self" for name in CURVATURES))
BY_HIDDEN_STATES = ("rds", "embedding")
BY_WORDS = ("bm25",)
LOSS = "loss"
DIFFICULTY, COMPLEXITY, PROMPT = "ifd", "complexity", "prompt"
ON_OWN_QUERIES = ("in_context", "in_context_nearest")
ON_ANCHORS = "shown"
IN_CONTEXT = (DIFFICULTY, COMPLEXITY, PROMPT, *ON_OWN_QUERIES, ON_ANCHORS)
"""In an order in which each finds what it needs of the others."""
VARIANTS = dict(zip(ON_OWN_QUERIES, ("clusters", "nearest"), strict=True))
"""By measure, how a candidate's queries were chosen."""
PAIRS_IN_CONTEXT = "in_context.parquet"
"""Table of every candidate before each of its own queries."""
JOINED = (*ON_OWN_QUERIES, ON_ANCHORS)
"""Those for which candidates stand before queries."""


def meets_queries(measure: str) -> bool:
    """Whether candidates' gradients meet those of queries in a measure, where there are queries."""
    return measure in BY_GRADIENTS and not measure.endswith("_self")


def options_in_context(measures: Collection[str]) -> tuple[str, ...]:
    """The settings that some of these measures in context depend on."""
    found: tuple[str, ...] = ()
    if {PROMPT, *ON_OWN_QUERIES} & {*measures}:
        found += ("embeddings",)
    if {COMPLEXITY, *ON_OWN_QUERIES} & {*measures}:
        found += ("complexity",)
    if {*ON_OWN_QUERIES} & {*measures}:
        found += ("clusters",)
    if ON_OWN_QUERIES[0] in measures:
        found += ("neighbours",)
    return found


def with_needed(measures: Sequence[str], complexity: str) -> tuple[str, ...]:
    """Measures, and those that they are made from; `complexity` is where that of a candidate comes from."""
    found = {*measures}
    if found & {*ON_OWN_QUERIES}:
        found |= {DIFFICULTY, COMPLEXITY, PROMPT}
    if COMPLEXITY in found and complexity == DIFFICULTY:
        found.add(DIFFICULTY)
    others = [measure for measure in measures if measure not in IN_CONTEXT]
    return (*others, *(measure for measure in IN_CONTEXT if measure in found))


@dataclass(frozen=True, slots=True)
class Step:
    """A checkpoint of a method's sum, and its weight there."""

    checkpoint: Checkpoint
    weight: float


def measures_of(
    rows: Sequence[Method], trajectory: Trajectory, complexity: str = DIFFICULTY
) -> dict[Checkpoint, tuple[str, ...]]:
    """Measures by checkpoint, in the order of the trajectory; what needs no model stands with the last."""
    found: dict[Checkpoint, list[str]] = {one: [] for one in trajectory.checkpoints}
    for row in rows:
        measure = measure_of(row)
        if measure is None:
            continue
        for step in steps_of(row, trajectory):
            if measure not in found[step.checkpoint]:
                found[step.checkpoint].append(measure)
    return {one: with_needed(measures, complexity) for one, measures in found.items() if measures}


def measure_of(row: Method) -> str | None:
    """The measure a method reads. ⟨g_z, H⁻¹ g_z⟩ costs a side of its own, so it has a name of its own."""
    own = row.measure in CURVATURES and not row.per_query
    return f"{row.measure}_self" if own else row.measure


def steps_of(row: Method, trajectory: Trajectory) -> tuple[Step, ...]:
    """The checkpoints that a method sums over, with their weights.

    "rate" weighs with η_k, the rate that checkpoint k was saved at (TracInCP), over a "stretch" with η̄_k, the
    mean rate of the steps since the checkpoint before (LESS). A single checkpoint weighs 1, one of rate 0 is
    left out. Raises ConfigError where the run's rates are not known, are none, or are all 0.
    """
    checkpoints = trajectory.checkpoints
    if row.checkpoints != "all":
        return (Step(checkpoints[-1], 1.0),)
    if row.weight == "one" or len(checkpoints) == 1:
        return tuple(Step(one, 1.0) for one in checkpoints)
    mean = row.rate_over == "stretch"
    rates = mean_learning_rates(trajectory) if mean else tuple(one.learning_rate for one in checkpoints)
    known = [(one, rate) for one, rate in zip(checkpoints, rates, strict=True) if one.kind != "base"]
    unknown = [one.name for one, rate in known if rate is None]
    if unknown:
        raise ConfigError(
            f"{row.name} weighs checkpoints by their learning rates, and that of {unknown[0]} is not known: "
            "there is no trainer_state.json. Choose one checkpoint with --steps and graddot or gradcos."
        )
    wrong = [(one.name, rate) for one, rate in known if rate is not None and not 0 <= rate < math.inf]
    if wrong:
        raise ConfigError(
            f"{row.name} weighs checkpoints by their learning rates, and {wrong[0][0]} tells {wrong[0][1]}, "
            "which is none. Mend its trainer_state.json, or choose one checkpoint with --steps."
        )
    steps = tuple(Step(one, rate) for one, rate in known if rate)
    if not steps:
        raise ConfigError(
            f"{row.name} weighs checkpoints by their learning rates, and all of the chosen ones are 0 (a "
            "schedule's end); choose earlier ones with --steps."
        )
    return steps
