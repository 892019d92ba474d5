"""What arms do to queries: differences from a reference arm, paired by seed and query, with tests.

A seed is one training of every arm on the same base batches, so seeds are the units that are redrawn: with S
of them the test is Student's t of the S differences. One seed says nothing of other trainings; then queries
are the units, and every result says so. Seeds are never bootstrapped. Knows no models and no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from assay.errors import DataError, NumericsError
from assay.validation.arms import Comparison
from assay.validation.errors_of_means import error_of_crossed, error_of_mean, holm
from assay.validation.proportions import Paired, wilson_share
from assay.validation.result import (
    Direction,
    Effect,
    InteractionRow,
    Level,
    Measure,
    Resampled,
    Row,
)

Queries = Literal["fixed", "redrawn"]

OVER_SEEDS = "t over seeds"
OVER_BOTH = "t over seeds and queries"
OVER_QUERIES = "paired t over queries"
MCNEMAR = "exact McNemar over queries"
UNTESTED = "no test"


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One measure of every arm on one query set under one base model.

    `values[arm][s, q]` is query q after training with seed s, in the measure's unit; NaN where there is no
    value (a judge's refusal). The arms share seeds and queries. Raises DataError for tables of other shapes,
    NumericsError for values that are infinite or, of right answers, neither 0 nor 1.
    """

    model: str
    query_set: str
    direction: Direction
    measure: Measure
    values: Mapping[str, Float[np.ndarray, "s q"]]

    def __post_init__(self) -> None:
        shapes = {arm: table.shape for arm, table in self.values.items()}
        if len(set(shapes.values())) > 1 or any(len(shape) != 2 or 0 in shape for shape in shapes.values()):
            raise DataError(
                f"{self.measure.title} on {self.query_set} has tables of {shapes} seeds and queries; all "
                "arms need the same seeds and queries."
            )
        for arm, table in self.values.items():
            known = table[~np.isnan(table)]
            lead = f"{self.measure.title} of the arm {arm!r} on {self.query_set} is"
            if not np.isfinite(known).all():
                raise NumericsError(f"{lead} not finite.")
            if self.measure.is_right and not np.isin(known, (0.0, 1.0)).all():
                raise NumericsError(f"{lead} neither 0 nor 1 for a query.")

    @property
    def sign(self) -> float:
        """+1 where a higher value is good for the user, −1 where it is not."""
        higher = self.measure.higher_is_better
        return (1.0 if higher else -1.0) * (1.0 if self.direction == "desired" else -1.0)

    def of(self, arm: str) -> Float[np.ndarray, "s q"]:
        if arm not in self.values:
            raise DataError(f"The arm {arm!r} was not measured on {self.query_set}.")
        return self.values[arm]

    def difference(self, weights: Mapping[str, float]) -> Float[np.ndarray, "s q"]:
        """Σ weight · value over arms, positive good for the user; NaN where an arm has no value."""
        total = np.zeros(next(iter(self.values.values())).shape)
        for arm, weight in weights.items():
            total = total + weight * self.of(arm)
        return np.asarray(self.sign * total + 0.0)


def rows_of(
    measured: Measured, reference: str, *, queries: Queries = "fixed", confidence: float = 0.95
) -> tuple[Row, ...]:
    """A row per arm, its effect against `reference`, with Holm's p over the arms that are tested."""
    others = [arm for arm in measured.values if arm != reference]
    found = [effect(measured, {arm: 1.0, reference: -1.0}, queries, confidence) for arm in others]
    effects = dict(zip(others, with_holm(found), strict=True))
    return tuple(
        Row(
            measured.model,
            arm,
            measured.query_set,
            measured.direction,
            measured.measure.name,
            level(measured, arm, confidence),
            effects.get(arm),
        )
        for arm in measured.values
    )


def interactions_of(
    measured: Measured,
    comparisons: Sequence[Comparison],
    *,
    queries: Queries = "fixed",
    confidence: float = 0.95,
) -> tuple[InteractionRow, ...]:
    """A row per comparison; Holm's p is over all differences of these rows.

    With parts p_1 … p_k, additivity is (arm − common) − Σ_i (p_i − common).
    """
    weights: list[dict[str, float]] = []
    for one in comparisons:
        weights += [{one.arm: 1.0, part: -1.0} for part in one.against]
        if one.common is not None:
            parts = dict.fromkeys(one.against, -1.0)
            weights.append({one.arm: 1.0, **parts, one.common: len(parts) - 1.0})
    tested = iter(with_holm([effect(measured, each, queries, confidence) for each in weights]))
    rows = []
    for one in comparisons:
        beyond = tuple(next(tested) for _ in one.against)
        rows.append(
            InteractionRow(
                measured.model,
                measured.query_set,
                measured.direction,
                measured.measure.name,
                one.kind,
                one.arm,
                one.against,
                beyond,
                None if one.common is None else next(tested),
            )
        )
    return tuple(rows)


