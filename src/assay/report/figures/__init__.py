"""Which charts a study needs, and how they are grouped. Draws them; knows nothing of the page around them."""

from collections.abc import Iterator
from dataclasses import dataclass

from assay.report.figures.by_estimator import estimators
from assay.report.figures.by_task import contributions, heat_maps
from assay.report.figures.over_time import overviews, panels
from assay.report.figures.plan import Figure, Group, plan_of
from assay.studies.result import StudyResult

PUBLISHED = "relinf"
"""The estimator of the paper's Figures 1 to 3, drawn in every report."""

__all__ = ["Figure", "Figures", "Group", "draw_figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """All charts of a study, by the section that shows them.

    `published` are the paper's curves where the verdicts rest on another estimator; empty where they do not.
    """

    overviews: tuple[Group, ...]
    panels: tuple[Group, ...]
    published: tuple[Group, ...]
    published_panels: tuple[Group, ...]
    heat: tuple[Group, ...]
    contributions: tuple[Group, ...]
    estimators: tuple[Group, ...]

    def all(self) -> Iterator[Figure]:
        for part in (
            self.overviews,
            self.panels,
            self.published,
            self.published_panels,
            self.heat,
            self.contributions,
            self.estimators,
        ):
            for group in part:
                yield from group.figures


def draw_figures(result: StudyResult) -> Figures:
    """Draw everything, some fifty milliseconds a chart. The same result gives the same drawings."""
    plan = plan_of(result)
    beside = result.estimator != PUBLISHED
    return Figures(
        overviews=tuple(overviews(plan, result.estimator)),
        panels=tuple(panels(plan, result.estimator)),
        published=tuple(overviews(plan, PUBLISHED)) if beside else (),
        published_panels=tuple(panels(plan, PUBLISHED)) if beside else (),
        heat=tuple(heat_maps(plan)),
        contributions=tuple(contributions(plan)),
        estimators=tuple(estimators(plan)),
    )
