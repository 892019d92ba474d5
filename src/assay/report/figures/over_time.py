"""The curves: all strategies of a context in one frame, and each beside the control with its band."""

from collections.abc import Iterator, Sequence

from assay.report import words
from assay.report.charts.base import frame_of
from assay.report.charts.curves import Line, Steps, curves
from assay.report.charts.levels import levels
from assay.report.figures.by_estimator import levels_of
from assay.report.figures.plan import CONTEXTS, SMALL, WIDE, Figure, Group, Plan, spoken
from assay.studies.result import Context, Curve, Estimate

FEW_LINES = 4


def overviews(plan: Plan, estimator: str) -> Iterator[Group]:
    """A frame for each context; one for each query set too where lines would be too many."""
    shared = _one_frame(plan) and not _one_checkpoint(plan)
    for query_sets in [plan.query_sets] if shared else [(name,) for name in plan.query_sets]:
        for context in CONTEXTS:
            lines = [
                Line(curve, _name(curve, query_sets), plan.colours[curve.probe_set], dash)
                for dash, query_set in enumerate(query_sets)
                for curve in plan.curves(estimator, query_set, context)
            ]
            if lines:
                yield Group(query_sets[0], context, (_overview(plan, lines, query_sets, context, estimator),))


def _overview(
    plan: Plan, lines: Sequence[Line], query_sets: Sequence[str], context: Context, estimator: str
) -> Figure:
    chosen = [line.curve for line in lines]
    alone = len(query_sets) == 1
    title = context.capitalize() + (f", on {words.label(query_sets[0], 24)}" if alone else "")
    if _one_checkpoint(plan):
        specification = levels(levels_of(plan, chosen), title, "", WIDE)
    else:
        bands = _one_frame(plan)
        specification = curves(
            lines,
            Steps.of(max(chosen, key=lambda curve: len(curve.points)).points),
            frame_of(_estimates(chosen), 1.0 if bands else 0.0),
            title,
            words.estimator_label(estimator).lower(),
            bands=bands,
            direct_labels=True,
            width=WIDE,
            height=310,
        )
    return plan.figure(
        specification, spoken(title, chosen), *_stem("curves", plan, estimator), *query_sets[:alone], context
    )


def panels(plan: Plan, estimator: str) -> Iterator[Group]:
    """A panel for each strategy, on one axis for all of a group; none where the overviews show the bands."""
    if _one_frame(plan) or _one_checkpoint(plan):
        return
    for query_set in plan.query_sets:
        for context in CONTEXTS:
            found = plan.curves(estimator, query_set, context)
            rival = [curve for curve in found if curve.probe_set == plan.control]
            frame = frame_of(_estimates(found), 0.6)
            figures = [
                _panel(plan, curve, rival, frame) for curve in found if curve.probe_set != plan.control
            ]
            if figures:
                yield Group(query_set, context, tuple(figures))


def _panel(plan: Plan, curve: Curve, rival: Sequence[Curve], frame: tuple[float, float]) -> Figure:
    specification = curves(
        [Line(each, each.probe_set, plan.colours[each.probe_set]) for each in (*rival, curve)],
        Steps.of(curve.points),
        frame,
        words.label(curve.probe_set, 30),
        f"{words.label(plan.control, 20)} in grey" if rival and plan.control else "",
        bands=True,
        direct_labels=False,
        width=SMALL,
        height=230,
    )
    said = spoken(f"{curve.context.capitalize()}, on {words.label(curve.query_set)}", [curve, *rival])
    stem = _stem("bands", plan, curve.estimator)
    return plan.figure(specification, said, *stem, curve.query_set, curve.context, curve.probe_set)


def _stem(kind: str, plan: Plan, estimator: str) -> tuple[str, ...]:
    """The beginning of a figure's name; the study's own estimator goes without saying."""
    return (kind,) if estimator == plan.result.estimator else (kind, estimator)


def _one_checkpoint(plan: Plan) -> bool:
    return all(len(curve.points) <= 1 for curve in plan.result.curves)


def _one_frame(plan: Plan) -> bool:
    """As in the paper's figures: all lines of a context in one frame, with bands, if four or fewer."""
    return len(plan.probe_sets) * len(plan.query_sets) <= FEW_LINES


def _estimates(lines: Sequence[Curve]) -> list[Estimate]:
    return [point.estimate for curve in lines for point in curve.points]


def _name(curve: Curve, query_sets: Sequence[str]) -> str:
    if len(query_sets) == 1:
        return curve.probe_set
    return f"{words.label(curve.probe_set, 9)} → {words.label(curve.query_set, 8)}"
