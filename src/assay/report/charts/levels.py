"""A value with its interval for every name, on one axis: levels of probe sets, effects of arms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from assay.report.charts.base import chart, finish, frame_of, leaving, zero_rule
from assay.report.palette import CONTROL, INK, PAPER, Colour
from assay.report.words import Ranged, has_interval, interval, label, labels, number

HEADS = {"left": ("triangle-left", 3), "right": ("triangle-right", -3)}
"""Arrow heads at the edges of the frame: shape, and pixels that it is drawn inwards."""


@dataclass(frozen=True, slots=True)
class Level:
    """A named value, such as a probe set's mean over checkpoints; the control is a ring with its line.

    `places` are the decimals it is told with.
    """

    name: str
    estimate: Ranged
    colour: Colour
    is_control: bool
    places: int = 3


def levels(
    entries: Sequence[Level], title: str, subtitle: str, width: int, limit: int = 18
) -> dict[str, Any]:
    """Dots with intervals, a row each, in the order given; zero and the control as vertical lines.

    Names are clipped to `limit` letters. An interval that leaves the frame ends in an arrow head at its edge.
    """
    estimates = [entry.estimate for entry in entries]
    with_zero = _zero_belongs(estimates)
    frame = frame_of(estimates, reach=1.5, zero=with_zero)
    unique = labels([entry.name for entry in entries], limit)
    every = [_row(entry, name, frame) for entry, name in zip(entries, unique, strict=True)]
    drawn = [row for row in every if row["v"] is not None]
    tables = {
        "levels": drawn,
        "bars": [row for row in drawn if row["low"] is not None],
        **{f"beyond_{side}": [row for row in drawn if row[side]] for side in HEADS},
        "control": [row for row in drawn if row["control"]],
        "others": [row for row in drawn if not row["control"]],
    }
    inks = alt.Scale(domain=[row["t"] for row in drawn], range=[row["colour"] for row in drawn])
    colours = alt.Color("t:N", legend=None, scale=inks)
    y = alt.Y(
        "t:O",
        sort=unique,
        axis=alt.Axis(title=None, labelLimit=130 + 7 * (limit - 18), labelColor=INK.light, labelFontSize=12),
    )
    x = alt.X(
        "v:Q",
        axis=alt.Axis(title=None, tickCount=4, grid=False, format=".6~g"),
        scale=alt.Scale(domain=list(frame), nice=False),
    )
    text = alt.Description("text:N")
    carried = chart("control").mark_rule(color=CONTROL.light, strokeDash=[2, 3], strokeWidth=1.2, aria=False)
    bars = chart("bars").mark_rule(strokeWidth=3.2, opacity=0.5, clip=True, aria=False)
    ring = chart("control").mark_point(fill=PAPER.light, size=56, strokeWidth=2, opacity=1)
    layers = [
        *([zero_rule(alt.XDatum(0))] if with_zero else []),
        carried.encode(alt.X("v:Q")),
        bars.encode(y, alt.X("low:Q", title=None), alt.X2("high"), colours),
        *(
            chart(f"beyond_{side}")
            .mark_point(shape=shape, filled=True, size=60, opacity=1, xOffset=inwards, aria=False)
            .encode(y, alt.XDatum(edge), colours)
            for (side, (shape, inwards)), edge in zip(HEADS.items(), frame, strict=True)
        ),
        chart("others").mark_point(filled=True, size=56, opacity=1).encode(y, x, colours, text),
        ring.encode(y, x, colours, text),
    ]
    return finish(layers, tables, title, subtitle, width, 92 + 24 * max(1, len(entries)))


def _zero_belongs(estimates: Sequence[Ranged]) -> bool:
    """Whether zero is near enough to be drawn; losses, say, are compared with each other only."""
    values = [estimate.value for estimate in estimates if math.isfinite(estimate.value)] or [0.0]
    return min(abs(value) for value in values) <= 0.5 * (max(values) - min(values)) or min(
        values
    ) <= 0 <= max(values)


def _row(entry: Level, name: str, frame: tuple[float, float]) -> dict[str, Any]:
    estimate = entry.estimate
    known = has_interval(estimate)
    left, right = leaving(estimate, frame)
    return {
        "t": name,
        "v": estimate.value if math.isfinite(estimate.value) else None,
        "low": estimate.low if known else None,
        "high": estimate.high if known else None,
        "left": left,
        "right": right,
        "control": entry.is_control,
        "colour": entry.colour.light,
        "text": f"{label(entry.name)}: {number(estimate.value, entry.places)} "
        f"{interval(estimate, entry.places)}",
    }
