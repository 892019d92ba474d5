"""Which charts a study needs, and how they are grouped. Draws them; knows nothing of the page around them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.report import words
from assay.report.charts import cells as cell_charts
from assay.report.charts.base import frame_of
from assay.report.charts.curves import Line, Steps, curves
from assay.report.charts.levels import Level, levels
from assay.report.palette import Colour, assign
from assay.report.svg import draw
from assay.study.result import Cell, Context, Curve, Estimate, StudyResult

CONTEXTS: tuple[Context, ...] = ("in-task", "cross-task")
WIDE, SMALL = 410, 320


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn chart: `drawing` is standalone SVG, `name` its file name without ending."""

    name: str
    title: str
    drawing: str


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that are read together; `wide` ones stand two to a row, others three."""

    query_set: str
    context: Context | None
    figures: tuple[Figure, ...]
    wide: bool = False
    limit: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """All charts of a study, by the section that shows them."""

    overviews: tuple[Group, ...]
    panels: tuple[Group, ...]
    heat: tuple[Group, ...]
    contributions: tuple[Group, ...]
    estimators: tuple[Group, ...]

    def all(self) -> Iterator[Figure]:
        for part in (self.overviews, self.panels, self.heat, self.contributions, self.estimators):
            for group in part:
                yield from group.figures


@dataclass(slots=True)
class _Plan:
    """The study's sets in the order of the report, and the names already taken by figures."""

    result: StudyResult
    control: str | None
    probe_sets: tuple[str, ...]
    query_sets: tuple[str, ...]
    colours: Mapping[str, Colour]
    taken: set[str] = field(default_factory=set)

    def figure(self, specification: dict[str, Any], title: str, *parts: str) -> Figure:
        name = "-".join(_slug(part) for part in parts)
        while name in self.taken:
            name += "-x"
        self.taken.add(name)
        return Figure(name, title, draw(specification, name, title))

    def curves(self, estimator: str, query_set: str, context: Context) -> list[Curve]:
        """One curve per probe set, in the report's order, the control last."""
        here = {
            curve.probe_set: curve
            for curve in self.result.curves
            if (curve.estimator, curve.query_set, curve.context) == (estimator, query_set, context)
        }
        return [here[name] for name in self.probe_sets if name in here]


def draw_figures(result: StudyResult) -> Figures:
    plan = _plan(result)
    overviews = tuple(_overviews(plan))
    return Figures(
        overviews=overviews,
        panels=tuple(_panels(plan)) if _needs_panels(plan) else (),
        heat=tuple(_heat(plan)),
        contributions=tuple(_contributions(plan)),
        estimators=tuple(_estimators(plan)),
    )


def probe_sets_of(result: StudyResult) -> tuple[str, ...]:
    """Strategies in the order of the sets, then the control."""
    control = words.control_of(result)
    named = [row.name for row in result.sets if row.role != "query"]
    seen = [*named, *(curve.probe_set for curve in result.curves), *(v.probe_set for v in result.verdicts)]
    order = [name for name in dict.fromkeys(seen) if name != control]
    return (*order, control) if control is not None else tuple(order)


def query_sets_of(result: StudyResult) -> tuple[str, ...]:
    named = [row.name for row in result.sets if row.role == "query"]
    seen = [*named, *(curve.query_set for curve in result.curves), *(v.query_set for v in result.verdicts)]
    return tuple(dict.fromkeys(seen))


def _plan(result: StudyResult) -> _Plan:
    control, probe_sets = words.control_of(result), probe_sets_of(result)
    return _Plan(result, control, probe_sets, query_sets_of(result), assign(probe_sets, control))


def _estimates(lines: Sequence[Curve]) -> list[Estimate]:
    return [point.estimate for curve in lines for point in curve.points]


def _one_frame(plan: _Plan) -> bool:
    """As in the paper's figures: all lines of a context in one frame, with bands, where they are four or fewer."""
    return len(plan.probe_sets) * len(plan.query_sets) <= 4


def _needs_panels(plan: _Plan) -> bool:
    return not _one_frame(plan)


def _overviews(plan: _Plan) -> Iterator[Group]:
    """All strategies in one frame: per context, and per query set where lines would be too many."""
    together = _one_frame(plan)
    for query_sets in [plan.query_sets] if together else [(name,) for name in plan.query_sets]:
        for context in CONTEXTS:
            found = [(q, curve) for q in query_sets for curve in plan.curves(plan.result.estimator, q, context)]
            if not found:
                continue
            several = len(query_sets) > 1
            lines = [
                Line(
                    curve,
                    f"{words.label(curve.probe_set, 10)} → {words.label(q, 10)}" if several else curve.probe_set,
                    plan.colours[curve.probe_set],
                    query_sets.index(q),
                )
                for q, curve in found
            ]
            chosen = [curve for _, curve in found]
            frame = frame_of(_estimates(chosen), 1.0 if together else 0.0)
            title = f"{context.capitalize()}" + ("" if several else f", on {words.label(query_sets[0], 24)}")
            specification = curves(
                lines,
                Steps.of(max(chosen, key=lambda curve: len(curve.points)).points),
                frame,
                title,
                words.estimator_label(plan.result.estimator).lower(),
                bands=together,
                direct_labels=True,
                width=WIDE,
                height=310,
            )
            where = [] if several else [query_sets[0]]
            figure = plan.figure(specification, _spoken(title, chosen), "curves", *where, context)
            yield Group(query_sets[0], context, (figure,), wide=True)


