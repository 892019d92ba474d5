"""Predicted values beside true effects, with intervals; where signs agree is shaded. Knows no studies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from assay.report.charts.base import chart, finish, frame_of, leaving, zero_rule
from assay.report.palette import GRID, INK, PAPER, Colour
from assay.report.words import Ranged, has_interval, interval, label, number

Mark = Literal["agrees", "differs", "unclear"]

LABEL_HEIGHT, LETTER, LIFT = 13, 6.2, 9  # pixels of the drawing: what a name takes, and how far it is above


HEADS: dict[str, dict[str, int]] = {
    "left": {"xOffset": 3},
    "right": {"xOffset": -3},
    "down": {"yOffset": -3},
    "up": {"yOffset": 3},
}
"""Arrow heads at the edges of the frame, in the order left, right, bottom, top; pixels drawn inwards."""


@dataclass(frozen=True, slots=True)
class Point:
    """`mark`: a dot where signs agree, a cross where they differ, a ring where the true sign is not clear."""

    name: str
    predicted: Ranged
    true: Ranged
    colour: Colour
    mark: Mark


def against(
    points: Sequence[Point], axes: tuple[str, str], title: str, subtitle: str, width: int, height: int
) -> dict[str, Any]:
    """A scatter around both zeros; quadrants of equal sign are shaded, names stand where there is room.

    An interval that leaves the frame ends in an arrow head at its edge.
    """
    known = [p for p in points if math.isfinite(p.predicted.value) and math.isfinite(p.true.value)]
    across = frame_of([p.predicted for p in known], reach=0.6)
    up = frame_of([p.true for p in known], reach=0.6)
    inks = {p.colour.name: p.colour.light for p in known}
    colours = alt.Color(
        "colour:N", legend=None, scale=alt.Scale(domain=list(inks), range=list(inks.values()))
    )
    x = alt.X(
        "x:Q",
        axis=alt.Axis(title=axes[0], grid=False, tickCount=4, format=".6~g", titleLimit=width - 60),
        scale=alt.Scale(domain=list(across), nice=False),
    )
    y = alt.Y(
        "y:Q",
        axis=alt.Axis(title=axes[1], grid=False, tickCount=5, format=".6~g", titleLimit=height - 80),
        scale=alt.Scale(domain=list(up), nice=False),
    )
    text = alt.Description("text:N")
    bar: dict[str, Any] = {"strokeWidth": 2, "opacity": 0.45, "clip": True, "aria": False}
    shapes: dict[Mark, dict[str, Any]] = {
        "agrees": {"filled": True, "size": 60, "opacity": 1},
        "differs": {"shape": "cross", "filled": True, "size": 110, "angle": 45, "opacity": 1},
        "unclear": {"fill": PAPER.light, "size": 56, "strokeWidth": 2, "opacity": 1},
    }
    layers = [
        chart("shades")
        .mark_rect(color=GRID.light, opacity=0.55, aria=False)
        .encode(x, alt.X2("x2"), y, alt.Y2("y2")),
        zero_rule(alt.XDatum(0)),
        zero_rule(alt.YDatum(0)),
        chart("flat").mark_rule(**bar).encode(alt.X("low:Q"), alt.X2("high"), y, colours),
        chart("tall").mark_rule(**bar).encode(x, alt.Y("low:Q"), alt.Y2("high"), colours),
        *(
            chart(f"beyond_{side}")
            .mark_point(shape=f"triangle-{side}", filled=True, size=50, opacity=0.8, aria=False, **inwards)
            .encode(alt.X("x:Q"), alt.Y("y:Q"), colours)
            for side, inwards in HEADS.items()
        ),
        *(chart(mark).mark_point(**shape).encode(x, y, colours, text) for mark, shape in shapes.items()),
        *(
            chart(f"names_{side}")
            .mark_text(align=side, dx=dx, dy=-LIFT, fontSize=11, color=INK.light, aria=False)
            .encode(x, y, alt.Text("name:N"))
            for side, dx in (("left", 8), ("right", -8))
        ),
    ]
    rows = [_row(point) for point in known]
    named = places_of_names(known, across, up, width, height)
    tables: dict[str, list[dict[str, Any]]] = {
        "shades": [
            {"x": 0, "x2": across[1], "y": 0, "y2": up[1]},
            {"x": across[0], "x2": 0, "y": up[0], "y2": 0},
        ],
        "flat": [
            {**row, "low": p.predicted.low, "high": p.predicted.high}
            for row, p in zip(rows, known, strict=True)
            if has_interval(p.predicted)
        ],
        "tall": [
            {**row, "low": p.true.low, "high": p.true.high}
            for row, p in zip(rows, known, strict=True)
            if has_interval(p.true)
        ],
        **_heads(rows, known, across, up),
        **{mark: [row for row in rows if row["mark"] == mark] for mark in shapes},
        **{
            f"names_{side}": [row for row, mine in zip(rows, named, strict=True) if mine == side]
            for side in ("left", "right")
        },
    }
    return finish(layers, tables, title, subtitle, width, height)


def _heads(
    rows: Sequence[dict[str, Any]],
    points: Sequence[Point],
    across: tuple[float, float],
    up: tuple[float, float],
) -> dict[str, list[dict[str, Any]]]:
    """A row at the edge of the frame for each interval that leaves it there."""
    found: dict[str, list[dict[str, Any]]] = {f"beyond_{side}": [] for side in HEADS}
    for row, point in zip(rows, points, strict=True):
        out = (*leaving(point.predicted, across), *leaving(point.true, up))
        places: list[dict[str, Any]] = [*({"x": edge} for edge in across), *({"y": edge} for edge in up)]
        for side, goes_on, place in zip(HEADS, out, places, strict=True):
            if goes_on:
                found[f"beyond_{side}"].append({**row, **place})
    return found


def places_of_names(
    points: Sequence[Point], across: tuple[float, float], up: tuple[float, float], width: int, height: int
) -> list[str]:
    """For each point the side its name is anchored at ("left": it stands right of the point), "" where others
    stand."""
    at = [
        (
            width * (p.predicted.value - across[0]) / (across[1] - across[0]),
            height * (p.true.value - up[0]) / (up[1] - up[0]),
        )
        for p in points
    ]
    taken: list[tuple[float, float, float]] = []  # left end, right end, height of what is drawn
    taken += [(x - 5, x + 5, y) for x, y in at]
    sides = []
    for (x, y), point in zip(at, points, strict=True):
        long = 8 + LETTER * len(label(point.name, 24))
        found = ""
        for side, left in (("left", x + 6), ("right", x - 6 - long)):
            inside = left >= 0 and left + long <= width
            if inside and not any(
                left < end and left + long > start and abs(y + LIFT - other) < LABEL_HEIGHT
                for start, end, other in taken
            ):
                found = side
                taken.append((left, left + long, y + LIFT))
                break
        sides.append(found)
    return sides


def _row(point: Point) -> dict[str, Any]:
    return {
        "x": point.predicted.value,
        "y": point.true.value,
        "name": label(point.name, 24),
        "mark": point.mark,
        "colour": point.colour.name,
        "text": f"{label(point.name)}: predicted {number(point.predicted.value)} "
        f"{interval(point.predicted)}, true {number(point.true.value)} {interval(point.true)}",
    }
