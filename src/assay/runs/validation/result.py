"""From the answers of all arms to what a validation says: levels, effects, interactions, agreement.

Puts tables into arrays and calls the pure functions of `validation`; computes nothing itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from assay.data.texts import prompt_text
from assay.runs.validation.benchmarks import benchmark_measures, benchmark_sets
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.inputs import Examples
from assay.runs.validation.predictions import Studies, agreements
from assay.validation.arms import Arm, comparisons_of
from assay.validation.effects import Measured, interactions_of, rows_of, sentences
from assay.validation.result import (
    Answered,
    ArmSummary,
    Direction,
    Measure,
    QuerySet,
    ValidationResult,
)

LOSS = Measure("loss", "loss", "nats per query", higher_is_better=False)
FORCED = Measure("forced", "teacher-forced exact match", "share of right answers")
EXACT = Measure("exact", "generated answer, exact match", "share of right answers")
RIGHT = Measure("right", "generated answer, checked", "share of right answers")
JUDGED = Measure("judged", "generated answer, judged", "share of right answers")
PREFERRED = Measure("preferred", "preferred by the judge: better less worse", "its own unit")
"""1 where an answer is better than the first arm's, 0 for a tie, −1 where it is worse."""
MEASURES = (LOSS, FORCED, EXACT, RIGHT, JUDGED, PREFERRED)
HELD = (LOSS, RIGHT, JUDGED)
"""What a study's verdicts are held against."""
WORTH = {"better": 1.0, "tie": 0.0, "worse": -1.0}
SHOWN = 3
"""Answers shown of an arm on a query set that became right, and as many that became wrong."""

WEIGHED = {
    "tokens": "A step of several sets learns the mean over all its tokens, as trainers do, so that longer "
    "answers take weight from shorter ones.",
    "sets": "A step of several sets learns every set's own mean, added up, so that what is added takes no "
    "weight from the base.",
}
"""What a reader of the tables has to know of `weigh`."""


def result_of(
    config: ValidateConfig,
    arms: Sequence[Arm],
    summaries: tuple[ArmSummary, ...],
    answers: pa.Table,
    examples: Examples,
    studies: Studies,
    settings: Mapping[str, Any],
    judge: Mapping[str, Any],
    benchmarks: pa.Table | None = None,
) -> ValidationResult:
    """All that is said of `answers` (columns `evaluation.ASKED`) and of `benchmarks` (`BENCHMARKED`); `judge`
    counts the judge's replies."""
    models = tuple(dict.fromkeys(one.model for one in summaries))
    reference = arms[0].name
    measured = list(_measured(config, arms, models, answers))
    measures = [one for one in MEASURES if any(each.measure == one for each in measured)]
    query_sets = [*_query_sets(config, answers)]
    if benchmarks is not None:
        names = [arm.name for arm in arms]
        found_there = list(benchmark_measures(benchmarks, names, models, config.seeds))
        measures += dict.fromkeys(each.measure for each in found_there)
        query_sets += benchmark_sets(benchmarks)
        measured += found_there
    comparisons = comparisons_of(arms)
    compared = [one for one in measured if one.measure in HELD]
    found, notes = agreements(config, arms, compared, examples, studies)
    return ValidationResult(
        settings=settings,
        models=models,
        seeds=tuple(config.seeds),
        match=config.match,
        reference=reference,
        arms=summaries,
        query_sets=tuple(query_sets),
        measures=tuple(measures),
        rows=tuple(row for one in measured for row in rows_of(one, reference, queries=config.queries_are)),
        interactions=tuple(
            row for one in measured for row in interactions_of(one, comparisons, queries=config.queries_are)
        ),
        agreements=found,
        answers=tuple(_to_read(config, arms, models, answers, examples)),
        notes=(*_notes(config, answers), *_benchmark_notes(benchmarks, settings), *notes),
        judge=judge,
    )


def _measured(
    config: ValidateConfig, arms: Sequence[Arm], models: Sequence[str], answers: pa.Table
) -> Iterator[Measured]:
    """Every measure of every query set under every model, as tables of seeds and queries; not one of which
    no query has a value in every arm (a judge that never said)."""
    for model in models:
        of_model = answers.filter(pc.equal(answers["model"], model))
        for query_set in config.queries:
            of_set = of_model.filter(pc.equal(of_model["query_set"], query_set))
            for measure in MEASURES:
                if of_set[measure.name].null_count == len(of_set):
                    continue
                values = {arm.name: _values(of_set, arm.name, config.seeds, measure.name) for arm in arms}
                if measure == PREFERRED:
                    values[arms[0].name] = np.zeros_like(values[arms[0].name])
                if np.isnan(sum(values.values())).all():
                    continue
                direction: Direction = "undesired" if query_set in config.undesired else "desired"
                yield Measured(model, query_set, direction, measure, values)


