"""Holds predictions and verdicts against the truth: one row for each predictor, probe count and context.

Knows nothing of how predictions are made or how the truth was trained.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.studies.estimators import PUBLISHED
from assay.studies.layout import CONTEXTS
from assay.studies.result import Context, Verdict
from assay.studies.seeds import seeded
from assay.studies.verdict import versus_zero
from assay.truth.agreement import (
    Commitments,
    Interval,
    Ranked,
    ceiling,
    commitments,
    differences,
    ranked,
)
from assay.truth.halves import CONTROL, EASY_TO_TELL
from assay.truth.predictions import AVERAGED, Prediction
from assay.truth.regimes import REGIMES
from assay.truth.table import Effects, Measure, Truth

BASELINE = "minus_probe_loss"
Against = Literal["control", "zero"]
Yardsticks = dict[tuple[str, int, Context, bool], Ranked]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a predictor's order of the strategies agrees with the true one, averaged over regimes.

    `all` and `graded` are Spearman correlations over all strategies and without those that are easy to tell,
    `right` is `all` with the true change of the share of right answers in place of that of the loss;
    `gain` is what `all` has over minus probe loss, `over_published` over relinf; `by_regime` is `all` in each
    regime and `gains` its gain over minus probe loss; `signs` is the share of strategies, clearly different
    from the control in truth, whose predicted difference has the true sign.
    """

    predictor: str
    per_task: int
    checkpoint: str
    context: Context
    all: Interval
    graded: Interval
    right: Interval
    gain: Interval
    graded_gain: Interval
    over_published: Interval
    by_regime: Mapping[str, float]
    gains: Mapping[str, Interval]
    signs: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What became of verdicts, by regime: those against the control, or those of an effect by itself."""

    evidence: str
    per_task: int
    context: Context
    against: Against
    by_regime: Mapping[str, Commitments]


def agreements(truth: Truth, predictions: Iterable[Prediction], chosen: Sequence[str]) -> list[Agreement]:
    """One row for each prediction, over the `chosen` strategies that were both trained and predicted."""
    rows = list(predictions)
    known: Yardsticks = {}
    for row in rows:
        if row.predictor in (BASELINE, PUBLISHED) and row.checkpoint == AVERAGED:
            for graded in (False, True):
                key = row.predictor, row.per_task, row.context, graded
                known[key] = _ranked(truth, row, _among(row, chosen, graded))
    return [_agreement(truth, row, known, chosen) for row in rows]


def _agreement(
    truth: Truth,
    row: Prediction,
    yardsticks: Yardsticks,
    chosen: Sequence[str],
) -> Agreement:
    of_all, of_graded = (_ranked(truth, row, _among(row, chosen, graded)) for graded in (False, True))
    gain = of_all - yardsticks[BASELINE, row.per_task, row.context, False]
    graded_gain = of_graded - yardsticks[BASELINE, row.per_task, row.context, True]
    over_published = of_all - yardsticks[PUBLISHED, row.per_task, row.context, False]
    regimes = regimes_of(truth)
    return Agreement(
        predictor=row.predictor,
        per_task=row.per_task,
        checkpoint=row.checkpoint,
        context=row.context,
        all=of_all.pooled(),
        graded=of_graded.pooled(),
        right=_ranked(truth, row, _among(row, chosen, graded=False), "right").pooled(),
        gain=gain.pooled(),
        graded_gain=graded_gain.pooled(),
        over_published=over_published.pooled(),
        by_regime={regime: float(of_all.values[place]) for place, regime in enumerate(regimes)},
        gains={regime: gain.at(place) for place, regime in enumerate(regimes)},
        signs=_signs(truth, row, _among(row, chosen, graded=False)),
    )


def _among(row: Prediction, chosen: Sequence[str], graded: bool) -> list[str]:
    return [name for name in chosen if name in row.scores and not (graded and name in EASY_TO_TELL)]


def _ranked(truth: Truth, row: Prediction, names: Sequence[str], of: Measure = "loss") -> Ranked:
    true = [mean_effects(truth.effects[regime, row.context], names, of) for regime in regimes_of(truth)]
    return ranked(np.array([row.scores[name] for name in names]), np.array(true))


def regimes_of(truth: Truth) -> list[str]:
    """The regimes by which predictions are ranked and verdicts are counted."""
    names = dict.fromkeys(regime for regime, _ in truth.effects)
    return [name for name in names if name not in REGIMES or REGIMES[name].ranked]


def mean_effects(effects: Effects, strategies: Sequence[str], of: Measure = "loss") -> Float[np.ndarray, "p"]:
    """The mean effect of each strategy over seeds and tasks; NaN where it was not trained."""
    trained = [name for name in strategies if name in effects.strategies]
    found = {name: float(effects.of(name, of).mean()) for name in trained}
    return np.array([found.get(name, np.nan) for name in strategies])


def seed_effects(effects: Effects, strategies: Sequence[str]) -> Float[np.ndarray, "p s"]:
    """The mean effect over tasks, seed by seed. A task is in-task for one half of the runs of every seed."""
    return np.array([np.mean(effects.of(name), axis=1) for name in strategies])


def ceilings(truth: Truth, context: Context, chosen: Sequence[str]) -> dict[str, float]:
    """By regime, the Spearman that a perfect prediction could reach."""
    found = {}
    for regime in regimes_of(truth):
        effects = truth.effects[regime, context]
        found[regime] = ceiling(seed_effects(effects, [n for n in chosen if n in effects.strategies]))
    return found


def calibration(
    truth: Truth, evidence: str, per_task: int, verdicts: Iterable[Verdict], chosen: Sequence[str]
) -> list[Calibration]:
    """What became of committed verdicts in each regime: better and worse, helps and harms."""
    said = list(verdicts)
    rows = []
    for context in CONTEXTS:
        mine = {verdict.probe_set: verdict for verdict in said if verdict.context == context}
        known = [mine[name] for name in chosen if name in mine]
        beside = {one.probe_set: one.vs_control or "undecided" for one in known}
        alone: dict[str, str] = {one.probe_set: one.vs_zero for one in known}
        questions: dict[Against, dict[str, str]] = {"control": dict(beside), "zero": alone}
        for against, words in questions.items():
            found = {
                regime: _commitments(truth.effects[regime, context], against, words)
                for regime in regimes_of(truth)
            }
            rows.append(Calibration(evidence, per_task, context, against, found))
    return rows


def always_worse(truth: Truth, chosen: Sequence[str]) -> list[Calibration]:
    """What commitments would be worth that need no evidence: every strategy worse than the control."""
    words = dict.fromkeys(chosen, "worse")
    rows = []
    for context in CONTEXTS:
        found = {
            regime: _commitments(truth.effects[regime, context], "control", words)
            for regime in regimes_of(truth)
        }
        rows.append(Calibration("always worse", 0, context, "control", found))
    return rows


def truth_itself(truth: Truth, chosen: Sequence[str]) -> list[Calibration]:
    """On how many the true effects would commit, had they the intervals of verdicts: for tasks like these.

    A strategy is clearly different where its effect on these tasks is alike with every seed. Verdicts speak
    of other tasks too, and stay open where tasks disagree, however well the effect is known. What is right
    here is so by construction.
    """
    rows = []
    questions: tuple[Against, ...] = ("control", "zero")
    for context in CONTEXTS:
        for against in questions:
            found = {}
            for regime in regimes_of(truth):
                effects = truth.effects[regime, context]
                names = [name for name in chosen if name in effects.strategies]
                words = {name: _said_of_tasks_like_these(effects, name, against) for name in names}
                found[regime] = _commitments(effects, against, words)
            rows.append(Calibration("the truth itself", 0, context, against, found))
    return rows


def _said_of_tasks_like_these(effects: Effects, name: str, against: Against) -> str:
    table = effects.of(name) - (effects.of(CONTROL) if against == "control" else 0.0)
    found = seeded(table, np.arange(len(effects.tasks)))
    return "undecided" if found is None else versus_zero(found.estimate, 0.0)


def _commitments(effects: Effects, against: Against, words: Mapping[str, str]) -> Commitments:
    names = [name for name in words if name in effects.strategies]
    control = np.mean(effects.of(CONTROL), axis=1)
    beside = control if against == "control" else np.zeros_like(control)
    true = differences(seed_effects(effects, names), beside)
    return commitments([words[name] for name in names], true)


def _signs(truth: Truth, row: Prediction, names: Sequence[str]) -> float:
    right, clear = 0, 0
    for regime in regimes_of(truth):
        effects = truth.effects[regime, row.context]
        trained = [name for name in names if name in effects.strategies]
        true = differences(seed_effects(effects, trained), np.mean(effects.of(CONTROL), axis=1))
        said = np.array([row.scores[name] - row.scores[CONTROL] for name in trained])
        right += int(np.count_nonzero((said * true.mean > 0) & true.clear))
        clear += int(np.count_nonzero(true.clear))
    return right / clear if clear else float("nan")
