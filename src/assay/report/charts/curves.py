"""Influence over the checkpoints, as in the paper's Figures 1 to 3: lines with 95% bands and a zero line."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import altair as alt

from assay.report.charts.base import chart, finish, zero_rule
from assay.report.palette import INK, Colour
from assay.report.words import has_interval, interval, label, labels, number
from assay.studies.result import Curve, CurvePoint

_DASHES = ([1, 0], [5, 3], [2, 2], [8, 3, 2, 3])


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as it is drawn: its direct label, colour, and which dash of the list."""

    curve: Curve
    name: str
    colour: Colour
    dash: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """Where each checkpoint stands on the x axis: by training step, or by name where steps are unknown."""

    positions: Mapping[str, int | str]
    steps: Sequence[int]

    @classmethod
    def of(cls, points: Sequence[CurvePoint]) -> "Steps":
        steps = [point.step for point in points if point.step is not None]
        if len(steps) == len(points) and len(set(steps)) == len(points):
            return cls(dict(zip((p.checkpoint for p in points), steps, strict=True)), steps)
        names = [point.checkpoint for point in points]
        shared = _shared_start(names) if len(names) > 1 else 0
        return cls(dict(zip(names, labels([name[shared:] or name for name in names], 14), strict=True)), ())

    def axis(self) -> alt.X:
        if not self.steps:
            named = alt.Axis(title="checkpoint", grid=False, labelAngle=-60, labelLimit=70, labelOverlap=True)
            order = alt.Scale(domain=list(self.positions.values()), padding=0.1)
            return alt.X("x:O", axis=named, sort=None, scale=order)
        few = list(self.steps) if len(self.steps) <= 6 else alt.Undefined
        axis = alt.Axis(title="training step", grid=False, tickCount=5, values=few, format="~s")
        pad = 0 if len(self.steps) > 1 else 1
        limits = [min(self.steps) - pad, max(self.steps) + pad]
        return alt.X("x:Q", axis=axis, scale=alt.Scale(domain=limits, nice=False))


def curves(
    lines: Sequence[Line],
    steps: Steps,
    frame: tuple[float, float],
    title: str,
    subtitle: str,
    *,
    bands: bool,
    direct_labels: bool,
    width: int,
    height: int,
) -> dict[str, Any]:
    """All lines in one frame. Direct labels stand right of the lines' ends, moved apart where they crowd."""
    every = [
        _row(line, index, point, steps) for index, line in enumerate(lines) for point in line.curve.points
    ]
    points = [row for row in every if row["y"] is not None]
    x = steps.axis()
    y = alt.Y(
        "y:Q",
        axis=alt.Axis(title=None, tickCount=5),
        scale=alt.Scale(domain=list(frame), nice=False, zero=False),
    )
    keys = [f"k{index}" for index in range(len(lines))]
    inks = [line.colour.light for line in lines]
    colour = alt.Color("k:N", legend=None, scale=alt.Scale(domain=keys, range=inks))
    dashes = [_DASHES[line.dash % len(_DASHES)] for line in lines]
    dash = alt.StrokeDash("k:N", legend=None, scale=alt.Scale(domain=keys, range=dashes))
    layers = [zero_rule(alt.YDatum(0))]
    if bands:
        area = chart("bands").mark_area(opacity=0.16, clip=True, aria=False)
        layers.append(area.encode(x, alt.Y("low:Q", title=None), alt.Y2("high"), colour))
    line_mark = chart("points").mark_line(strokeWidth=2, aria=False, strokeJoin="round", clip=True)
    layers.append(line_mark.encode(x, y, colour, dash))
    dots = chart("points").mark_point(filled=True, size=26, opacity=1)
    layers.append(dots.encode(x, y, colour, alt.Description("text:N")))
    tables = {"points": points, "bands": [row for row in points if row["low"] is not None]}
    right = 6.0
    if direct_labels:
        layers.extend(_label_layers(colour, "Q" if steps.steps else "O"))
        tables["labels"] = _labels(lines, points, frame, height)
        right = 24 + 5.8 * max((len(row["name"]) for row in tables["labels"]), default=0)
    return finish(layers, tables, title, subtitle, width, height, right, 12.5 if direct_labels else 11)


def _shared_start(names: Sequence[str]) -> int:
    """How many characters all names begin with alike."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))


def _row(line: Line, index: int, point: CurvePoint, steps: Steps) -> dict[str, Any]:
    estimate = point.estimate
    known = has_interval(estimate)
    return {
        "k": f"k{index}",
        "x": steps.positions.get(point.checkpoint),
        "y": estimate.value if math.isfinite(estimate.value) else None,
        "low": estimate.low if known else None,
        "high": estimate.high if known else None,
        "text": f"{label(line.name)}, {label(point.checkpoint)}: "
        f"{number(estimate.value)} {interval(estimate)}",
    }


def _labels(
    lines: Sequence[Line], points: Sequence[dict[str, Any]], frame: tuple[float, float], height: int
) -> list[dict[str, Any]]:
    """Where each line ends, and the height `at` which its name stands right of the frame."""
    ends = {row["k"]: row for row in points}
    shown = [(ends[f"k{index}"], line) for index, line in enumerate(lines) if f"k{index}" in ends]
    gap = (frame[1] - frame[0]) * 17 / (height - 90)
    places = spread([end["y"] for end, _ in shown], gap, frame)
    return [
        {"k": end["k"], "x": end["x"], "y": end["y"], "at": place, "name": label(line.name, 20)}
        for (end, line), place in zip(shown, places, strict=True)
    ]


def _label_layers(colour: alt.Color, kind: str) -> list[alt.Chart]:
    leader = chart("labels").mark_rule(strokeWidth=1, opacity=0.7, xOffset=5, x2Offset=16, aria=False)
    text = chart("labels").mark_text(
        align="left", baseline="middle", dx=19, fontSize=12, color=INK.light, aria=False
    )
    return [
        leader.encode(alt.X(f"x:{kind}"), alt.X2("x"), alt.Y("y:Q"), alt.Y2("at"), colour),
        text.encode(alt.X(f"x:{kind}"), alt.Y("at:Q"), alt.Text("name:N")),
    ]


def spread(values: Sequence[float], gap: float, frame: tuple[float, float]) -> list[float]:
    """Places at least `gap` apart, in the order of `values`, as near to them as two sweeps bring them.

    >>> spread([0.0, 0.0, 5.0], 1.0, (0.0, 10.0))
    [0.0, 1.0, 5.0]
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    places = list(values)
    floor = frame[0]
    for index in order:
        places[index] = max(places[index], floor)
        floor = places[index] + gap
    ceiling = frame[1]
    for index in reversed(order):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - gap
    return places
