"""Task by task: the probe-task × query-task heat map, and each task's own line of it beside the control's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.report.charts.base import chart, finish, zero_rule
from assay.report.palette import CONTROL, DIVERGING, GRID, PAPER, Colour
from assay.report.words import label, labels, number
from assay.studies.result import Cell

MOST_TASKS = 40


def saturation(cells: Sequence[Cell]) -> float:
    """Where the colours end: the size that 95% of the cross-task cells stay below.

    In-task cells are often ten times larger and would leave all others pale.
    """
    crossing = [abs(c.value) for c in cells if c.probe_task != c.query_task] or [abs(c.value) for c in cells]
    finite = sorted(value for value in crossing if math.isfinite(value))
    return (finite[int(0.95 * (len(finite) - 1))] if finite else 0.0) or 1.0


def bin_edges(limit: float) -> list[float]:
    """Eight edges between nine colours, in even steps from −limit to limit; zero is amid the neutral one."""
    edges = len(DIVERGING) - 1
    return [limit * (2 * index / (edges - 1) - 1) for index in range(edges)]


def shown_tasks(cells: Sequence[Cell]) -> list[str]:
    """Tasks in sorted order; of more than forty those with the largest cells."""
    size: dict[str, float] = {}
    for cell in cells:
        weight = abs(cell.value) if math.isfinite(cell.value) else 0.0
        for task in (cell.probe_task, cell.query_task):
            size[task] = max(size.get(task, 0.0), weight)
    return sorted(sorted(size, key=lambda task: (-size[task], task))[:MOST_TASKS])


def heat(
    cells: Sequence[Cell],
    tasks: Sequence[str],
    limit: float,
    title: str,
    width: int,
    height: int,
) -> dict[str, Any]:
    """One square a cell, probe task down, query task across; blue lowers the loss, orange raises it."""
    order = labels(tasks, 18)
    names = dict(zip(tasks, order, strict=True))
    data = [
        {
            "p": names[cell.probe_task],
            "q": names[cell.query_task],
            "v": cell.value,
            "text": f"{label(cell.probe_task)} → {label(cell.query_task)}: {number(cell.value)}",
        }
        for cell in cells
        if cell.probe_task in names and cell.query_task in names and math.isfinite(cell.value)
    ]
    size = 11 if len(tasks) <= 16 else 8
    axis: dict[str, Any] = {"labelFontSize": size, "labelPadding": 3, "labelLimit": 104, "title": None}
    colours = [colour.light for colour in DIVERGING]
    squares = (
        chart("cells")
        .mark_rect()
        .encode(
            alt.X("q:O", sort=order, axis=alt.Axis(labelAngle=-60, **axis), scale=_squares(order)),
            alt.Y("p:O", sort=order, axis=alt.Axis(**axis), scale=_squares(order)),
            alt.Color(
                "v:Q",
                legend=None,
                scale=alt.Scale(type="threshold", domain=bin_edges(limit), range=colours),
            ),
            alt.Description("text:N"),
        )
    )
    return finish([squares], {"cells": data}, title, "", width, height)


def _squares(order: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(order), paddingInner=0.06, paddingOuter=0)


def contributions(
    values: Mapping[str, float],
    control: Mapping[str, float],
    order: Sequence[str],
    colour: Colour,
    frame: tuple[float, float],
    title: str,
    subtitle: str,
    width: int,
) -> dict[str, Any]:
    """A line for each task: the strategy's in-task influence as a dot, the control's as a grey ring."""
    names = dict(zip(order, labels(order, 18), strict=True))
    tables = {
        "own": [_dot(names[task], values[task], task) for task in order if task in values],
        "control": [_dot(names[task], control[task], task) for task in order if task in control],
        "links": [
            {"t": names[task], "a": values[task], "b": control[task]}
            for task in order
            if task in values and task in control
        ],
    }
    y = alt.Y("t:O", sort=list(names.values()), axis=alt.Axis(title=None, labelLimit=120, grid=True))
    x = alt.X("v:Q", axis=alt.Axis(title=None, tickCount=4, grid=False), scale=alt.Scale(domain=list(frame)))
    text = alt.Description("text:N")
    link = chart("links").mark_rule(strokeWidth=3, color=GRID.light, aria=False, clip=True)
    ring = chart("control").mark_point(
        fill=PAPER.light, stroke=CONTROL.light, size=46, strokeWidth=1.8, opacity=1, clip=True
    )
    dot = chart("own").mark_point(filled=True, size=52, color=colour.light, opacity=1, clip=True)
    layers = [
        zero_rule(alt.XDatum(0)),
        link.encode(y, alt.X("a:Q", title=None), alt.X2("b")),
        ring.encode(y, x, text),
        dot.encode(y, x, text),
    ]
    return finish(layers, tables, title, subtitle, width, 84 + 19 * max(1, len(order)))


def _dot(name: str, value: float, task: str) -> dict[str, Any]:
    return {"t": name, "v": value, "text": f"{label(task)}: {number(value)}"}
