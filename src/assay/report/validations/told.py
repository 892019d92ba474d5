"""A validation in sentences: the headline, and all of it for a terminal. Knows no HTML."""

from collections.abc import Sequence

from assay.report.validations.shown import (
    Word,
    effect_text,
    measures_of,
    of_effect,
    outcome,
    places_of,
    share_text,
    unit,
    where,
    why_untested,
)
from assay.report.words import count, label, listed, number
from assay.validation.result import Agreement, Measure, Row, ValidationResult

MOST_NAMED = 3  # with one base model; else one
MOST_MODELS = 3

_PHRASES: dict[Word, str] = {
    "better": "better",
    "leans better": "better by its own interval only (not after Holm)",
    "worse": "worse",
    "leans worse": "worse by its own interval only (not after Holm)",
}


def headline(result: ValidationResult) -> str:
    """Effects on the first desired query set by the first measure, model by model, then signs foretold."""
    rows = leading(result)
    if not rows:
        return "There is nothing to say: no arm was held against another."
    models = list(dict.fromkeys(row.model for row in rows))
    said = [_effects(result, [row for row in rows if row.model == model]) for model in models[:MOST_MODELS]]
    if len(models) > MOST_MODELS:
        said.append(f"{count(len(models) - MOST_MODELS, 'base model')} more below.")
    if all(row.effect is not None and row.effect.resampled == "queries" for row in rows):
        said.append("Intervals redraw queries alone: training again with another seed may differ.")
    return " ".join([*said, *(foretold(result, one) for one in _leading_agreements(result)[:MOST_MODELS])])


def _leading_agreements(result: ValidationResult) -> list[Agreement]:
    """Those of the leading measure, on query sets of the leading direction where there are any."""
    rows = leading(result)
    mine = [one for one in result.agreements if rows and one.measure == rows[0].measure]
    return [one for one in mine if one.direction == rows[0].direction] or mine


def leading(result: ValidationResult) -> list[Row]:
    """The rows with effects of one query set and measure: the first desired set and first measure that have
    any."""
    held = [row for row in result.rows if row.effect is not None]
    for query_set in sorted(result.query_sets, key=lambda one: one.direction == "undesired"):
        for measure in result.measures:
            rows = [row for row in held if (row.query_set, row.measure) == (query_set.name, measure.name)]
            if rows:
                return rows
    return []


def _effects(result: ValidationResult, rows: Sequence[Row]) -> str:
    measure = measures_of(result)[rows[0].measure]
    words: dict[Word, list[Row]] = {}
    for row in rows:
        if row.effect is not None:
            words.setdefault(outcome(row.effect, result.confidence), []).append(row)
    most = MOST_NAMED if len(result.models) == 1 else 1
    parts = [
        f"{_named(found, measure, most)} {'is' if len(found) == 1 else 'are'} {phrase}"
        for word, phrase in _PHRASES.items()
        if (found := words.get(word))
    ]
    if open_ := words.get("undecided"):
        names = [label(row.arm) for row in open_]
        parts.append(f"{listed(names)} {'stays' if len(names) == 1 else 'stay'} undecided")
    if still := words.get("not tested"):
        places = places_of((row.effect for row in rows if row.effect is not None), measure)
        why = dict.fromkeys(why_untested(row.effect) for row in still if row.effect is not None)
        named = _named(still, measure, most, places)
        parts.append(f"{named} {'is' if len(still) == 1 else 'are'} not tested ({listed(list(why))})")
    of = f" of {label(rows[0].model, 60)}" if len(result.models) > 1 else ""
    where = f"on {label(rows[0].query_set, 40)} by {label(measure.title, 40)}"
    return f"Beside {label(result.reference)}{of}, {where} ({unit(measure)}): {'; '.join(parts)}."


def _named(rows: Sequence[Row], measure: Measure, most: int, places: int | None = None) -> str:
    """The largest effects with their intervals, or with `places` decimals and none; and how many more."""
    first = sorted(rows, key=lambda row: -abs(row.effect.value if row.effect else 0.0))
    names = [
        f"{label(row.arm)} "
        + (
            effect_text(row.effect, measure)
            if places is None
            else number(of_effect(row.effect, measure).value, places)
        )
        for row in first[:most]
        if row.effect
    ]
    more = len(first) - len(names)
    return listed([*names, f"{more} more"] if more else names)


def foretold(result: ValidationResult, one: Agreement, measure: Measure | None = None) -> str:
    """How many verdicts kept their sign, or, where none was committed, how many values had it.

    Names `measure` where it is given.
    """
    of = f" of {label(one.model, 60)}" if len(result.models) > 1 else ""
    by = f", by {label(measure.title, 40)}" if measure else ""
    place = f"{where(result, one)}{of}{by}"
    if one.kept.of:
        said = f"{share_text(one.kept)} of the study’s committed verdicts had the sign of what training did"
        return f"{place}: {said}."
    said = f"no verdict was committed; predicted values had the true sign in {share_text(one.signs)}"
    return f"{place}: {said}."


def validation_lines(result: ValidationResult) -> list[str]:
    """What the page says, short, for a terminal: the headline, other query sets and agreements, notes.

    No markup.
    """
    lead = leading(result)
    shown = {(lead[0].query_set, lead[0].measure)} if lead else set()
    keys = dict.fromkeys(
        (row.query_set, row.measure, row.model) for row in result.rows if row.effect is not None
    )
    lines = [headline(result)]
    for query_set, measure, model in keys:
        if (query_set, measure) not in shown:
            mine = (query_set, measure, model)
            rows = [
                row for row in result.rows if row.effect and (row.query_set, row.measure, row.model) == mine
            ]
            lines.append(_effects(result, rows))
    said = _leading_agreements(result)[:MOST_MODELS]
    known = measures_of(result)
    lines += [foretold(result, one, known[one.measure]) for one in result.agreements if one not in said]
    return [*lines, *(label(one, 600) for one in result.notes)]
