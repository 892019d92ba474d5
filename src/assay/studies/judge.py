"""One verdict from one comparison: its words, its sentence, its caveats, and what would settle it.

Brings together what `verdict`, `sentences`, `flags` and `settle` each know alone.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.studies import curves
from assay.studies.estimators import ESTIMATORS
from assay.studies.flags import per_task, verdict_flags
from assay.studies.intervals import has_interval
from assay.studies.replicates import Replicates
from assay.studies.result import Estimate, Settle, Verdict
from assay.studies.sentences import verdict_sentence
from assay.studies.settle import components, settle, unreplicated
from assay.studies.verdict import Comparison, timing, versus_control, versus_zero


def judge(replicates: Replicates, compared: Comparison, margin: float, confidence: float) -> Verdict:
    """The verdict of a comparison; `margin` is relative to the control's effect."""
    over = curves.level(len(replicates.measured.checkpoints))
    effect = compared.effect.combined(over, confidence)
    control_effect, difference = (
        None if draws is None else draws.combined(over, confidence)
        for draws in (compared.control_effect, compared.difference)
    )
    like = yardstick(control_effect, margin)
    vs_zero = versus_zero(effect, like)
    vs_control = None if compared.control is None else versus_control(difference, like)
    beside_control = vs_control == "undecided" and difference is not None
    unsaid = Verdict(
        probe_set=compared.probe_set,
        query_set=compared.query_set,
        context=compared.context,
        estimator=compared.estimator,
        vs_control=vs_control,
        vs_zero=vs_zero,
        when=timing(compared.effect, vs_zero, confidence),
        sentence="",
        effect=effect,
        control_effect=control_effect,
        difference=difference,
        margin=None if compared.control is None else margin,
        flags=tuple(verdict_flags(replicates, compared, confidence)),
        settle=_settle(replicates, compared, beside_control, like, confidence)
        if beside_control or vs_zero == "undecided"
        else None,
    )
    sentence = verdict_sentence(
        unsaid,
        control=compared.control,
        unit=ESTIMATORS[compared.estimator].unit,
        by_file=replicates.layout.by_file,
        undesired=replicates.measured.query_sets[compared.query_set].direction == "undesired",
    )
    return replace(unsaid, sentence=sentence)


def yardstick(control_effect: Estimate | None, margin: float) -> float:
    """Half the width within which nothing differs: a share of the control's effect, and nothing at all where
    that effect may be 0, for noise is no yardstick.
    """
    if control_effect is None or control_effect.low <= 0 <= control_effect.high:
        return 0.0
    return margin * abs(control_effect.value)


def _settle(
    replicates: Replicates, compared: Comparison, beside_control: bool, like: float, confidence: float
) -> Settle:
    """What would close the open question: of the difference from the control first, else of the effect."""
    over = curves.level(len(replicates.measured.checkpoints))
    draws, mask, names = compared.effect, compared.mask, [compared.probe_set]
    question = f"whether {compared.probe_set} helps"
    if beside_control and compared.difference is not None:
        assert compared.shared is not None and compared.control is not None
        draws, mask = compared.difference, compared.shared
        names.append(compared.control)
        question = f"how {compared.probe_set} compares with {compared.control}"
    probes, queries = (float(np.mean(counts)) for counts in per_task(replicates, compared))
    estimate = draws.combined(over, confidence)
    if not has_interval(estimate):
        return unreplicated(probes, queries)

    def redrawn(vary: Literal["probes", "queries"]) -> Float[np.ndarray, "b"]:
        first, *control = (
            over @ replicates.within(compared.estimator, name, compared.query_set, mask, vary)
            for name in names
        )
        varied = np.asarray(first - control[0] if control else first)
        return np.asarray(varied[np.isfinite(varied)])

    if all(replicates.can_redraw(name, compared.query_set, mask) for name in names):
        parts = components(estimate, redrawn("probes"), redrawn("queries"), probes, queries)
    else:
        parts = components(estimate, np.zeros(0), np.zeros(0), probes, queries)
    return settle(parts, estimate.value, like, confidence, question)
