"""Pos − Neg: whether training on a probe set lifts desired responses more than undesired ones."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Literal

from assay.studies import curves
from assay.studies.estimators import ESTIMATORS
from assay.studies.intervals import Draws
from assay.studies.layout import CONTEXTS
from assay.studies.replicates import Mask, Replicates
from assay.studies.result import Context, Contrast
from assay.studies.sentences import contrast_sentence
from assay.studies.verdict import sign_of


def contrasts(replicates: Replicates, estimator: str, confidence: float) -> Iterator[Contrast]:
    """Every probe set on every pair of a desired and an undesired query set, in both contexts."""
    sets = replicates.measured.query_sets.values()
    desired, undesired = (
        [each.name for each in sets if each.direction == way] for way in ("desired", "undesired")
    )
    for good, bad, context, probe_set in product(
        desired, undesired, CONTEXTS, replicates.measured.probe_sets
    ):
        found = _contrast(replicates, estimator, probe_set, good, bad, context, confidence)
        if found is not None:
            yield found


def _contrast(
    replicates: Replicates,
    estimator: str,
    probe_set: str,
    good: str,
    bad: str,
    context: Context,
    confidence: float,
) -> Contrast | None:
    """None where the probe set shares no task with both query sets."""
    mask = replicates.mask(context, [probe_set], [good, bad])
    if not mask.any():
        return None

    def gap(name: str, on: Mask) -> Draws:
        return replicates.draws(estimator, name, good, on) - replicates.draws(estimator, name, bad, on)

    over = curves.level(len(replicates.measured.checkpoints))
    estimate = gap(probe_set, mask).combined(over, confidence)
    control, difference = replicates.measured.control, None
    if control is not None and control != probe_set:
        both = replicates.mask(context, [probe_set, control], [good, bad])
        if both.any():
            difference = (gap(probe_set, both) - gap(control, both)).combined(over, confidence)
    leans: dict[int, Literal["desired", "undesired", "undecided"]] = {
        1: "desired",
        -1: "undesired",
        0: "undecided",
    }
    unsaid = Contrast(
        probe_set=probe_set,
        desired=good,
        undesired=bad,
        context=context,
        estimator=estimator,
        leans=leans[sign_of(estimate)],
        sentence="",
        estimate=estimate,
        difference=difference,
    )
    sentence = contrast_sentence(
        unsaid, unit=ESTIMATORS[estimator].unit, by_file=replicates.layout.by_file, control=control
    )
    return replace(unsaid, sentence=sentence)
