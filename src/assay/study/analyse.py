"""From all that was measured to all that is said: one pure function.

The same measurements and options always give the same result. Knows no files, no models and no clock.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from assay.errors import ConfigError
from assay.study import curves
from assay.study.curves import curve
from assay.study.estimators import ESTIMATORS, estimator_named
from assay.study.exhibits import cells, extremes, references, set_summaries
from assay.study.flags import per_task, study_flags, verdict_flags
from assay.study.layout import CONTEXTS, lay_out
from assay.study.measurements import Measurements
from assay.study.replicates import Replicates
from assay.study.result import (
    Context,
    Contrast,
    Curve,
    Estimate,
    Settle,
    StudyResult,
    Verdict,
)
from assay.study.sentences import contrast_sentence, verdict_sentence
from assay.study.settle import components, settle, unreplicated
from assay.study.usable import usable
from assay.study.verdict import Comparison, compare, sign_of, timing, versus_control, versus_zero

REFERENCES_SHOWN = 3


def analyse(
    measurements: Measurements,
    *,
    estimator: str = "relinf",
    margin: float = 0.2,
    design: str | None = None,
    about: dict[str, Any] | None = None,
    extremes_shown: int = 3,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> StudyResult:
    """Curves, verdicts, contrasts and caveats of a study.

    `estimator` is the row of `ESTIMATORS` that verdicts, cells and extremes use; curves are given for all.
    `margin` is relative: within ±margin · |the control's effect| a strategy is *like* the control.
    `resamples` and `seed` belong to the bootstrap that serves where there are fewer than five tasks.
    ConfigError for an unknown estimator or option; NumericsError for a NaN or Inf, naming the example.
    """
    row = estimator_named(estimator)
    _check(measurements, margin, confidence, resamples)
    measured, set_aside = usable(measurements)
    layout = lay_out(measured)
    replicates = Replicates(measured, layout, resamples=resamples, seed=seed)
    if row not in replicates.estimators:
        raise ConfigError(f"{estimator} needs the products within each set, which were not measured.")
    return StudyResult(
        verdicts=tuple(_verdicts(replicates, estimator, margin, confidence)),
        curves=tuple(_curves(replicates, confidence)),
        cells=tuple(cells(replicates, estimator)),
        extremes=tuple(extremes(measured, layout, estimator, extremes_shown)),
        sets=tuple(set_summaries(measured)),
        references=tuple(references(measured, REFERENCES_SHOWN)),
        flags=(*study_flags(measured, layout), *set_aside),
        excluded_pairs=sum(int(np.sum(pairs)) for pairs in measured.excluded.values()),
        estimator=estimator,
        design=design,
        about=dict(about or {}),
        contrasts=tuple(_contrasts(replicates, estimator, confidence)),
    )


def _check(measured: Measurements, margin: float, confidence: float, resamples: int) -> None:
    if margin < 0 or not np.isfinite(margin):
        raise ConfigError(
            f"The margin is {margin}; it must be 0 or more, as a share of the control's effect."
        )
    if not 0 < confidence < 1:
        raise ConfigError(f"The confidence is {confidence}; it must lie between 0 and 1.")
    if resamples < 100:
        raise ConfigError(f"{resamples} resamples are too few for an interval; take at least 100.")
    if measured.control is not None and measured.control not in measured.probe_sets:
        raise ConfigError(f"The control {measured.control!r} is not among the probe sets.")
    if not measured.checkpoints:
        raise ConfigError("There is no checkpoint to study.")


def _in_every_combination(replicates: Replicates) -> Iterator[tuple[str, str, Context]]:
    for query_set in replicates.measured.query_sets:
        for context in CONTEXTS:
            for probe_set in replicates.measured.probe_sets:
                yield probe_set, query_set, context


def _curves(replicates: Replicates, confidence: float) -> Iterator[Curve]:
    checkpoints = replicates.measured.checkpoints
    for row in replicates.estimators:
        for probe_set, query_set, context in _in_every_combination(replicates):
            mask = replicates.mask(context, [probe_set], [query_set])
            if mask.any():
                draws = replicates.draws(row.name, probe_set, query_set, mask)
                yield curve(draws, checkpoints, probe_set, query_set, context, row.name, confidence)


def _verdicts(replicates: Replicates, estimator: str, margin: float, confidence: float) -> Iterator[Verdict]:
    for probe_set, query_set, context in _in_every_combination(replicates):
        compared = compare(replicates, estimator, probe_set, query_set, context)
        if compared is not None:
            yield _verdict(replicates, compared, margin, confidence)


def _verdict(replicates: Replicates, compared: Comparison, margin: float, confidence: float) -> Verdict:
    measured = replicates.measured
    over = curves.level(len(measured.checkpoints))
    effect, control_effect, difference = (
        None if draws is None else draws.combined(over, confidence)
        for draws in (compared.effect, compared.control_effect, compared.difference)
    )
    assert effect is not None
    like = 0.0 if control_effect is None else margin * abs(control_effect.value)
    vs_zero = versus_zero(effect, like)
    vs_control = None if compared.control is None else versus_control(difference, like)
    when = timing(compared.effect, vs_zero, confidence)
    if vs_control == "undecided" and difference is not None:
        open_question = compared.difference
    else:
        open_question = compared.effect if vs_zero == "undecided" else None
    return Verdict(
        probe_set=compared.probe_set,
        query_set=compared.query_set,
        context=compared.context,
        estimator=compared.estimator,
        vs_control=vs_control,
        vs_zero=vs_zero,
        when=when,
        sentence=verdict_sentence(
            probe_set=compared.probe_set,
            query_set=compared.query_set,
            context=compared.context,
            by_file=replicates.layout.by_file,
            undesired=measured.query_sets[compared.query_set].direction == "undesired",
            unit=ESTIMATORS[compared.estimator].unit,
            control=compared.control,
            effect=effect,
            difference=difference,
            margin=margin,
            vs_zero=vs_zero,
            vs_control=vs_control,
            when=when,
        ),
        effect=effect,
        control_effect=control_effect,
        difference=difference,
        margin=None if compared.control is None else margin,
        flags=tuple(verdict_flags(replicates, compared, confidence)),
        settle=None
        if open_question is None
        else _settle(replicates, compared, open_question is compared.difference, like, confidence),
    )


def _settle(
    replicates: Replicates, compared: Comparison, of_difference: bool, like: float, confidence: float
) -> Settle:
    """What would close the question of the difference, or of the effect."""
    over = curves.level(len(replicates.measured.checkpoints))
    probes, queries = (float(np.mean(counts)) for counts in per_task(replicates, compared))
    mask = compared.shared if of_difference and compared.shared is not None else compared.mask
    names = [compared.probe_set]
    if of_difference and compared.control is not None:
        names.append(compared.control)
    if not all(replicates.can_redraw(name, compared.query_set, mask) for name in names):
        return unreplicated(probes, queries)

    def redrawn(vary: Literal["probes", "queries"]) -> np.ndarray:
        draws = [
            over @ replicates.within(compared.estimator, name, compared.query_set, mask, vary)
            for name in names
        ]
        return np.asarray(draws[0] - draws[1] if len(draws) == 2 else draws[0])

    estimate: Estimate = (compared.main if of_difference else compared.effect).combined(over, confidence)
    parts = components(estimate, redrawn("probes"), redrawn("queries"), probes, queries)
    return settle(parts, estimate.value, like, confidence)


def _contrasts(replicates: Replicates, estimator: str, confidence: float) -> Iterator[Contrast]:
    """Pos − Neg for every probe set and every pair of a desired and an undesired query set."""
    sets = replicates.measured.query_sets
    for desired in (name for name, each in sets.items() if each.direction == "desired"):
        for undesired in (name for name, each in sets.items() if each.direction == "undesired"):
            for context in CONTEXTS:
                for probe_set in replicates.measured.probe_sets:
                    made = _contrast(
                        replicates, estimator, probe_set, desired, undesired, context, confidence
                    )
                    if made is not None:
                        yield made


def _contrast(
    replicates: Replicates,
    estimator: str,
    probe_set: str,
    desired: str,
    undesired: str,
    context: Context,
    confidence: float,
) -> Contrast | None:
    control = replicates.measured.control
    over = curves.level(len(replicates.measured.checkpoints))
    mask = replicates.mask(context, [probe_set], [desired, undesired])
    if not mask.any():
        return None

    def gap(name: str, on: np.ndarray) -> Any:
        return replicates.draws(estimator, name, desired, on) - replicates.draws(
            estimator, name, undesired, on
        )

    estimate = gap(probe_set, mask).combined(over, confidence)
    difference = None
    if control is not None and control != probe_set:
        both = replicates.mask(context, [probe_set, control], [desired, undesired])
        if both.any():
            difference = (gap(probe_set, both) - gap(control, both)).combined(over, confidence)
    words: dict[int, Literal["desired", "undesired", "undecided"]] = {
        1: "desired",
        -1: "undesired",
        0: "undecided",
    }
    leans = words[sign_of(estimate)]
    return Contrast(
        probe_set=probe_set,
        desired=desired,
        undesired=undesired,
        context=context,
        estimator=estimator,
        leans=leans,
        sentence=contrast_sentence(
            probe_set,
            desired,
            undesired,
            context,
            replicates.layout.by_file,
            leans,
            estimate,
            ESTIMATORS[estimator].unit,
        ),
        estimate=estimate,
        difference=difference,
    )
