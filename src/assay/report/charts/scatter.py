"""Two scores of every candidate in a plane, kept and dropped, with shaded regions. Knows no rules.

All points of a kind are one path of dots (a line of single points with round caps), so that thousands of them
take little room in a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Bool, Float

from assay.report.charts.base import chart, finish, zero_rule
from assay.report.charts.limits import Limits
from assay.report.palette import DROPPED, INK, KEPT
from assay.report.words import figure


@dataclass(frozen=True, slots=True)
class Shade:
    """A rectangle of the plane; an end of None is that of the frame."""

    left: float | None = None
    right: float | None = None
    bottom: float | None = None
    top: float | None = None

    def holds(self, x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Which points lie in it, its edges included; NaN lies nowhere."""
        inside = ~np.isnan(x) & ~np.isnan(y)
        for values, least, most in ((x, self.left, self.right), (y, self.bottom, self.top)):
            if least is not None:
                inside &= values >= least
            if most is not None:
                inside &= values <= most
        return np.asarray(inside)


def scatter(
    x: Float[np.ndarray, "m"],
    y: Float[np.ndarray, "m"],
    kept: Bool[np.ndarray, "m"],
    limits: tuple[Limits, Limits],
    shades: Sequence[Shade],
    names: tuple[str, str],
    title: str,
    width: int,
    height: int,
) -> dict[str, Any]:
    """Dots in the frame of both limits; what lies beyond stands at its edge."""
    across, up = (_domain(each) for each in limits)
    x_axis = alt.Axis(title=names[0], grid=False, tickCount=5, format=".6~g", titleLimit=width - 60)
    y_axis = alt.Axis(title=names[1], grid=False, tickCount=5, format=".6~g", titleLimit=height - 80)
    x_scale = alt.Scale(domain=across, nice=False, zero=False)
    y_scale = alt.Scale(domain=up, nice=False, zero=False)
    x_at = alt.X("x:Q", axis=x_axis, scale=x_scale)
    y_at = alt.Y("y:Q", axis=y_axis, scale=y_scale)
    layers = [
        chart("shades")
        .mark_rect(color=DROPPED.light, opacity=0.13, aria=False)
        .encode(x_at, alt.X2("x2"), y_at, alt.Y2("y2"))
    ]
    if across[0] < 0 < across[1]:
        layers.append(zero_rule(alt.XDatum(0)))
    if up[0] < 0 < up[1]:
        layers.append(zero_rule(alt.YDatum(0)))
    dashes = {"color": INK.light, "strokeDash": [4, 3], "strokeWidth": 1.2}
    layers += [
        chart("across").mark_rule(**dashes).encode(x_at, alt.Description("text:N")),
        chart("up").mark_rule(**dashes).encode(y_at, alt.Description("text:N")),
    ]
    tables: dict[str, list[dict[str, Any]]] = {
        "shades": [_rectangle(shade, across, up) for shade in shades],
        "across": _thresholds("x", [end for shade in shades for end in (shade.left, shade.right)]),
        "up": _thresholds("y", [end for shade in shades for end in (shade.bottom, shade.top)]),
    }
    size = 6.0 if len(x) <= 150 else 4.6 if len(x) <= 600 else 3.4
    for table, colour, mask in (("dropped", DROPPED, ~kept), ("kept", KEPT, kept)):
        dots = chart(table).mark_line(
            color=colour.light, strokeCap="round", strokeWidth=size, opacity=0.75, aria=False
        )
        layers.append(dots.encode(x_at, y_at, alt.Order("i:Q")))
        tables[table] = _dots(x[mask], y[mask], limits)
    return finish(layers, tables, title, "blue kept, orange dropped", width, height)


def _domain(limits: Limits) -> list[float]:
    pad = 0.03 * (limits.high - limits.low)
    return [limits.low - pad, limits.high + pad]


def _rectangle(shade: Shade, across: Sequence[float], up: Sequence[float]) -> dict[str, float]:
    def end(value: float | None, frame: float) -> float:
        return frame if value is None else value

    return {
        "x": end(shade.left, across[0]),
        "x2": end(shade.right, across[1]),
        "y": end(shade.bottom, up[0]),
        "y2": end(shade.top, up[1]),
    }


def _thresholds(channel: str, ends: Sequence[float | None]) -> list[dict[str, Any]]:
    found = dict.fromkeys(end for end in ends if end is not None)
    return [{channel: end, "text": f"threshold {figure(end)}"} for end in found]


def _dots(
    x: Float[np.ndarray, "k"], y: Float[np.ndarray, "k"], limits: tuple[Limits, Limits]
) -> list[dict[str, Any]]:
    """A row for each point and an empty one behind it, which breaks the line."""
    rows: list[dict[str, Any]] = []
    inside = (np.clip(v, each.low, each.high) for v, each in zip((x, y), limits, strict=True))
    for place, (a, b) in enumerate(zip(*(each.tolist() for each in inside), strict=True)):
        rows += [{"i": 2 * place, "x": a, "y": b}, {"i": 2 * place + 1, "x": None, "y": None}]
    return rows
