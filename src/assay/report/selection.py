"""Writes the report of a selection: one HTML page that stands alone, and its charts as SVG beside it.

Computes nothing but what can be drawn; what makes the page safe to open is in `frame`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.files import write_text
from assay.report import frame, words
from assay.report.figures.selection import SelectionFigures, draw_selection
from assay.report.selections import told
from assay.report.selections.deciding import Side, choosing, sides_of
from assay.report.selections.demonstrations import (
    carried_sentence,
    demonstrations,
    pairs_sentence,
    signed,
    signs,
    spread_sentence,
)
from assay.report.selections.examples import groups_of
from assay.report.selections.reasons import kinds_of
from assay.report.selections.told import selection_lines
from assay.selection.result import QUANTILES, SelectionResult, Share
from assay.selection.rules import Options

MOST_ROWS = 12
"""How many tasks or sources a table lists."""

__all__ = ["render_selection", "selection_lines", "write_selection_report"]


@dataclass(frozen=True, slots=True)
class Card:
    """A candidate to read: where it comes from, its scores (name, value), decision, reason and texts."""

    id: str
    where: str
    task: str | None
    tokens: int
    scores: tuple[tuple[str, float], ...]
    kept: bool
    reason: str
    weight: float | None
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Mix:
    """Tasks or sources whose share changed most; `more` are not listed, `most` is the largest share."""

    noun: str
    rows: tuple[Share, ...]
    more: int
    most: float


def write_selection_report(result: SelectionResult, folder: Path) -> Path:
    """Write `folder/report.html` and `folder/charts/*.svg`; returns the page's path.

    The same result gives the same bytes.
    """
    figures = draw_selection(result)
    for figure in figures.all():
        write_text(folder / "charts" / f"{figure.name}.svg", figure.drawing + "\n")
    page = folder / "report.html"
    write_text(page, render_selection(result, figures))
    return page


def render_selection(result: SelectionResult, figures: SelectionFigures) -> str:
    """The page as HTML text."""
    environment = frame.environment()
    environment.filters |= {
        "figure": words.figure,
        "path": words.path_label,
        "percent": told.percent,
        "choice": told.choice_name,
        "signed": signed,
    }
    kinds, rest = kinds_of(result)
    sides = sides_of(result)
    about = _about(result.about)
    return environment.get_template("selection.html").render(
        result=result,
        style=frame.style(),
        figures=figures,
        headline=told.headline(result),
        sides=sides,
        choosing=choosing(result),
        kinds=kinds,
        rest=rest,
        mixes=_mixes(result),
        change=told.largest_change(result.drift) if result.drift else "",
        quantiles=QUANTILES,
        groups=[(one.title, [_card(result, i, sides) for i in one.candidates]) for one in groups_of(result)],
        **_in_context(result),
        facts=frame.facts(about),
        about=frame.about_rows(about),
        command=frame.as_typed(about.get("command")),
        config=frame.as_typed(about.get("config")),
    )  # fmt: skip


def _in_context(result: SelectionResult) -> dict[str, Any]:
    """What the page says of in-context influence, where there is any."""
    found = result.in_context
    if found is None:
        return {}
    return {
        "signs": signs(found),
        "spread": spread_sentence(found.name, found.spread, len(result.pool)),
        "pairs": pairs_sentence(found.pairs, found.left_out),
        "carried": carried_sentence(found.name, found.carried),
        "demonstrations": demonstrations(result),
    }


def _mixes(result: SelectionResult) -> list[Mix]:
    """Tables of tasks and sources, where there are several of them."""
    if result.drift is None:
        return []
    found = (("Task", result.drift.tasks), ("Source", result.drift.sources))
    return [_mix(noun, told.changed_most(shares)) for noun, shares in found if len(shares) > 1]


def _mix(noun: str, shares: list[Share]) -> Mix:
    rows = tuple(shares[:MOST_ROWS])
    most = max(max(row.share_before, row.share_after) for row in rows)
    return Mix(noun, rows, len(shares) - len(rows), most)


def _card(result: SelectionResult, i: int, sides: list[Side]) -> Card:
    pool = result.pool
    columns = [
        (symbol or words.label(column, 40), column)
        for side in sides
        for symbol, column in zip(side.symbols, (side.name, side.rank), strict=True)
        if column == side.name or (symbol and column in result.scores)
    ]
    return Card(
        id=pool.ids[i],
        where=f"{words.path_label(pool.files[i], 80)}, row {int(pool.rows[i]):,}",
        task=pool.tasks[i],
        tokens=int(pool.tokens[i]),
        scores=tuple((name, float(result.scores[column][i])) for name, column in columns),
        kept=bool(result.kept[i]),
        reason=result.reasons[i],
        weight=float(result.weights[i]) if result.weights is not None else None,
        prompt=pool.prompts[i],
        completion=pool.completions[i],
    )


def _about(about: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance with only those options that are not as they always are."""
    options, usual = about.get("options"), asdict(Options())
    if not isinstance(options, Mapping):
        return dict(about)
    return {**about, "options": {name: value for name, value in options.items() if value != usual.get(name)}}
