"""Which charts a study needs, and how they are grouped. Draws them; knows nothing of the page around them."""

from collections.abc import Iterator
from dataclasses import dataclass

from assay.report.figures.by_estimator import estimators
from assay.report.figures.by_task import contributions, heat_maps
from assay.report.figures.over_time import overviews, panels
from assay.report.figures.plan import Figure, Group, plan_of
from assay.study.result import StudyResult

__all__ = ["Figure", "Figures", "Group", "draw_figures"]


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


def draw_figures(result: StudyResult) -> Figures:
    """Draw everything, some fifty milliseconds a chart. The same result gives the same drawings."""
    plan = plan_of(result)
    return Figures(
        overviews=tuple(overviews(plan)),
        panels=tuple(panels(plan)),
        heat=tuple(heat_maps(plan)),
        contributions=tuple(contributions(plan)),
        estimators=tuple(estimators(plan)),
    )
