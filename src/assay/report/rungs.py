"""What each kind of evidence says, side by side, arranged for reading. Knows no HTML."""

from dataclasses import dataclass

from assay.report import words
from assay.report.charts.base import frame_of
from assay.report.sections import Lane, lane_on, percent
from assay.studies.result import Context, Evidence, Rung, StudyResult, Verdict


@dataclass(frozen=True, slots=True)
class RungCell:
    """What one rung says of one question; `lane` draws its number on the axis of the table's column."""

    verdict: Verdict
    lane: Lane
    zero: float
    places: int


@dataclass(frozen=True, slots=True)
class RungRow:
    """One strategy; `cells` are in the order of the rungs, None where a rung says nothing of it."""

    probe_set: str
    cells: tuple[RungCell | None, ...]
    rests_on: Evidence


@dataclass(frozen=True, slots=True)
class RungTable:
    query_set: str
    context: Context
    rows: tuple[RungRow, ...]


def rung_tables(result: StudyResult) -> list[RungTable]:
    """A table for each query set and context, its rows in the order of the verdicts."""
    verdicts = words.main_verdicts(result)
    keys = dict.fromkeys((verdict.query_set, verdict.context) for verdict in verdicts)
    tables = []
    for query_set, context in keys:
        here = [v for v in verdicts if (v.query_set, v.context) == (query_set, context)]
        columns = [_column(rung, here) for rung in result.rungs]
        rows = tuple(
            RungRow(v.probe_set, tuple(column.get(v.probe_set) for column in columns), v.evidence)
            for v in here
        )
        tables.append(RungTable(query_set, context, rows))
    return tables


def _column(rung: Rung, here: list[Verdict]) -> dict[str, RungCell]:
    """A rung's cells by probe set, all on one axis: the difference from the control, else the effect."""
    found = {v.probe_set: said for v in here if (said := words.of_rung(rung, v)) is not None}
    shown = {name: said.difference or said.effect for name, said in found.items()}
    frame = frame_of(list(shown.values()), reach=0.8)
    places = words.places_for(shown.values())
    return {
        name: RungCell(
            said,
            lane_on(
                "difference" if said.difference else "effect",
                "difference" if said.difference else "strategy",
                shown[name],
                frame,
            ),
            round(percent(0.0, frame), 2),
            places,
        )
        for name, said in found.items()
    }
