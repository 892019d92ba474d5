"""One estimator's verdict material: the level of every probe set with its interval, on an axis of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from assay.report.charts.base import finish, frame_of, rows, zero_rule
from assay.report.palette import CONTROL, INK, Colour
from assay.report.words import has_interval, interval, label, number
from assay.study.result import Estimate


@dataclass(frozen=True, slots=True)
class Level:
    """A probe set's mean over checkpoints; the control is drawn as a ring with its line carried down."""

    name: str
    estimate: Estimate
    colour: Colour
    is_control: bool


def levels(entries: Sequence[Level], title: str, subtitle: str, width: int) -> dict[str, Any]:
    """Dots with intervals, a row each, in the order given; zero and the control as vertical lines."""
    frame = frame_of([entry.estimate for entry in entries], reach=1.5)
    names = [f"{label(entry.name, 18)}" for entry in entries]
    unique = [name if names.count(name) == 1 else f"{name} {i + 1}" for i, name in enumerate(names)]
    data = [_row(entry, name) for entry, name in zip(entries, unique, strict=True)]
    drawn = [row for row in data if row["v"] is not None]
    keys = [row["t"] for row in drawn]
    colours = alt.Color(
        "t:N", legend=None, scale=alt.Scale(domain=keys, range=[row["colour"] for row in drawn])
    )
    y = alt.Y(
        "t:O", sort=unique, axis=alt.Axis(title=None, labelLimit=130, labelColor=INK.light, labelFontSize=12)
    )
    x = alt.X(
        "v:Q",
        axis=alt.Axis(title=None, tickCount=4, grid=False, format="~g"),
        scale=alt.Scale(domain=list(frame), nice=False),
    )
    layers = [zero_rule("x")]
    layers.extend(
        alt.Chart(rows([{"v": row["v"]}]))
        .mark_rule(color=CONTROL.light, strokeDash=[2, 3], strokeWidth=1.2, aria=False)
        .encode(x="v:Q")
        for row in drawn
        if row["control"]
    )
    barred = rows([row for row in drawn if row["low"] is not None])
    layers.append(
        alt.Chart(barred)
        .mark_rule(strokeWidth=3.2, opacity=0.5, clip=True, aria=False)
        .encode(y=y, x=alt.X("low:Q", title=None), x2="high", color=colours)
    )
    for ring in (False, True):
        some = rows([row for row in drawn if row["control"] is ring])
        layers.append(
            alt.Chart(some)
            .mark_point(filled=not ring, size=56, strokeWidth=2, opacity=1)
            .encode(y=y, x=x, color=colours, description="text:N")
        )
    return finish(alt.layer(*layers), title, subtitle, width, 92 + 24 * max(1, len(entries)))


def _row(entry: Level, name: str) -> dict[str, Any]:
    estimate = entry.estimate
    known = has_interval(estimate)
    return {
        "t": name,
        "v": estimate.value if abs(estimate.value) < float("inf") else None,
        "low": estimate.low if known else None,
        "high": estimate.high if known else None,
        "control": entry.is_control,
        "colour": entry.colour.light,
        "text": f"{label(entry.name)}: {number(estimate.value)} {interval(estimate)}",
    }
