"""Turns estimates with intervals into words: better or worse, helps or harms, early or late.

Everything here is signed so that positive is good for the user: on an undesired query set a lower loss is
harm. Knows no sentences, no flags and no estimator by name.
"""

from dataclasses import dataclass

from assay.studies import curves
from assay.studies.intervals import Draws, has_interval
from assay.studies.replicates import Mask, Replicates
from assay.studies.result import Context, Estimate, VsControl, VsZero, When


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A probe set and its control on one query set in one context, by one estimator, at every checkpoint.

    `effect` stands on the task pairs that the probe set fills (`mask`), `control_effect` on the control's,
    `difference` on those of both (`shared`). The last three are None without a control, or for the control
    itself; `difference` also where the two share no task.
    """

    probe_set: str
    query_set: str
    context: Context
    estimator: str
    control: str | None
    mask: Mask
    shared: Mask | None
    effect: Draws
    control_effect: Draws | None
    difference: Draws | None

    @property
    def main(self) -> Draws:
        """What the verdict turns on: the difference from the control where there is one, else the effect."""
        return self.effect if self.difference is None else self.difference


def compare(
    replicates: Replicates, estimator: str, probe_set: str, query_set: str, context: Context
) -> Comparison | None:
    """Draws of effect, control and paired difference; None where the probe set fills no task pair."""
    measured = replicates.measured
    mask = replicates.mask(context, [probe_set], [query_set])
    if not mask.any():
        return None
    sign = -1.0 if measured.query_sets[query_set].direction == "undesired" else 1.0

    def draws(name: str, on: Mask) -> Draws:
        return replicates.draws(estimator, name, query_set, on).signed(sign)

    control = measured.control if measured.control != probe_set else None
    shared, control_effect, difference = None, None, None
    if control is not None:
        control_mask = replicates.mask(context, [control], [query_set])
        control_effect = draws(control, control_mask) if control_mask.any() else None
        both = mask & control_mask
        if both.any():
            shared, difference = both, draws(probe_set, both) - draws(control, both)
    return Comparison(
        probe_set=probe_set,
        query_set=query_set,
        context=context,
        estimator=estimator,
        control=control,
        mask=mask,
        shared=shared,
        effect=draws(probe_set, mask),
        control_effect=control_effect,
        difference=difference,
    )


def sign_of(estimate: Estimate) -> int:
    """+1 or −1 where the interval excludes 0 on that side, else 0; always 0 without an interval."""
    if not has_interval(estimate):
        return 0
    return int(estimate.low > 0) - int(estimate.high < 0)


def lies_within(estimate: Estimate, reach: float) -> bool:
    """Whether the whole interval lies in [−reach, reach]; never without an interval or a reach."""
    return has_interval(estimate) and reach > 0 and -reach <= estimate.low and estimate.high <= reach


def versus_zero(effect: Estimate, like: float) -> VsZero:
    """`like` is margin · |control effect|: an effect whose interval lies within ±like is none, even where it
    excludes 0. Without a control it is 0, and nothing is ever called none."""
    if lies_within(effect, like):
        return "none"
    words: dict[int, VsZero] = {1: "helps", -1: "harms", 0: "undecided"}
    return words[sign_of(effect)]


def versus_control(difference: Estimate | None, like: float) -> VsControl:
    """As `versus_zero`, for the paired difference: equivalence comes first, then the side."""
    if difference is None:
        return "undecided"
    if lies_within(difference, like):
        return "like"
    words: dict[int, VsControl] = {1: "better", -1: "worse", 0: "undecided"}
    return words[sign_of(difference)]


def timing(effect: Draws, vs_zero: VsZero, confidence: float) -> When:
    """When in the run the effect is.

    Both halves excluding 0 on the same side is throughout, unless the trend also excludes 0 and the weaker
    half carries less than half of the stronger. Otherwise a trend that excludes 0 says early or late: where
    the help is greater, or the harm.
    """
    count = len(effect.values)
    if count < 2:
        return "undecided"
    first, second, trend = (
        effect.combined(weights(count), confidence) for weights in (curves.early, curves.late, curves.trend)
    )
    sizes = sorted([abs(first.value), abs(second.value)])
    one_sided = sign_of(first) == sign_of(second) != 0
    if one_sided and not (sign_of(trend) != 0 and sizes[0] < sizes[1] / 2):
        return "throughout"
    towards = sign_of(trend) * (-1 if vs_zero == "harms" else 1)
    words: dict[int, When] = {1: "late", -1: "early", 0: "undecided"}
    return words[towards]
