"""The charts of a validation: effects of arms, and predictions beside outcomes.

Draws them; knows nothing of the page around them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.report import words
from assay.report.charts.against import Mark, Point, against
from assay.report.charts.base import cut_note
from assay.report.charts.levels import Level, levels
from assay.report.figures.plan import WIDE, Figure, slug
from assay.report.palette import CONTROL, Colour, assign
from assay.report.svg import draw
from assay.report.validations.shown import measures_of, of_effect, places_of, shown, unit, where
from assay.report.validations.tables import arm_names, ordered_sets
from assay.validation.result import Agreement, Beside, ValidationResult


@dataclass(slots=True)
class _Names:
    """File names already taken."""

    taken: set[str] = field(default_factory=set)

    def draw(self, specification: dict[str, Any], title: str, *parts: str) -> Figure:
        stem = "-".join(slug(part) for part in parts)
        name, copy = stem, 1
        while name in self.taken:
            copy += 1
            name = f"{stem}-{copy}"
        self.taken.add(name)
        return Figure(name, title, draw(specification, name, title), cut_note(specification))


@dataclass(frozen=True, slots=True)
class ValidationFigures:
    """`effects` by query set; `agreements` one for each agreement in its order, None without rows."""

    effects: tuple[tuple[str, tuple[Figure, ...]], ...]
    agreements: tuple[Figure | None, ...]

    def all(self) -> Iterator[Figure]:
        for _, figures in self.effects:
            yield from figures
        yield from (figure for figure in self.agreements if figure is not None)


def colours_of(result: ValidationResult) -> dict[str, Colour]:
    """A colour for every arm; the reference is grey."""
    return assign(arm_names(result), result.reference)


def draw_validation(result: ValidationResult) -> ValidationFigures:
    """Draw everything. The same result gives the same drawings."""
    names, colours = _Names(), colours_of(result)
    effects = [(one.name, tuple(_effects(result, one.name, colours, names))) for one in ordered_sets(result)]
    return ValidationFigures(
        tuple((name, figures) for name, figures in effects if figures),
        tuple(_agreement(result, one, colours, names) for one in result.agreements),
    )


def _effects(
    result: ValidationResult, query_set: str, colours: Mapping[str, Colour], names: _Names
) -> Iterator[Figure]:
    order = arm_names(result)
    for measure in result.measures:
        for model in result.models:
            mine = (query_set, measure.name, model)
            rows = [
                row for row in result.rows if row.effect and (row.query_set, row.measure, row.model) == mine
            ]
            rows.sort(key=lambda row: order.index(row.arm))
            places = places_of((row.effect for row in rows if row.effect), measure)
            entries = [
                Level(row.arm, of_effect(row.effect, measure), colours[row.arm], False, places)
                for row in rows
                if row.effect
            ]
            if entries:
                title = words.label(measure.title, 30)
                below = f"{unit(measure)}{f', {words.label(model, 24)}' if len(result.models) > 1 else ''}"
                specification = levels(entries, title, below, WIDE, 24)
                said = (
                    f"Effects of arms on {words.label(query_set)} by {title}, {below}; right of zero is good"
                )
                yield names.draw(specification, said, "effects", query_set, measure.name, *_of(result, model))


def mark_of(row: Beside) -> Mark:
    """Signs are compared where training's own is clear."""
    if not row.clear or row.agrees is None:
        return "unclear"
    return "agrees" if row.agrees else "differs"


def _agreement(
    result: ValidationResult, one: Agreement, colours: Mapping[str, Colour], names: _Names
) -> Figure | None:
    if not one.rows:
        return None
    measure = measures_of(result)[one.measure]
    several = len({row.query_set for row in one.rows}) > 1
    points = [
        Point(
            f"{row.strategy}, {row.query_set}" if several else row.strategy,
            shown(row.predicted, row.predicted_low, row.predicted_high),
            shown(row.true, row.true_low, row.true_high, measure),
            colours.get(row.arm, CONTROL),
            mark_of(row),
        )
        for row in one.rows
    ]
    title = where(result, one)
    kind = ("undesired",) if one.direction == "undesired" else ()
    below = words.label(measure.title, 30)
    if len(result.models) > 1:
        below = f"{below}, {words.label(one.model, 24)}"
    axes = "predicted by the study", f"after training, {unit(measure)}"
    specification = against(points, axes, title, below, WIDE, 360)
    said = f"{title} by {below}: {axes[0]} across, {axes[1]} up; in the shade both have one sign"
    return names.draw(
        specification,
        said,
        "foretold",
        one.context,
        one.against,
        measure.name,
        *kind,
        *_of(result, one.model),
    )


def _of(result: ValidationResult, model: str) -> tuple[str, ...]:
    """The base model, where there are several."""
    return (model,) if len(result.models) > 1 else ()