def _panels(plan: _Plan) -> Iterator[Group]:
    """Each strategy beside the control, with bands, on one axis for all strategies of a group."""
    for query_set in plan.query_sets:
        for context in CONTEXTS:
            found = plan.curves(plan.result.estimator, query_set, context)
            rival = [curve for curve in found if curve.probe_set == plan.control]
            frame = frame_of(_estimates(found), 0.6)
            figures = [
                plan.figure(
                    curves(
                        [Line(c, c.probe_set, plan.colours[c.probe_set]) for c in [*rival, curve]],
                        Steps.of(curve.points),
                        frame,
                        words.label(curve.probe_set, 30),
                        f"{words.label(plan.control, 20)} in grey" if rival and plan.control else "",
                        bands=True,
                        direct_labels=False,
                        width=SMALL,
                        height=230,
                    ),
                    _spoken(f"{context}, {words.label(curve.probe_set)} beside the control", [curve, *rival]),
                    "bands",
                    query_set,
                    context,
                    curve.probe_set,
                )
                for curve in found
                if curve.probe_set != plan.control
            ]
            if figures:
                yield Group(query_set, context, tuple(figures))


def _heat(plan: _Plan) -> Iterator[Group]:
    for query_set in plan.query_sets:
        here = [cell for cell in plan.result.cells if cell.query_set == query_set]
        if len({cell.probe_task for cell in here} | {cell.query_task for cell in here}) < 2:
            continue
        limit, tasks = cell_charts.saturation(here), cell_charts.shown_tasks(here)
        by_set = [(name, [cell for cell in here if cell.probe_set == name]) for name in plan.probe_sets]
        figures = [
            plan.figure(
                cell_charts.heat(cells, tasks, limit, words.label(name, 30), "", SMALL, 330),
                f"Influence of {words.label(name)} by probe task and query task on {words.label(query_set)}",
                "heat",
                query_set,
                name,
            )
            for name, cells in by_set
            if cells
        ]
        yield Group(query_set, None, tuple(figures), limit=limit)


def _contributions(plan: _Plan) -> Iterator[Group]:
    for query_set in plan.query_sets:
        diagonals = {name: _diagonal(plan.result.cells, name, query_set) for name in plan.probe_sets}
        control = diagonals.get(plan.control or "", {})
        sizes = {task for values in diagonals.values() for task in values}
        if not sizes:
            continue
        lead = control or next(values for values in diagonals.values() if values)
        order = sorted(sizes, key=lambda task: (-lead.get(task, -math.inf), task))
        order = order[: cell_charts.MOST_TASKS]
        values = [value for diagonal in diagonals.values() for value in diagonal.values()]
        pad = 0.05 * ((max(*values, 0.0, 0.0) - min(*values, 0.0, 0.0)) or 1.0)
        frame = (min(*values, 0.0, 0.0) - pad, max(*values, 0.0, 0.0) + pad)
        figures = [
            plan.figure(
                cell_charts.contributions(
                    diagonals[name],
                    control,
                    order,
                    plan.colours[name],
                    frame,
                    words.label(name, 30),
                    f"ring: {words.label(plan.control, 20)}" if control and plan.control else "",
                    SMALL,
                ),
                f"In-task influence of {words.label(name)} on {words.label(query_set)}, task by task",
                "tasks",
                query_set,
                name,
            )
            for name in plan.probe_sets
            if name != plan.control and diagonals[name]
        ]
        if figures:
            yield Group(query_set, "in-task", tuple(figures))


def _diagonal(cells: Sequence[Cell], probe_set: str, query_set: str) -> dict[str, float]:
    return {
        cell.probe_task: cell.value
        for cell in cells
        if (cell.probe_set, cell.query_set) == (probe_set, query_set)
        and cell.probe_task == cell.query_task
        and math.isfinite(cell.value)
    }


def _estimators(plan: _Plan) -> Iterator[Group]:
    """The study's own estimator first, then the others as they come."""
    names = dict.fromkeys([plan.result.estimator, *(curve.estimator for curve in plan.result.curves)])
    for query_set in plan.query_sets:
        for context in CONTEXTS:
            found = [(name, plan.curves(name, query_set, context)) for name in names]
            figures = [
                plan.figure(
                    levels(
                        [
                            Level(
                                curve.probe_set,
                                curve.level,
                                plan.colours[curve.probe_set],
                                curve.probe_set == plan.control,
                            )
                            for curve in lines
                        ],
                        words.estimator_label(name),
                        words.estimator_meaning(name),
                        SMALL,
                    ),
                    f"{words.estimator_label(name)} of every probe set, {context}, on {words.label(query_set)}",
                    "levels",
                    query_set,
                    context,
                    name,
                )
                for name, lines in found
                if lines
            ]
            if figures:
                yield Group(query_set, context, tuple(figures))


def _spoken(title: str, lines: Sequence[Curve]) -> str:
    """What a screen reader says in place of the picture."""
    levels_said = "; ".join(
        f"{words.label(curve.probe_set)} {words.number(curve.level.value)}" for curve in lines
    )
    return f"{title}. Means over checkpoints: {levels_said}."


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:32].strip("-") or "set"
