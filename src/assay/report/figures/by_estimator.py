"""The levels of all probe sets by every estimator, each on an axis of its own."""

from collections.abc import Iterator, Sequence

from assay.report import words
from assay.report.charts.levels import Level, levels
from assay.report.figures.plan import CONTEXTS, SMALL, Figure, Group, Plan
from assay.studies.result import Context, Curve


def estimators(plan: Plan) -> Iterator[Group]:
    """The study's own estimator first, then the others as they come."""
    names = dict.fromkeys([plan.result.estimator, *(curve.estimator for curve in plan.result.curves)])
    for query_set in plan.query_sets:
        for context in CONTEXTS:
            found = [(name, plan.curves(name, query_set, context)) for name in names]
            figures = [_figure(plan, name, lines, query_set, context) for name, lines in found if lines]
            if figures:
                yield Group(query_set, context, tuple(figures))


def levels_of(plan: Plan, lines: Sequence[Curve]) -> list[Level]:
    return [
        Level(curve.probe_set, curve.level, plan.colours[curve.probe_set], curve.probe_set == plan.control)
        for curve in lines
    ]


def _figure(plan: Plan, name: str, lines: Sequence[Curve], query_set: str, context: Context) -> Figure:
    title = words.estimator_label(name)
    specification = levels(levels_of(plan, lines), title, words.estimator_meaning(name), SMALL)
    said = f"{title} of every probe set, {context}, on {words.label(query_set)}"
    return plan.figure(specification, said, "levels", query_set, context, name)
