"""Caveats: what a person should know before believing a verdict. Changes no number and no verdict.

Every flag has a stable code and a sentence. Thresholds stand at the top with what they rest on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.studies import curves
from assay.studies.estimators import BASELINE, ESTIMATORS, Estimator
from assay.studies.intervals import Draws
from assay.studies.layout import Layout, touched
from assay.studies.measurements import Measurements
from assay.studies.replicates import FEWEST_TASKS, Mask, Replicates
from assay.studies.result import Estimate, Flag
from assay.studies.sentences import PLACES
from assay.studies.verdict import Comparison, compare, sign_of

ENOUGH_PER_TASK = 16  # below, rankings of strategies did not repeat in split halves (docs/statistics.md)
SMALL_QUERIES = 0.10  # the tenth of the queries with the smallest gradients …
SMALL_SHARE = 0.30  # … should not carry more than this of Σ|RelInf| (a tenth if all counted the same)
EFFECTIVE_SHARE = 0.25  # a ratio of sums that rests on fewer than this share of its queries
LENGTH_FACTOR = 1.25
DISAGREEING_CHECKPOINTS = 0.2
PER_TOKEN = {
    "relinf": "relinf_per_token",
    "ratio_of_sums": "relinf_per_token",
    "median": "relinf_per_token",
    "dot": "dot_per_probe_token",
}


def study_flags(measured: Measurements, layout: Layout, estimator: str) -> Iterator[Flag]:
    """Caveats of the whole study, whose verdicts rest on `estimator`."""
    yield Flag(
        "one_trajectory",
        "All checkpoints come from one training run, so the intervals carry no run-to-run variation.",
    )
    if len(measured.checkpoints) == 1:
        yield Flag(
            "one_checkpoint", "With a single checkpoint nothing can be said of when in a run an effect is."
        )
    if measured.control is not None and estimator in ESTIMATORS:
        yield Flag(
            "first_look",
            "Verdicts by gradients are a first look: held against real training in two synthetic worlds, "
            "those beside a control were right hardly more often than always saying worse. Real steps tell "
            "more (--evidence all).",
        )
    if measured.control is None:
        yield Flag(
            "no_control",
            "Without a control set no strategy can be called better, like or worse than plain data, and no "
            "effect can be called none.",
        )
    if layout.by_file:
        yield Flag(
            "no_task_labels",
            "A set carries no task labels, so each file counts as one task and nothing is said across tasks.",
        )
    elif len(layout.tasks) < FEWEST_TASKS:
        yield Flag(
            "few_tasks",
            f"With {len(layout.tasks)} tasks the intervals speak of these tasks only; tasks like these need "
            f"at least {FEWEST_TASKS}.",
        )
    if not layout.by_file:
        for examples in (*measured.probe_sets.values(), *measured.query_sets.values()):
            missing = sum(task is None for task in examples.tasks)
            if missing:
                yield Flag(
                    "unlabelled_examples",
                    f"{missing} of {len(examples)} examples of {examples.name} carry no task label "
                    "and are left out.",
                )
    if estimator == "ratio_of_sums":
        yield from _large_queries(measured, layout)


def _large_queries(measured: Measurements, layout: Layout) -> Iterator[Flag]:
    """Said once of a query set: its norms are the same under every probe set."""
    for name in measured.query_sets:
        excluded = [measured.excluded[probe_set, name].all(axis=0) for probe_set in measured.probe_sets]
        used = np.flatnonzero((layout.query_tasks[name] >= 0) & ~np.all(excluded, axis=0))
        effective = effective_queries(measured, name, used)
        if effective < EFFECTIVE_SHARE * len(used):
            yield Flag(
                "large_queries",
                f"On {name}, the ratio of sums rests on about {effective:.0f} of {len(used)} queries: those "
                "with the largest gradients.",
            )


def effective_queries(measured: Measurements, query_set: str, used: Int[np.ndarray, "m"]) -> float:
    """Effective number of the queries `used` (indices) in a ratio of sums, (Σ‖g_q‖²)² / Σ‖g_q‖⁴, as a mean
    over checkpoints."""
    found = []
    for at in measured.checkpoints:
        sqnorm = at.query_sqnorm[query_set][used]
        found.append(sqnorm.sum() ** 2 / max(float((sqnorm**2).sum()), np.finfo(float).tiny))
    return float(np.mean(found))


def verdict_flags(replicates: Replicates, compared: Comparison, confidence: float) -> Iterator[Flag]:
    """Caveats of one verdict."""
    yield from _too_few(replicates, compared)
    yield from _unmatched(replicates, compared)
    yield from _denominators(replicates, compared)
    opposed = _opposed(replicates, compared, confidence)
    yield from _estimators(opposed)
    if replicates.measured.query_sets[compared.query_set].direction == "desired":
        yield from _baseline(compared, opposed.get("difference", []))
    yield from _length(replicates.measured, compared, opposed.get("difference", []))
    yield from _checkpoints(compared, confidence)


def _said_of(compared: Comparison) -> dict[str, Draws]:
    """What a verdict speaks of: the difference from the control, where there is one, and the effect."""
    found = {"difference": compared.difference, "effect": compared.effect}
    return {what: draws for what, draws in found.items() if draws is not None}


def _too_few(replicates: Replicates, compared: Comparison) -> Iterator[Flag]:
    probes, queries = per_task(replicates, compared)
    for what, counts, name in (
        ("probes", probes, compared.probe_set),
        ("queries", queries, compared.query_set),
    ):
        if counts.min() < ENOUGH_PER_TASK:
            span = str(counts.min()) if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
            units = what if counts.max() > 1 else what.removesuffix("s").replace("querie", "query")
            per = "" if replicates.layout.by_file else " per task"
            yield Flag(
                f"too_few_{what}",
                f"{name} has {span} {units}{per}; in a trial, rankings of strategies with fewer than "
                f"{ENOUGH_PER_TASK} did not repeat well.",
            )
    if compared.main.kind == "bootstrap" and len(replicates.layout.tasks) >= FEWEST_TASKS:
        yield Flag(
            "few_tasks",
            f"Only {compared.main.tasks} tasks can be used here, so the intervals speak of these tasks only.",
        )
    if compared.effect.kind == "none":
        yield Flag(
            "no_interval",
            f"With fewer than two probes or queries in a task, and fewer than {FEWEST_TASKS} tasks, there is "
            "no interval and nothing is decided.",
        )


def per_task(
    replicates: Replicates, compared: Comparison
) -> tuple[Float[np.ndarray, "i"], Float[np.ndarray, "j"]]:
    """How many probes and queries stand in each task that the comparison uses."""
    layout = replicates.layout
    mask = compared.mask if compared.shared is None else compared.shared
    k = len(layout.tasks)
    probes = layout.probe_tasks[compared.probe_set]
    queries = layout.query_tasks[compared.query_set]
    return (
        np.bincount(probes[probes >= 0], minlength=k)[mask.any(axis=1)],
        np.bincount(queries[queries >= 0], minlength=k)[mask.any(axis=0)],
    )


def _unmatched(replicates: Replicates, compared: Comparison) -> Iterator[Flag]:
    if compared.control is None or compared.shared is None:
        return
    control = replicates.mask(compared.context, [compared.control], [compared.query_set])
    apart = len(touched(compared.mask | control)) - len(touched(compared.shared))
    if apart:
        yield Flag(
            "unmatched_tasks",
            f"{apart} tasks are in only one of {compared.probe_set} and {compared.control}; the difference "
            "leaves them out.",
        )


def _denominators(replicates: Replicates, compared: Comparison) -> Iterator[Flag]:
    inside = _pairs_inside(replicates, compared)
    share = small_denominators(replicates.measured, compared.probe_set, compared.query_set, inside)
    if ESTIMATORS[compared.estimator].divides_by_query and share > SMALL_SHARE:
        yield Flag(
            "small_denominators",
            f"The tenth of the queries with the smallest gradients carries {share:.0%} of all relative "
            "influence; look at the median and the ratio of sums beside it.",
        )


def small_denominators(
    measured: Measurements, probe_set: str, query_set: str, inside: Bool[np.ndarray, "p q"]
) -> float:
    """Share of Σ|RelInf| (all checkpoints) on the tenth of the queries with the smallest ‖g_q‖."""
    queries = np.flatnonzero(inside.any(axis=0))
    small_count = max(1, round(SMALL_QUERIES * len(queries)))
    of_small, of_all = 0.0, 0.0
    for at in measured.checkpoints:
        norms = at.query_sqnorm[query_set][queries]
        alive = norms > 0
        dots = np.abs(np.where(inside, at.dot[probe_set, query_set], 0.0)[:, queries]).sum(axis=0)
        sizes = np.divide(dots, norms, out=np.zeros_like(norms), where=alive)
        order = np.argsort(np.where(alive, norms, np.inf), kind="stable")
        of_small += float(sizes[order[:small_count]].sum())
        of_all += float(sizes.sum())
    return of_small / of_all if of_all > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Opposed:
    """An estimator whose level has the other sign; `clear` where its interval excludes 0 too."""

    estimator: Estimator
    clear: bool


def _opposed(replicates: Replicates, compared: Comparison, confidence: float) -> dict[str, list[Opposed]]:
    """Estimators that contradict a clear sign of this one, in the difference and in the effect; noise has no
    sign to contradict."""
    here = {what: sign_of(_level(draws, confidence)) for what, draws in _said_of(compared).items()}
    found: dict[str, list[Opposed]] = {what: [] for what in here}
    for other in replicates.estimators if any(here.values()) else ():
        beside = compare(replicates, other.name, compared.probe_set, compared.query_set, compared.context)
        for what, draws in ({} if beside is None else _said_of(beside)).items():
            level = _level(draws, confidence)
            if here[what] * level.value < 0:
                found[what].append(Opposed(other, sign_of(level) != 0))
    return found


def _estimators(opposed: dict[str, list[Opposed]]) -> Iterator[Flag]:
    for what, contradicting in opposed.items():
        others = [each for each in contradicting if each.estimator.gradient]
        if others:
            names = ", ".join(each.estimator.title.lower() for each in others)
            surely = ", ".join(each.estimator.title.lower() for each in others if each.clear)
            beyond = f" ({surely} with an interval that excludes 0)" if surely else ""
            yield Flag("estimators_disagree", f"By {names}, the {what} has the other sign{beyond}.")


def _baseline(compared: Comparison, opposed: list[Opposed]) -> Iterator[Flag]:
    """The baseline knows no queries, so it can disagree about desired ones only."""
    if any(each.estimator.name == BASELINE for each in opposed):
        yield Flag(
            "baseline_disagrees",
            f"Minus probe loss, the baseline without gradients, orders {compared.probe_set} and "
            f"{compared.control} the other way.",
        )


def _length(measured: Measurements, compared: Comparison, opposed: list[Opposed]) -> Iterator[Flag]:
    if compared.difference is None or compared.control is None:
        return
    strategy, control = (
        float(np.mean(measured.probe_sets[name].tokens)) for name in (compared.probe_set, compared.control)
    )
    factor = strategy / control
    apart = factor > LENGTH_FACTOR or factor < 1 / LENGTH_FACTOR
    turned = PER_TOKEN.get(compared.estimator) in {each.estimator.name for each in opposed}
    if apart and turned:
        yield Flag(
            "length_confound",
            f"Completions of {compared.probe_set} are {factor:.1f} times as long as those of "
            f"{compared.control}, and token for token the difference has the other sign.",
        )


def _checkpoints(compared: Comparison, confidence: float) -> Iterator[Flag]:
    for what, draws in _said_of(compared).items():
        count = len(draws.values)
        here = sign_of(_level(draws, confidence))
        opposed = np.flatnonzero(draws.values * here < 0)
        clear = [c for c in opposed if sign_of(draws.at(int(c), confidence)) != 0]
        if count > 1 and (len(opposed) >= DISAGREEING_CHECKPOINTS * count or clear):
            where = PLACES[compared.context].capitalize()
            surely = f" ({len(clear)} of them with an interval that excludes 0)" if clear else ""
            yield Flag(
                "checkpoints_disagree",
                f"{where}, the {what} has the other sign at {len(opposed)} of {count} checkpoints{surely}.",
            )


def _level(draws: Draws, confidence: float) -> Estimate:
    return draws.combined(curves.level(len(draws.values)), confidence)


def _pairs_inside(replicates: Replicates, compared: Comparison) -> Bool[np.ndarray, "p q"]:
    """The probe-query pairs that the comparison's effect is made of."""
    layout, names = replicates.layout, (compared.probe_set, compared.query_set)
    probes, queries = layout.probe_tasks[names[0]], layout.query_tasks[names[1]]
    mask: Mask = compared.mask[np.ix_(probes, queries)]
    labelled = (probes >= 0)[:, None] & (queries >= 0)
    return np.asarray(mask & labelled & ~replicates.measured.excluded[names])
