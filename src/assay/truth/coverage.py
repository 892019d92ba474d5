"""How often the intervals of a lookahead hold what real training then did.

The truth is that of the regime `AHEAD`, which steps as a lookahead does, for an interval speaks of the effect
of such steps and of no other. Knows nothing of how either side was computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.studies.layout import CONTEXTS, LEFT_OUT
from assay.studies.lookahead import LookaheadMeasurements, effects
from assay.studies.result import Context, Estimate
from assay.studies.seeds import seeded
from assay.truth.agreement import differences
from assay.truth.evaluate import Against
from assay.truth.halves import CONTROL
from assay.truth.measured import QUERIES
from assay.truth.regimes import AHEAD
from assay.truth.table import Effects, Truth


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of the intervals of so many `strategies`, how many held the true value.

    `held` counts true values inside the predicted interval. They are means over few seeds and have noise of
    their own: `held_with_noise` grants it. Prediction and truth share their tasks, so the variation over
    tasks that the interval allows for is not put to the test there. `elsewhere` of `asked_elsewhere`
    intervals from half of the tasks held the truth of the other half, noise granted.
    """

    per_task: int
    context: Context
    against: Against
    strategies: int
    held: int
    held_with_noise: int
    asked_elsewhere: int
    elsewhere: int


def coverages(
    truth: Truth, measured: LookaheadMeasurements, per_task: int, chosen: Sequence[str]
) -> list[Coverage]:
    """By context, of effects and of differences from the control; nothing without truth of `AHEAD`."""
    if (AHEAD, CONTEXTS[0]) not in truth.effects:
        return []
    questions: tuple[Against, ...] = ("control", "zero")
    return [
        _coverage(truth.effects[AHEAD, context], measured, per_task, context, against, chosen)
        for context in CONTEXTS
        for against in questions
    ]


def holds(predicted: Estimate, value: float, reach: float = 0.0) -> bool:
    """Whether |prediction − value| ≤ √(r² + `reach`²), r being half of the prediction's interval.

    With a reach of 0 it is whether the interval holds the value. Else both sides have an interval, and this
    is that of their difference from the half widths of the two (Zou and Donner 2008).
    """
    own = (predicted.high - predicted.low) / 2
    return bool(abs(predicted.value - value) <= np.hypot(own, reach))


def _coverage(
    true: Effects,
    measured: LookaheadMeasurements,
    per_task: int,
    context: Context,
    against: Against,
    chosen: Sequence[str],
) -> Coverage:
    control = CONTROL if against == "control" else None
    names = [name for name in chosen if name in true.strategies and name in measured.probe_sets]
    held = held_with_noise = asked_elsewhere = elsewhere = 0
    for name in names:
        said = effects(measured, name, QUERIES, context, control)
        done = _beside(true, name, control)
        noise = differences(done.mean(axis=1)[None], np.zeros(len(done)))
        found = _estimate(measured, said, true.tasks)
        value, reach = float(noise.mean[0]), float(noise.reach[0])
        held += holds(found, value)
        held_with_noise += holds(found, value, reach)
        for mine, others in _two_ways(true.tasks):
            other = seeded(done[:, [task in others for task in true.tasks]], np.arange(len(others)))
            assert other is not None
            far = (other.estimate.high - other.estimate.low) / 2
            asked_elsewhere += 1
            elsewhere += holds(_estimate(measured, said, mine), other.estimate.value, far)
    return Coverage(per_task, context, against, len(names), held, held_with_noise, asked_elsewhere, elsewhere)


def _beside(true: Effects, name: str, control: str | None) -> Float[np.ndarray, "s k"]:
    return true.of(name) - (true.of(control) if control is not None else 0.0)


def _estimate(
    measured: LookaheadMeasurements, said: Float[np.ndarray, "s q"], tasks: Sequence[str]
) -> Estimate:
    """The prediction with its interval, from the queries of some tasks alone."""
    labels = measured.tasks_of(QUERIES)
    numbers = np.where([label in tasks for label in labels], measured.numbered(QUERIES), LEFT_OUT)
    found = seeded(said, numbers)
    assert found is not None
    return found.estimate


def _two_ways(tasks: Sequence[str]) -> tuple[tuple[list[str], list[str]], ...]:
    """Every other task in the order of the alphabet, and the rest; then the other way round."""
    ordered = sorted(tasks)
    first, second = ordered[::2], ordered[1::2]
    return (first, second), (second, first)
