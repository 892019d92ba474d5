"""Predictions beside outcomes: does a study's verdict have the sign that training turned out to have?

Knows how neither came about. Rows are taken for independent, which they are not quite (`CAVEAT`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import atanh, sqrt, tanh

import numpy as np
from scipy.stats import norm

from assay.studies.intervals import has_interval
from assay.studies.result import Estimate, Verdict
from assay.validation.proportions import wilson_share
from assay.validation.ranks import spearman
from assay.validation.result import Against, Agreement, Beside, Context, Direction, Effect, Rank

SIGNS = {"helps": 1, "better": 1, "harms": -1, "worse": -1}
"""Verdicts that commit to a sign."""

FEWEST = 4
FISHER = "Fisher's z with the standard error √((1 + r²/2)/(n − 3)) of Bonett and Wright (2000)"
PERFECT = f"{FISHER}; the near end is that of an order one swap away from the perfect one"
CAVEAT = (
    "Agreement is counted apart for desired and undesired query sets: where both hold the same questions, "
    "their rows nearly repeat each other with the sign turned. Intervals of agreement take the rows for "
    "independent. They are not: an arm's rows on several query sets come from the same trainings, arms that "
    "add the same set share a verdict, and all rows share the trainings that they are held against. So these "
    "intervals are too narrow."
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a study says of a strategy on a query set before training; positive is good for the user."""

    strategy: str
    query_set: str
    context: Context
    against: Against
    verdict: str
    value: float
    low: float | None
    high: float | None


def predictions_of(verdicts: Iterable[Verdict]) -> tuple[Prediction, ...]:
    """Each verdict's effect, against the base, and its difference from the control where it has one."""
    found = []
    for one in verdicts:
        said: list[tuple[Against, str | None, Estimate | None]] = [
            ("base", one.vs_zero, one.effect),
            ("control", one.vs_control, one.difference),
        ]
        for against, word, estimate in said:
            if word is None or estimate is None:
                continue
            low, high = (estimate.low, estimate.high) if has_interval(estimate) else (None, None)
            found.append(
                Prediction(
                    one.probe_set, one.query_set, one.context, against, word, estimate.value, low, high
                )
            )
    return tuple(found)


def beside(
    prediction: Prediction, true: Effect, *, model: str, measure: str, arm: str, direction: Direction
) -> Beside:
    """One row: the prediction and the effect of the arm that trained on its strategy.

    `direction` is that of the query set. `true` must be held against the same as the prediction: the base,
    or the arm with the control.
    """
    said = SIGNS.get(prediction.verdict, 0)
    happened = int(np.sign(true.value))
    predicted = int(np.sign(prediction.value))
    return Beside(
        model=model,
        measure=measure,
        strategy=prediction.strategy,
        query_set=prediction.query_set,
        direction=direction,
        context=prediction.context,
        against=prediction.against,
        arm=arm,
        verdict=prediction.verdict,
        predicted=prediction.value,
        predicted_low=prediction.low,
        predicted_high=prediction.high,
        true=true.value,
        true_low=true.low,
        true_high=true.high,
        committed=said != 0,
        clear=true.sign != 0,
        agrees=predicted == happened if predicted and happened else None,
        kept=said == happened if said else None,
    )


def agreements_of(rows: Sequence[Beside], *, confidence: float = 0.95) -> tuple[Agreement, ...]:
    """One for every base model, measure, context, what is held against, and direction of query sets.

    Those of desired sets come first, else the order is that of the rows.
    """
    groups: dict[tuple[str, str, Context, Against, Direction], list[Beside]] = {}
    for row in sorted(rows, key=lambda row: row.direction == "undesired"):
        place = row.model, row.measure, row.context, row.against, row.direction
        groups.setdefault(place, []).append(row)
    return tuple(_agreement(mine, confidence) for mine in groups.values())


def _agreement(rows: Sequence[Beside], confidence: float) -> Agreement:
    signed = [row.agrees for row in rows if row.agrees is not None]
    kept = [row.kept for row in rows if row.kept is not None]
    clear = [row.committed for row in rows if row.clear]
    first = rows[0]
    return Agreement(
        model=first.model,
        measure=first.measure,
        context=first.context,
        against=first.against,
        direction=first.direction,
        rows=tuple(rows),
        signs=wilson_share(sum(signed), len(signed), confidence=confidence),
        rank=rank([row.predicted for row in rows], [row.true for row in rows], confidence=confidence),
        committed=wilson_share(sum(row.committed for row in rows), len(rows), confidence=confidence),
        kept=wilson_share(sum(kept), len(kept), confidence=confidence),
        clear_committed=wilson_share(sum(clear), len(clear), confidence=confidence),
    )


def rank(predicted: Sequence[float], true: Sequence[float], *, confidence: float = 0.95) -> Rank:
    """Spearman's correlation with an interval from four rows on, as `FISHER` says.

    A perfect order has no such interval, since z is infinite: its outer end is ±1, and its near end is that
    of the order with two neighbours swapped, r = 1 − 12/(n (n² − 1)). No value where one side is constant
    or there are fewer than two rows.
    """
    x, y = (np.asarray(each, dtype=np.float64)[:, None] for each in (predicted, true))
    n = len(x)
    if n < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Rank(None, None, None, n, "not defined: fewer than two rows, or all of one side are equal")
    value = round(float(spearman(x, y)[0]), 12)
    if n < FEWEST:
        return Rank(value, None, None, n, f"no interval: fewer than {FEWEST} rows")
    near = 1 - 12 / (n * (n**2 - 1))
    perfect = abs(value) > near + 1e-9
    r = float(np.copysign(near, value)) if perfect else value
    reach = float(norm.ppf((1 + confidence) / 2)) * sqrt((1 + r**2 / 2) / (n - 3))
    low, high = tanh(atanh(r) - reach), tanh(atanh(r) + reach)
    if perfect:
        low, high = (low, 1.0) if value > 0 else (-1.0, high)
    return Rank(value, low, high, n, PERFECT if perfect else FISHER)
