"""The charts of in-context influence: its spread, and difficulty against it. Knows nothing of the page."""

import numpy as np

from assay.report.charts.limits import limits_of
from assay.report.charts.scatter import scatter
from assay.report.figures.noted import Noted, edges, spread, thinned, thinning
from assay.report.figures.plan import WIDE, Figure
from assay.report.selections.deciding import Side, scored, sides_of
from assay.report.svg import draw
from assay.report.words import label
from assay.selection.result import SelectionResult


def draw_in_context(result: SelectionResult) -> tuple[Noted, ...]:
    """Nothing where no influence is known. The spread is left out where it decided: it is drawn there."""
    found = result.in_context
    if found is None or not scored(result.scores[found.name]).any():
        return ()
    drawn = []
    if found.name not in {side.name for side in sides_of(result)}:
        title = f"Influence · {label(found.name, 40)}"
        drawn.append(
            spread(result, result.scores[found.name], Side(found.name), title, "score", "in-context")
        )
    if found.difficulty is not None:
        drawn.append(_against_difficulty(result, found.difficulties[0].name))
    return tuple(drawn)


def _against_difficulty(result: SelectionResult, name: str) -> Noted:
    """Difficulty across, influence up."""
    found = result.in_context
    assert found is not None and found.difficulty is not None
    x, y = found.difficulty, result.scores[found.name]
    known = np.flatnonzero(scored(x) & scored(y))
    limits = limits_of(x[known], []), limits_of(y[known], [])
    drawn = np.concatenate([thinned(known[result.kept[known] == keep]) for keep in (True, False)])
    axes = f"{label(name, 40)}, higher is harder", label(found.name, 40)
    title = "Difficulty and influence"
    drawing = scatter(x[drawn], y[drawn], result.kept[drawn], limits, [], axes, title, WIDE, 300)
    said = f"{title}: {axes[0]} across and {axes[1]} up, of kept and dropped examples"
    notes = thinning(result, known, drawn), edges(limits, len(x) - len(known))
    return Noted(Figure("difficulty", said, draw(drawing, "difficulty", said)), " ".join(filter(None, notes)))