def effect(
    measured: Measured, weights: Mapping[str, float], queries: Queries = "fixed", confidence: float = 0.95
) -> Effect:
    """The contrast Σ weight · arm, positive good for the user, with its interval and test.

    Two or more seeds: t on S − 1 degrees of freedom of the means over queries, which are these very queries;
    with `queries` "redrawn" the queries that have all values are a sample, too (`error_of_crossed`). One
    seed: McNemar's exact test for a difference of right answers, with Bonett and Price's interval, else t
    over the queries; the training is this very one. None for what cannot be said: one unit, or units that do
    not differ at all. Raises DataError where no query has a value in all arms.
    """
    table = measured.difference(weights)
    known = ~np.isnan(table)
    if not known.any():
        raise DataError(
            f"No query of {measured.query_set} has a value of {measured.measure.title} in all of "
            f"{', '.join(weights)}."
        )
    left_out = int((~known).sum())
    table = table[known.any(axis=1)]
    complete = table[:, ~np.isnan(table).any(axis=0)]
    crossed = queries == "redrawn" and len(table) > 1 and complete.shape[1] > 1
    if crossed:
        table = complete
    per_seed = np.nanmean(table, axis=1)
    said = Effect(
        value=float(per_seed.mean()),
        low=None,
        high=None,
        standard_error=None,
        p=None,
        test=UNTESTED,
        resampled="nothing",
        seeds=len(table),
        queries=int((~np.isnan(table)).any(axis=0).sum()),
        per_seed=tuple(float(each) for each in per_seed),
        left_out=left_out,
    )
    if crossed:
        return _tested(said, *error_of_crossed(table), OVER_BOTH, "seeds and queries", confidence)
    if len(table) > 1:
        return _tested(said, *error_of_mean(per_seed), OVER_SEEDS, "seeds", confidence)
    units = table[0][~np.isnan(table[0])]
    if measured.measure.is_right and len(weights) == 2:
        return _mcnemar(said, units, confidence)
    return _tested(said, *error_of_mean(units), OVER_QUERIES, "queries", confidence)


def level(measured: Measured, arm: str, confidence: float = 0.95) -> Level:
    """Where an arm stands; the interval is over seeds, and over queries where there is one seed.

    That of a share ends at 0 and at 1.
    """
    table = measured.of(arm)
    known = ~np.isnan(table)
    if not known.any():
        raise DataError(
            f"No query of {measured.query_set} has a value of {measured.measure.title} in the arm {arm!r}."
        )
    per_seed = np.nanmean(table[known.any(axis=1)], axis=1)
    value = float(per_seed.mean())
    if len(per_seed) == 1 and measured.measure.is_right:
        share = wilson_share(int(np.nansum(table)), int(known.sum()), confidence=confidence)
        return Level(value, share.low, share.high, "queries", "Wilson's interval over queries")
    several = len(per_seed) > 1
    units = per_seed if several else table[known]
    error, freedom = error_of_mean(units)
    if error == 0:
        return Level(value, None, None, "nothing", "no interval: its units are alike, or there is one")
    reach = float(student.ppf((1 + confidence) / 2, freedom)) * error
    low, high = value - reach, value + reach
    if measured.measure.is_right:
        low, high = max(low, 0.0), min(high, 1.0)
    if several:
        return Level(value, low, high, "seeds", OVER_SEEDS)
    return Level(value, low, high, "queries", "t over queries")


def with_holm(effects: Sequence[Effect]) -> list[Effect]:
    """The effects with Holm's p and the size of the family: all of them that have a p."""
    tested = [place for place, one in enumerate(effects) if one.p is not None]
    adjusted = dict(zip(tested, holm([one.p for one in effects if one.p is not None]), strict=True))
    return [
        replace(one, p_holm=adjusted[place], family=len(tested)) if place in adjusted else one
        for place, one in enumerate(effects)
    ]


def _tested(
    said: Effect, error: float, freedom: float, test: str, resampled: Resampled, confidence: float
) -> Effect:
    """Student's t of the value, two-sided; as it was where the standard error is 0 or unknown."""
    if error == 0:
        return said
    reach = float(student.ppf((1 + confidence) / 2, freedom)) * error
    return replace(
        said,
        low=said.value - reach,
        high=said.value + reach,
        standard_error=error,
        p=float(2 * student.sf(abs(said.value) / error, freedom)),
        test=test,
        resampled=resampled,
    )


def _mcnemar(said: Effect, units: Float[np.ndarray, "n"], confidence: float) -> Effect:
    """`units` are −1, 0 or 1 per query."""
    pairs = Paired(len(units), won=int((units > 0).sum()), lost=int((units < 0).sum()))
    found = pairs.difference(confidence=confidence)
    return replace(said, low=found.low, high=found.high, p=pairs.p, test=MCNEMAR, resampled="queries")


def sentences(queries: Queries, seeds: int, models: int) -> tuple[str, str]:
    """What goes with every table of effects: what was resampled, and how p were adjusted."""
    if seeds == 1:
        first = (
            "One seed: every interval and test redraws queries and takes this one training of each arm as it "
            "is, so nothing is said of other trainings. Right answers: McNemar's exact test and Bonett and "
            "Price's interval. Losses: a paired t test over queries."
        )
    elif queries == "fixed":
        first = (
            f"Intervals and tests redraw the {seeds} seeds (a seed is one training of every arm on the same "
            f"base batches) and hold the queries fixed: Student's t on {seeds - 1} degrees of freedom of the "
            "differences from the reference arm, seed by seed."
        )
    else:
        first = (
            f"Intervals and tests redraw the {seeds} seeds and the queries: both variances are added, what "
            "both count is taken away, and t is on Satterthwaite's degrees of freedom."
        )
    table = "one base model, query set and measure" if models > 1 else "one query set and measure"
    return (
        first,
        f"p (Holm) is adjusted for the arms of one table, that is for {table}; the comparisons of arms with "
        "each other are a family of their own. Nothing is adjusted between tables, nor are intervals.",
    )
