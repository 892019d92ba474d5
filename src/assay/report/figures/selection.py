"""The charts of a selection: how scores are spread, the pruned region in its planes, completion lengths.

Draws them; knows nothing of the page around them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.report.charts.limits import limits_of
from assay.report.charts.scatter import Shade, scatter
from assay.report.figures.in_context import draw_in_context
from assay.report.figures.noted import Noted, edges, spread, thinned, thinning
from assay.report.figures.plan import WIDE, Figure, slug
from assay.report.selections.deciding import Side, others_of, scored, sides_of
from assay.report.svg import draw
from assay.report.words import count, label
from assay.selection.result import Region, SelectionResult

MOST_OTHERS = 8


@dataclass(frozen=True, slots=True)
class SelectionFigures:
    """Charts by the section that shows them; `planes` are those of pruning rules, the two scores' own first.

    `left_out` counts the columns that did not decide and were too many to draw.
    """

    deciding: tuple[Noted, ...]
    others: tuple[Noted, ...]
    planes: tuple[Noted, ...]
    lengths: tuple[Noted, ...]
    in_context: tuple[Noted, ...]
    left_out: int

    def all(self) -> Iterator[Figure]:
        for part in (self.deciding, self.others, self.planes, self.lengths, self.in_context):
            for noted in part:
                yield noted.figure


def draw_selection(result: SelectionResult) -> SelectionFigures:
    """Draw everything. The same result gives the same drawings."""
    sides, in_context = sides_of(result), draw_in_context(result)
    own = result.in_context.name if in_context and result.in_context is not None else None
    others = [name for name in others_of(result) if name != own]
    tokens = result.pool.tokens.astype(np.float64)
    return SelectionFigures(
        deciding=tuple(_spreads(result, sides, "scores")),
        others=tuple(_spreads(result, [Side(name) for name in others[:MOST_OTHERS]], "other")),
        planes=tuple(_planes(result, sides)),
        lengths=(spread(result, tokens, Side("tokens"), "Completion lengths", "learned tokens", "lengths"),),
        in_context=in_context,
        left_out=len(others[MOST_OTHERS:]),
    )


def _spreads(result: SelectionResult, sides: Sequence[Side], stem: str) -> Iterator[Noted]:
    """A histogram for each column in which anybody has a score."""
    for place, side in enumerate(sides, 1):
        values = result.scores[side.name]
        if scored(values).any():
            title = " · ".join(part for part in (side.symbols[0], label(side.name, 40)) if part)
            yield spread(result, values, side, title, "score", f"{stem}-{place}-{slug(side.name)}")


def _planes(result: SelectionResult, sides: list[Side]) -> Iterator[Noted]:
    """s_C × s_I where both are known, then score × rank of every deciding side."""
    region = result.region
    if region is None:
        return
    if region.x in result.scores and region.y in result.scores:
        axes = f"s_C, {label(region.x, 40)}", f"s_I, {label(region.y, 40)}"
        yield _plane(result, (region.x, region.y), _strips(region), axes, "The pruned region", "region")
    for side in sides:
        if side.rank in result.scores:
            axes = f"{side.symbols[0]}, {label(side.name, 40)}", f"{side.symbols[1]}, mean percentile rank"
            title = f"{side.symbols[0]} and {side.symbols[1]}"
            name = f"corner-{slug(side.symbols[0])}"
            yield _plane(result, (side.name, side.rank), _corner(side), axes, title, name)


def _strips(region: Region) -> list[Shade]:
    """Low s_C and high s_I, without the part that both share counted twice."""
    shades = [] if region.low_x is None else [Shade(right=region.low_x)]
    if region.high_y is not None:
        shades.append(Shade(left=region.low_x, bottom=region.high_y))
    return shades


def _corner(side: Side) -> list[Shade]:
    """Low (or high) in score and in rank."""
    if side.score_at is None or side.rank_at is None:
        return []
    if side.low:
        return [Shade(right=side.score_at, top=side.rank_at)]
    return [Shade(left=side.score_at, bottom=side.rank_at)]


def _plane(
    result: SelectionResult,
    columns: tuple[str, str],
    shades: list[Shade],
    axes: tuple[str, str],
    title: str,
    name: str,
) -> Noted:
    x, y = (result.scores[column] for column in columns)
    known = np.flatnonzero(scored(x) & scored(y))
    limits = (
        limits_of(x[known], [end for shade in shades for end in (shade.left, shade.right)]),
        limits_of(y[known], [end for shade in shades for end in (shade.bottom, shade.top)]),
    )
    drawn = np.concatenate([thinned(known[result.kept[known] == keep]) for keep in (True, False)])
    specification = scatter(x[drawn], y[drawn], result.kept[drawn], limits, shades, axes, title, WIDE, 330)
    said = f"{title}: {axes[0]} across and {axes[1]} up, of kept and dropped examples"
    notes = (
        _shaded(result, x, y, shades),
        thinning(result, known, drawn),
        edges(limits, len(x) - len(known)),
    )
    return Noted(Figure(name, said, draw(specification, name, said)), " ".join(filter(None, notes)))


def _shaded(
    result: SelectionResult, x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"], shades: list[Shade]
) -> str:
    """How many are in the shade, how many of them were kept all the same, and who was dropped elsewhere."""
    if not shades:
        return "Nothing was dropped."
    inside = np.any([shade.holds(x, y) for shade in shades], axis=0)
    kept, outside = int((inside & result.kept).sum()), int((~inside & ~result.kept).sum())
    said = f"{count(int(inside.sum()), 'example')} in the shade, {kept:,} of them kept."
    return f"{said} Outside it, {outside:,} dropped by the other score." if outside else said
