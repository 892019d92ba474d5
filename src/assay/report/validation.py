"""Writes the report of a validation: one HTML page that stands alone, and its charts as SVG beside it.

Computes nothing but what can be drawn; what makes the page safe to open is in `frame`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup, escape

from assay.files import write_text
from assay.report import frame, words
from assay.report.figures.plan import Figure
from assay.report.figures.validation import ValidationFigures, colours_of, draw_validation, mark_of
from assay.report.palette import CONTROL
from assay.report.validations import chance, shown, tables, told
from assay.report.validations.told import validation_lines
from assay.validation.against import CAVEAT
from assay.validation.result import Agreement, Beside, ValidationResult

MOST_OPEN = 2
"""How many charts of predictions are seen without opening anything."""

__all__ = ["render_validation", "validation_lines", "write_validation_report"]


@dataclass(frozen=True, slots=True)
class Foretold:
    """A prediction beside what came, both in the page's units; `mark` is that of the chart."""

    row: Beside
    predicted: shown.Shown
    true: shown.Shown
    places: tuple[int, int]
    mark: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """An agreement with its chart and its rows to read."""

    agreement: Agreement
    where: str
    measure: str
    unit: str
    figure: Figure | None
    rows: tuple[Foretold, ...]


def write_validation_report(result: ValidationResult, folder: Path) -> Path:
    """Write `folder/report.html` and `folder/charts/*.svg`; returns the page's path.

    The same result gives the same bytes.
    """
    figures = draw_validation(result)
    for figure in figures.all():
        write_text(folder / "charts" / f"{figure.name}.svg", figure.drawing + "\n")
    page = folder / "report.html"
    write_text(page, render_validation(result, figures))
    return page


def render_validation(result: ValidationResult, figures: ValidationFigures) -> str:
    """The page as HTML text."""
    environment = frame.environment()
    environment.filters |= {"share": shown.share_text, "share_percent": shown.share_percent}
    environment.filters["arrows"] = unbroken_arrows
    environment.globals |= {"symbols": shown.SIGNS, "tones": shown.TONES}
    compared = _comparisons(result, figures)
    return environment.get_template("validation.html").render(
        result=result,
        style=frame.style(),
        headline=told.headline(result),
        several_models=len(result.models) > 1,
        colours=colours_of(result),
        grey=CONTROL,
        undesired={one.name for one in result.query_sets if one.direction == "undesired"},
        overviews=tables.overviews(result),
        figures=dict(figures.effects),
        interactions=tables.interactions(result),
        compared=compared,
        drawn=[one for one in compared if one.figure is not None],
        most_open=MOST_OPEN,
        tested=chance.tested(result),
        multiplicity=chance.multiplicity(result),
        left_out=chance.left_out(result),
        levels=chance.levels(result),
        notes=[note for note in result.notes if note != CAVEAT],
        caveat=CAVEAT,
        groups=tables.answer_groups(result),
        judged=frame.about_rows(result.judge),
        facts=frame.facts({"model": ", ".join(result.models), "date": result.settings.get("date")}),
        about=frame.about_rows(result.settings),
        command=frame.as_typed(result.settings.get("command")),
        config=frame.as_typed(result.settings.get("config")),
    )  # fmt: skip


def unbroken_arrows(text: str) -> Markup:
    """`text` for HTML, where no line ends within an arm's “->”."""
    arrow = Markup('<span class="arrow">-&gt;</span>')
    return arrow.join(escape(words.printable(part)) for part in text.split("->"))


def _comparisons(result: ValidationResult, figures: ValidationFigures) -> list[Comparison]:
    return [_comparison(result, *each) for each in zip(result.agreements, figures.agreements, strict=True)]


def _comparison(result: ValidationResult, one: Agreement, figure: Figure | None) -> Comparison:
    measure = shown.measures_of(result)[one.measure]
    predicted = [shown.shown(row.predicted, row.predicted_low, row.predicted_high) for row in one.rows]
    true = [shown.shown(row.true, row.true_low, row.true_high, measure) for row in one.rows]
    if len(result.seeds) > 1:
        true = [replace(each, absent=shown.NO_SPREAD) for each in true]
    some = any(words.has_interval(each) for each in true)
    after = words.places_for(true) if some or not measure.is_right else 1
    places = words.places_for(predicted), after
    rows = tuple(
        Foretold(row, before, came, places, mark_of(row))
        for row, before, came in zip(one.rows, predicted, true, strict=True)
    )
    return Comparison(one, shown.where(result, one), measure.title, shown.unit(measure), figure, rows)
