"""A chart with what has to be said below it, and the parts that charts of candidates share.

Knows nothing of which charts a page shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.report.charts.histogram import histogram
from assay.report.charts.limits import Limits, limits_of
from assay.report.figures.plan import WIDE, Figure
from assay.report.selections.deciding import Side, scored
from assay.report.svg import draw
from assay.report.words import count, figure
from assay.selection.result import SelectionResult

MOST_POINTS = 1_500


@dataclass(frozen=True, slots=True)
class Noted:
    """A chart, and what has to be said below it."""

    figure: Figure
    note: str


def spread(
    result: SelectionResult, values: Float[np.ndarray, "n"], side: Side, title: str, unit: str, name: str
) -> Noted:
    known = scored(values)
    thresholds = [] if side.score_at is None else [side.score_at]
    limits = limits_of(values[known], thresholds)
    specification = histogram(values[known], result.kept[known], limits, thresholds, title, unit, WIDE, 230)
    said = f"{title}: {unit} of kept and dropped examples"
    return Noted(Figure(name, said, draw(specification, name, said)), _tails(limits, int((~known).sum())))


def _tails(limits: Limits, without: int) -> str:
    """What a histogram holds in its outermost bars, and who is not in it."""
    said = []
    if limits.below:
        ends = f"down to {figure(limits.least)}"
        said.append(f"{count(limits.below, 'example')} below {figure(limits.low)} ({ends})")
    if limits.above:
        ends = f"up to {figure(limits.most)}"
        said.append(f"{count(limits.above, 'example')} above {figure(limits.high)} ({ends})")
    notes = [f"Long tails are cut: the outermost bars hold {' and '.join(said)}."] if said else []
    if without:
        notes.append(f"Not drawn: {count(without, 'example')} without a score.")
    return " ".join(notes)


def thinned(rows: Int[np.ndarray, "k"]) -> Int[np.ndarray, "j"]:
    """All, or a fixed random part of them, in their order."""
    if len(rows) <= MOST_POINTS:
        return rows
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_POINTS])]


def thinning(result: SelectionResult, known: Int[np.ndarray, "m"], drawn: Int[np.ndarray, "j"]) -> str:
    there: Mapping[str, tuple[int, int]] = {
        word: (int((result.kept[drawn] == keep).sum()), int((result.kept[known] == keep).sum()))
        for word, keep in (("kept", True), ("dropped", False))
    }
    if len(drawn) == len(known):
        return ""
    parts = [f"{shown:,} of {all_:,} {word}" for word, (shown, all_) in there.items()]
    return f"Drawn are {' and '.join(parts)}, the same random ones every time."


def edges(limits: tuple[Limits, Limits], without: int) -> str:
    cut = "Long tails are cut: what lies beyond the frame stands at its edge."
    said = [cut] if any(each.cuts for each in limits) else []
    if without:
        said.append(f"Not drawn: {count(without, 'example')} without both.")
    return " ".join(said)
