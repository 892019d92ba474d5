"""What all figures of a report agree on: order and colours of the sets, names of files, sizes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.report import words
from assay.report.charts.base import cut_note
from assay.report.palette import Colour, assign
from assay.report.svg import draw
from assay.studies.result import Context, Curve, StudyResult

CONTEXTS: tuple[Context, ...] = ("in-task", "cross-task")
WIDE, SMALL = 410, 320  # widths in pixels of the drawing: two and three to a row of the page


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn chart: `drawing` is standalone SVG, `name` its file name without ending, `note` goes below."""

    name: str
    title: str
    drawing: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that are read together; `limit` is where the colours of a heat map end, `note` says what is not
    drawn."""

    query_set: str
    context: Context | None
    figures: tuple[Figure, ...]
    limit: float = 0.0
    note: str = ""


@dataclass(slots=True)
class Plan:
    """The study's sets in the order of the report, and the names already taken by figures."""

    result: StudyResult
    control: str | None
    probe_sets: tuple[str, ...]
    query_sets: tuple[str, ...]
    colours: Mapping[str, Colour]
    taken: set[str] = field(default_factory=set)

    def figure(self, specification: dict[str, Any], title: str, *parts: str) -> Figure:
        """Draw; the parts make the name, told apart by a number where it is taken."""
        stem = "-".join(slug(part) for part in parts)
        name, copy = stem, 1
        while name in self.taken:
            copy += 1
            name = f"{stem}-{copy}"
        self.taken.add(name)
        return Figure(name, title, draw(specification, name, title), cut_note(specification))

    def curves(self, estimator: str, query_set: str, context: Context) -> list[Curve]:
        """One curve per probe set, in the report's order, the control last."""
        here = {
            curve.probe_set: curve
            for curve in self.result.curves
            if (curve.estimator, curve.query_set, curve.context) == (estimator, query_set, context)
        }
        return [here[name] for name in self.probe_sets if name in here]


def plan_of(result: StudyResult) -> Plan:
    control, probe_sets = words.control_of(result), words.probe_sets_of(result)
    return Plan(result, control, probe_sets, words.query_sets_of(result), assign(probe_sets, control))


def spoken(title: str, lines: Sequence[Curve]) -> str:
    """What a screen reader says in place of the picture."""
    levels = "; ".join(f"{words.label(curve.probe_set)} {words.number(curve.level.value)}" for curve in lines)
    return f"{title}. Means over checkpoints: {levels}."


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:32].strip("-") or "set"
