"""The tables of a validation: arms by query set and measure, interactions, answers to read. Knows no HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.report.validations.shown import (
    SIGNS,
    Shown,
    Word,
    is_tested,
    level_text,
    measures_of,
    of_effect,
    outcome,
    p_text,
    places_of,
    unit,
)
from assay.validation.result import (
    Answered,
    Effect,
    InteractionRow,
    Measure,
    QuerySet,
    Row,
    ValidationResult,
)

MOST_ANSWERS = 8
MOST_SEEDS = 6


@dataclass(frozen=True, slots=True)
class Difference:
    """An effect to read: value and ends in the page's unit, the word for it, and what is known of chance."""

    shown: Shown
    places: int
    word: Word
    p: str
    p_holm: str
    family: int
    test: str
    per_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """An arm in a column of an overview: its level in words, and its difference where it has one."""

    level: str
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Column:
    model: str
    measure: Measure
    unit: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A query set: arms down, measures (and base models) across; None where an arm was not measured.

    `tests` lists the same differences one below the other, arm by arm.
    """

    query_set: QuerySet
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    tests: tuple[tuple[str, Column, Difference], ...]


@dataclass(frozen=True, slots=True)
class Interaction:
    """An arm held against its parts by one measure; `word` is the reading, `tone` its colour."""

    model: str
    measure: Measure
    unit: str
    arm: str
    beyond: tuple[tuple[str, Difference], ...]
    additivity: Difference | None
    word: str
    tone: str
    sign: str


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    title: str
    answers: tuple[Answered, ...]
    total: int


def ordered_sets(result: ValidationResult) -> list[QuerySet]:
    """Desired query sets first."""
    return sorted(result.query_sets, key=lambda one: one.direction == "undesired")


def arm_names(result: ValidationResult) -> list[str]:
    """Every arm once, the reference first."""
    names = dict.fromkeys([*(arm.name for arm in result.arms), *(row.arm for row in result.rows)])
    return sorted(names, key=lambda name: name != result.reference)


def overviews(result: ValidationResult) -> list[Overview]:
    """One table for each query set that was measured."""
    found = []
    for query_set in ordered_sets(result):
        rows = [row for row in result.rows if row.query_set == query_set.name]
        by_place = {(row.arm, row.measure, row.model): row for row in rows}
        columns = tuple(
            Column(model, measure, unit(measure))
            for measure in result.measures
            for model in result.models
            if any((row.measure, row.model) == (measure.name, model) for row in rows)
        )
        places = [_places(rows, column) for column in columns]
        table = [
            (
                arm,
                tuple(
                    _cell(result, by_place.get((arm, column.measure.name, column.model)), column, digits)
                    for column, digits in zip(columns, places, strict=True)
                ),
            )
            for arm in arm_names(result)
        ]
        if columns:
            shown = tuple((arm, cells) for arm, cells in table if any(cell is not None for cell in cells))
            tests = tuple(
                (arm, column, cell.difference)
                for arm, cells in shown
                for column, cell in zip(columns, cells, strict=True)
                if cell is not None and cell.difference is not None
            )
            found.append(Overview(query_set, columns, shown, tests))
    return found


def _places(rows: Sequence[Row], column: Column) -> int:
    mine = [row for row in rows if (row.measure, row.model) == (column.measure.name, column.model)]
    return places_of((row.effect for row in mine if row.effect is not None), column.measure)


def _cell(result: ValidationResult, row: Row | None, column: Column, places: int) -> Cell | None:
    if row is None:
        return None
    effect = row.effect
    told = None if effect is None else difference(effect, column.measure, places, result.confidence)
    return Cell(level_text(row.level, column.measure), told)


def difference(effect: Effect, measure: Measure, places: int, confidence: float) -> Difference:
    times = 100.0 if measure.is_right else 1.0
    return Difference(
        of_effect(effect, measure),
        places,
        outcome(effect, confidence),
        p_text(effect.p),
        p_text(effect.p_holm),
        effect.family,
        effect.test,
        tuple(times * each for each in effect.per_seed[:MOST_SEEDS]),
    )


def interactions(result: ValidationResult) -> list[tuple[QuerySet, list[Interaction]]]:
    """Interactions by query set, in the order of the measures."""
    known, order = measures_of(result), [measure.name for measure in result.measures]
    found = []
    for query_set in ordered_sets(result):
        rows = [row for row in result.interactions if row.query_set == query_set.name]
        rows.sort(key=lambda row: order.index(row.measure))
        if rows:
            found.append(
                (query_set, [_interaction(row, known[row.measure], result.confidence) for row in rows])
            )
    return found


def _interaction(row: InteractionRow, measure: Measure, confidence: float) -> Interaction:
    every = [*row.beyond, *([row.additivity] if row.additivity is not None else [])]
    places = places_of(every, measure)
    word, tone, sign = reading(row)
    return Interaction(
        row.model,
        measure,
        unit(measure),
        row.arm,
        tuple(
            (name, difference(effect, measure, places, confidence))
            for name, effect in zip(row.against, row.beyond, strict=True)
        ),
        None if row.additivity is None else difference(row.additivity, measure, places, confidence),
        word,
        tone,
        sign,
    )


def reading(row: InteractionRow) -> tuple[str, str, str]:
    """Word, tone and sign: whether together is more than each part, or one after the other than mixed."""
    parts = "each" if row.kind == "together" else "mixed"
    if row.more_than_each and row.beyond:
        return f"more than {parts}", "good", "▲"
    if row.beyond and all(effect.sign < 0 for effect in row.beyond):
        return f"less than {parts}", "bad", "▼"
    if any(effect.sign < 0 for effect in row.beyond):
        return "less than one part", "bad", "▼"
    if row.beyond and not any(is_tested(effect) for effect in row.beyond):
        return "not tested", "open", SIGNS["not tested"]
    return "undecided", "open", "?"


def answer_groups(result: ValidationResult) -> list[AnswerGroup]:
    """Answers that became right, then those that became wrong, then all others; at most a few of each."""
    titles = {
        (False, True): "Not right before, right after",
        (True, False): "Right before, not right after",
    }
    groups: dict[str, list[Answered]] = {title: [] for title in titles.values()}
    groups["As right as before, or not checked"] = []
    for one in result.answers:
        before, after = one.right_before, one.right_after
        known = before is not None and after is not None
        title = titles.get((bool(before), bool(after))) if known else None
        groups[title or "As right as before, or not checked"].append(one)
    return [
        AnswerGroup(title, tuple(answers[:MOST_ANSWERS]), len(answers))
        for title, answers in groups.items()
        if answers
    ]