def _values(table: pa.Table, arm: str, seeds: Iterable[int], column: str) -> Float[np.ndarray, "s q"]:
    """One row per seed, queries in their order; NaN where a cell is null."""
    of_arm = table.filter(pc.equal(table["arm"], arm))
    rows = [of_arm.filter(pc.equal(of_arm["seed"], seed))[column] for seed in seeds]
    if column == PREFERRED.name:
        return np.array([[WORTH.get(said, np.nan) for said in row.to_pylist()] for row in rows])
    return np.stack([row.cast(pa.float64()).to_numpy() for row in rows])


def _query_sets(config: ValidateConfig, answers: pa.Table) -> Iterator[QuerySet]:
    for name in config.queries:
        of_set = answers.filter(pc.equal(answers["query_set"], name))
        places = set(
            zip(*(of_set[key].to_pylist() for key in ("source_file", "source_row", "query_id")), strict=True)
        )
        tasks = len(set(of_set["query_task"].to_pylist()))
        yield QuerySet(name, "undesired" if name in config.undesired else "desired", len(places), tasks)


def _to_read(
    config: ValidateConfig,
    arms: Sequence[Arm],
    models: Sequence[str],
    answers: pa.Table,
    examples: Examples,
) -> Iterator[Answered]:
    """The first answers that an arm turned right or wrong, with the first seed."""
    prompts = {
        (name, one.id): prompt_text(one) for name, members in examples.queries.items() for one in members
    }
    seed = config.seeds[0]
    for model in models:
        said: dict[str, list[dict[str, Any]]] = {}
        for arm in arms:
            chosen = pc.and_(pc.equal(answers["model"], model), pc.equal(answers["arm"], arm.name))
            rows = answers.filter(pc.and_(chosen, pc.equal(answers["seed"], seed))).to_pylist()
            said[arm.name] = [row for row in rows if row["right"] is not None]
        for arm in arms[1:]:
            shown: dict[tuple[str, bool], int] = {}
            for before, after in zip(said[arms[0].name], said[arm.name], strict=True):
                kind = (after["query_set"], bool(after["right"]))
                if before["right"] == after["right"] or shown.get(kind, 0) >= SHOWN:
                    continue
                shown[kind] = shown.get(kind, 0) + 1
                yield Answered(
                    model,
                    arm.name,
                    seed,
                    after["query_set"],
                    after["query_id"],
                    prompts[after["query_set"], after["query_id"]],
                    after["reference"],
                    before["answer"],
                    after["answer"],
                    before["right"],
                    after["right"],
                )


def _notes(config: ValidateConfig, answers: pa.Table) -> Iterator[str]:
    """What goes with every table."""
    yield from sentences(config.queries_are, len(config.seeds), len(set(answers["model"].to_pylist())))
    yield WEIGHED[config.weigh]
    if config.undesired:
        yield (
            f"On {', '.join(config.undesired)} responses are bad ones: making them likelier counts as harm. "
            "No answers are generated for them."
        )
    checked = {
        (row, check)
        for row, check in zip(answers["query_set"].to_pylist(), answers["check"].to_pylist(), strict=True)
        if check
    }
    for query_set in dict.fromkeys(name for name, _ in sorted(checked)):
        kinds = sorted(check for name, check in checked if name == query_set)
        yield f"Generated answers to {query_set} are compared by: {', '.join(kinds)}."
    cut = pc.sum(answers["cut_off"]).as_py() or 0
    if cut:
        said = len(answers) - answers["answer"].null_count
        yield (
            f"{cut:,} of {said:,} generated answers were cut off at {config.max_new_tokens} tokens and count "
            "as wrong."
        )


def _benchmark_notes(benchmarks: pa.Table | None, settings: Mapping[str, Any]) -> Iterator[str]:
    if benchmarks is None:
        return
    about = settings.get("benchmarks") or {}
    names = ", ".join(dict.fromkeys(benchmarks["benchmark"].to_pylist()))
    limited = f", the first {about['limit']:,} questions of each" if about.get("limit") else ""
    asked = "through the chat template" if about.get("chat") else "as plain text"
    yield f"{names}: asked by lm-eval {about.get('lm_eval', '')} {asked}{limited}."
    whole = benchmarks.filter(pc.is_null(benchmarks["question"]))
    for name, metric in dict.fromkeys(
        zip(whole["benchmark"].to_pylist(), whole["metric"].to_pylist(), strict=True)
    ):
        yield f"{metric} of {name} is one number for all questions, so one seed gives it no interval."
