"""From all that was measured to all that is said: one pure function.

The same measurements and options always give the same result. Knows no files, no models and no clock.
"""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from assay.errors import ConfigError
from assay.studies import exhibits
from assay.studies.contrasts import contrasts
from assay.studies.curves import curve
from assay.studies.estimators import DEFAULT_ESTIMATOR, estimator_named
from assay.studies.flags import study_flags
from assay.studies.judge import judge
from assay.studies.layout import CONTEXTS, lay_out
from assay.studies.measurements import Measurements
from assay.studies.replicates import Replicates
from assay.studies.result import Context, Curve, StudyResult, Verdict
from assay.studies.usable import usable
from assay.studies.verdict import compare

REFERENCES_SHOWN = 3


@runtime_checkable
class Named(Protocol):
    """A design, of which only the name is reported."""

    @property
    def name(self) -> str: ...


def analyse(
    measurements: Measurements,
    *,
    estimator: str = DEFAULT_ESTIMATOR,
    margin: float = 0.2,
    design: Named | str | None = None,
    about: dict[str, Any] | None = None,
    extremes: int = 3,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> StudyResult:
    """Curves, verdicts, contrasts and caveats of a study.

    `estimator` is the row of `ESTIMATORS` that verdicts, cells and extremes use; curves are given for all.
    `extremes` is how many pairs of either end are shown with their texts.
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
        cells=tuple(exhibits.cells(replicates, estimator)),
        extremes=tuple(exhibits.extremes(measured, layout, estimator, extremes)),
        sets=tuple(exhibits.set_summaries(measured)),
        references=tuple(exhibits.references(measured, REFERENCES_SHOWN)),
        flags=(*study_flags(measured, layout, estimator), *set_aside),
        excluded_pairs=sum(int(np.sum(pairs)) for pairs in measured.excluded.values()),
        estimator=estimator,
        design=design.name if isinstance(design, Named) else design,
        about=dict(about or {}),
        contrasts=tuple(contrasts(replicates, estimator, confidence)),
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
            yield judge(replicates, compared, margin, confidence)
