"""How scores are spread: bars of kept and dropped, one upon the other. Knows no rules."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Bool, Float

from assay.report.charts.base import chart, finish, zero_rule
from assay.report.charts.limits import Limits
from assay.report.palette import DROPPED, INK, KEPT
from assay.report.words import figure

MOST_BARS = 48


def edges_of(values: Float[np.ndarray, "m"], limits: Limits) -> Float[np.ndarray, "b+1"]:
    """Edges of even bars over the limits, more bars for more values; whole numbers stand amid theirs."""
    count = min(MOST_BARS, max(6, round(3 * len(values) ** (1 / 3))))
    if len(values) and not (values % 1).any() and limits.high < 2**52 > -limits.low:
        low, high = math.floor(limits.low), math.ceil(limits.high)
        width = max(1, math.ceil((high - low + 1) / count))
        return np.arange(low, high + width + 1, width, dtype=np.float64) - 0.5
    return np.linspace(limits.low, limits.high, count + 1)


def histogram(
    values: Float[np.ndarray, "m"],
    kept: Bool[np.ndarray, "m"],
    limits: Limits,
    thresholds: Sequence[float],
    title: str,
    unit: str,
    width: int,
    height: int,
) -> dict[str, Any]:
    """Bars over finite values, what lies beyond the limits in the outermost; thresholds as dashed lines."""
    edges = edges_of(values, limits)
    inside = np.clip(values, edges[0], edges[-1])
    below, above = (np.histogram(inside[mask], edges)[0].tolist() for mask in (kept, ~kept))
    gap = 0.06 * float(edges[1] - edges[0])
    bars: dict[str, list[dict[str, Any]]] = {"kept": [], "dropped": []}
    for place, (low, high) in enumerate(zip(below, above, strict=True)):
        start, end = float(edges[place]), float(edges[place + 1])
        text = f"{_between(start, end, place, len(below), limits)}: {low:,} kept, {high:,} dropped"
        bar = {"a": start + gap, "b": end - gap, "text": text}
        if low:
            bars["kept"].append({**bar, "low": 0, "high": low})
        if high:
            bars["dropped"].append({**bar, "low": low, "high": low + high})
    tallest = max(1, max(low + high for low, high in zip(below, above, strict=True)))
    x_axis = alt.Axis(title=unit, grid=False, tickCount=6, format=".6~g", titleLimit=width - 60)
    x_scale = alt.Scale(domain=[float(edges[0]), float(edges[-1])], nice=False, zero=False)
    y_axis = alt.Axis(title="examples", tickCount=min(4, tallest), format=",d")
    x = alt.X("a:Q", axis=x_axis, scale=x_scale)
    y = alt.Y("low:Q", axis=y_axis, scale=alt.Scale(domain=[0, tallest * 1.04], nice=False))
    layers = [
        chart(name)
        .mark_rect(color=colour.light)
        .encode(x, alt.X2("b"), y, alt.Y2("high"), alt.Description("text:N"))
        for name, colour in (("kept", KEPT), ("dropped", DROPPED))
    ]
    if edges[0] < 0 < edges[-1]:
        layers.insert(0, zero_rule(alt.XDatum(0)))
    dashed = chart("thresholds").mark_rule(color=INK.light, strokeDash=[4, 3], strokeWidth=1.4)
    layers.append(dashed.encode(alt.X("a:Q", axis=x_axis, scale=x_scale), alt.Description("text:N")))
    tables = {
        **bars,
        "thresholds": [{"a": at, "text": f"threshold {figure(at)}"} for at in thresholds],
    }
    subtitle = "blue kept, orange dropped"
    if thresholds:
        subtitle += f"; dashed: {', '.join(figure(at) for at in thresholds)}"
    return finish(layers, tables, title, subtitle, width, height)


def _between(start: float, end: float, place: int, bars: int, limits: Limits) -> str:
    """The values of a bar in words; those of the outermost go on where a tail is cut."""
    if place == 0 and limits.below:
        return f"{figure(end)} or less"
    if place == bars - 1 and limits.above:
        return f"{figure(start)} or more"
    return f"{figure(start)} to {figure(end)}"
