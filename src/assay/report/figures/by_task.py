"""Task by task: a heat map for every probe set, and the in-task line of each beside the control's."""

import math
from collections.abc import Iterator, Mapping, Sequence

from assay.report import words
from assay.report.charts import cells as charts
from assay.report.figures.plan import SMALL, Figure, Group, Plan
from assay.studies.result import Cell


def heat_maps(plan: Plan) -> Iterator[Group]:
    """One scale for all probe sets of a query set; nothing where there is one task only."""
    for query_set in plan.query_sets:
        here = [cell for cell in plan.result.cells if cell.query_set == query_set]
        everything = {task for cell in here for task in (cell.probe_task, cell.query_task)}
        if len(everything) < 2:
            continue
        limit, tasks = charts.saturation(here), charts.shown_tasks(here)
        figures = [
            _heat_map(plan, [cell for cell in here if cell.probe_set == name], tasks, limit)
            for name in plan.probe_sets
            if any(cell.probe_set == name for cell in here)
        ]
        note = _left_out(len(tasks), len(everything), "those with the largest cells")
        yield Group(query_set, None, tuple(figures), limit, note)


def _left_out(shown: int, there: int, which: str) -> str:
    if shown == there:
        return ""
    return f"{shown} of {words.count(there, 'task')} are drawn, {which}; study.json holds all."


def _heat_map(plan: Plan, cells: Sequence[Cell], tasks: Sequence[str], limit: float) -> Figure:
    name, query_set = cells[0].probe_set, cells[0].query_set
    said = f"Influence of {words.label(name)} by probe task and query task on {words.label(query_set)}"
    specification = charts.heat(cells, tasks, limit, words.label(name, 30), SMALL, 330)
    return plan.figure(specification, said, "heat", query_set, name)


def contributions(plan: Plan) -> Iterator[Group]:
    """The diagonals, tasks in the order of the control's (or the first strategy's); nothing for one task."""
    for query_set in plan.query_sets:
        diagonals = {name: _diagonal(plan.result.cells, name, query_set) for name in plan.probe_sets}
        control = diagonals.get(plan.control or "", {})
        strategies = {name: line for name, line in diagonals.items() if line and name != plan.control}
        tasks = {task for line in diagonals.values() for task in line}
        if not strategies or len(tasks) < 2:
            continue
        lead = control or next(iter(strategies.values()))
        order = sorted(tasks, key=lambda task: (-lead.get(task, -math.inf), task))[: charts.MOST_TASKS]
        frame = _frame([value for line in diagonals.values() for value in line.values()])
        figures = [
            _line(plan, name, query_set, line, control, order, frame) for name, line in strategies.items()
        ]
        whose = words.label(plan.control if control and plan.control else next(iter(strategies)))
        note = _left_out(len(order), len(tasks), f"those with the highest influence of {whose}")
        yield Group(query_set, "in-task", tuple(figures), note=note)


def _line(
    plan: Plan,
    name: str,
    query_set: str,
    values: Mapping[str, float],
    control: Mapping[str, float],
    order: Sequence[str],
    frame: tuple[float, float],
) -> Figure:
    specification = charts.contributions(
        values,
        control,
        order,
        plan.colours[name],
        frame,
        words.label(name, 30),
        f"ring: {words.label(plan.control, 20)}" if control and plan.control else "",
        SMALL,
    )
    said = f"In-task influence of {words.label(name)} on {words.label(query_set)}, task by task"
    return plan.figure(specification, said, "tasks", query_set, name)


def _frame(values: Sequence[float]) -> tuple[float, float]:
    low, high = min([0.0, *values]), max([0.0, *values])
    pad = 0.05 * ((high - low) or 1.0)
    return low - pad, high + pad


def _diagonal(cells: Sequence[Cell], probe_set: str, query_set: str) -> dict[str, float]:
    return {
        cell.probe_task: cell.value
        for cell in cells
        if (cell.probe_set, cell.query_set) == (probe_set, query_set)
        and cell.probe_task == cell.query_task
        and math.isfinite(cell.value)
    }
