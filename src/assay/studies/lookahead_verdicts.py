"""Verdicts from real steps alone: words, sentence, caveats, and what would settle it. Knows no gradients.

Words, margin and yardstick are those of every verdict (`verdict`, `judge`); the numbers are nats per query,
signed so that positive is good for the user.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from assay.studies.intervals import has_interval
from assay.studies.judge import yardstick
from assay.studies.layout import CONTEXTS
from assay.studies.lookahead import LookaheadMeasurements, effects, whole_seeds
from assay.studies.result import Context, Estimate, Flag, Settle, Verdict
from assay.studies.seeds import Seeded, seeded, settle_seeded
from assay.studies.sentences import verdict_sentence
from assay.studies.verdict import versus_control, versus_zero

LOOKAHEAD = "lookahead"
FEWEST_SEEDS = 3


def lookahead_verdicts(
    measured: LookaheadMeasurements,
    *,
    steps: int,
    margin: float = 0.2,
    confidence: float = 0.95,
    flags: Sequence[Flag] = (),
) -> tuple[Verdict, ...]:
    """A verdict for every probe set, query set and context with an effect; `flags` are caveats of all.

    `steps` is how many real steps were taken. `margin` is relative to the control's effect.
    """
    return tuple(_verdicts(measured, steps, margin, confidence, tuple(flags)))


def _verdicts(
    measured: LookaheadMeasurements, steps: int, margin: float, confidence: float, flags: tuple[Flag, ...]
) -> Iterator[Verdict]:
    for query_set in measured.query_sets:
        for context in CONTEXTS:
            for probe_set in measured.probe_sets:
                found = _verdict(measured, probe_set, query_set, context, steps, margin, confidence, flags)
                if found is not None:
                    yield found


def _verdict(
    measured: LookaheadMeasurements,
    probe_set: str,
    query_set: str,
    context: Context,
    steps: int,
    margin: float,
    confidence: float,
    flags: tuple[Flag, ...],
) -> Verdict | None:
    sign = -1.0 if measured.query_sets[query_set].direction == "undesired" else 1.0
    tasks = measured.numbered(query_set)

    def found(of: Float[np.ndarray, "s q"]) -> Seeded | None:
        return seeded(sign * of, tasks, confidence)

    effect = found(effects(measured, probe_set, query_set, context))
    if effect is None:
        return None
    control = measured.control if measured.control != probe_set else None
    of_control, difference = None, None
    if control is not None:
        of_control = found(effects(measured, control, query_set, context))
        difference = found(effects(measured, probe_set, query_set, context, control))
    like = yardstick(None if of_control is None else of_control.estimate, margin)
    vs_zero = versus_zero(effect.estimate, like)
    vs_control = None
    if control is not None:
        vs_control = versus_control(None if difference is None else difference.estimate, like)
    unsaid = Verdict(
        probe_set=probe_set,
        query_set=query_set,
        context=context,
        estimator=LOOKAHEAD,
        vs_control=vs_control,
        vs_zero=vs_zero,
        when="undecided",
        sentence="",
        effect=effect.estimate,
        control_effect=None if of_control is None else of_control.estimate,
        difference=None if difference is None else difference.estimate,
        margin=None if control is None else margin,
        flags=(*flags, *_few_seeds(measured, probe_set)),
        settle=_settle(probe_set, control, effect, difference, vs_control, vs_zero, like, confidence),
        evidence="lookahead",
    )
    sentence = verdict_sentence(
        unsaid,
        control=control,
        unit=f"nats per query after {steps} real {'step' if steps == 1 else 'steps'}",
        by_file=measured.by_file,
        undesired=sign < 0,
    )
    return replace(unsaid, sentence=sentence)


def _few_seeds(measured: LookaheadMeasurements, probe_set: str) -> Iterator[Flag]:
    seeds = len(whole_seeds(measured, probe_set))
    if seeds < FEWEST_SEEDS:
        yield Flag(
            "few_seeds",
            f"{probe_set} was trained on with {seeds} {'seed' if seeds == 1 else 'seeds'}; with fewer than "
            f"{FEWEST_SEEDS} intervals are wide, and with one there is none.",
        )


def _settle(
    probe_set: str,
    control: str | None,
    effect: Seeded,
    difference: Seeded | None,
    vs_control: str | None,
    vs_zero: str,
    like: float,
    confidence: float,
) -> Settle | None:
    """What would close the open question: of the difference from the control first, else of the effect."""
    if vs_control == "undecided" and difference is not None:
        return settle_seeded(difference, like, confidence, f"how {probe_set} compares with {control}")
    if vs_zero == "undecided":
        return settle_seeded(effect, like, confidence, f"whether {probe_set} helps")
    return None


def decided(verdict: Verdict) -> bool:
    """Whether a verdict answers its question: against the control where there is one, else by itself."""
    return (verdict.vs_control or verdict.vs_zero) != "undecided"


def stands(verdict: Verdict) -> bool:
    """Whether there is an interval on what the verdict turns on, so that it may take the place of another."""
    turned_on: Estimate | None = verdict.effect if verdict.vs_control is None else verdict.difference
    return turned_on is not None and has_interval(turned_on)
