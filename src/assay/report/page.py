"""Writes the report of a study: one HTML page that stands alone, and its charts as SVG beside it.

Computes nothing; what makes the page safe to open is in `frame`.
"""

from pathlib import Path

from assay.files import write_text
from assay.report import frame, palette, sections, words
from assay.report.figures import Figures, draw_figures
from assay.report.rungs import rung_tables
from assay.studies.result import StudyResult

MOST_REFERENCES = 16


def write_report(result: StudyResult, out: Path) -> Path:
    """Write `out/report.html` and `out/charts/*.svg`; returns the page's path. Same result, same bytes."""
    figures = draw_figures(result)
    for figure in figures.all():
        write_text(out / "charts" / f"{figure.name}.svg", figure.drawing + "\n")
    page = out / "report.html"
    write_text(page, render_page(result, figures))
    return page


def render_page(result: StudyResult, figures: Figures) -> str:
    """The page as HTML text."""
    control, probe_sets = words.control_of(result), words.probe_sets_of(result)
    colours = palette.assign(probe_sets, control)
    verdicts = words.main_verdicts(result)
    return frame.environment().get_template("report.html").render(
        result=result,
        figures=figures,
        style=frame.style(),
        answer=words.answer(result),
        control=control,
        probe_sets=probe_sets,
        query_sets=words.query_sets_of(result),
        colours=colours,
        verdicts=verdicts,
        places=sections.places(verdicts),
        by_place={(v.probe_set, v.query_set, v.context): v for v in verdicts},
        contrast_pairs=list(dict.fromkeys((c.desired, c.undesired) for c in result.contrasts)),
        groups=sections.card_groups(result, colours),
        caveats=sections.caveats(result),
        settling=sections.undecided(result),
        targets=sections.targets(verdicts),
        several_rungs=words.several_rungs(result),
        rung_tables=rung_tables(result),
        rests_on={verdict.evidence for verdict in verdicts},
        extremes=sections.extremes_by_set(result, probe_sets),
        references=sections.reference_rows(result, MOST_REFERENCES),
        undesired=[name for name in words.query_sets_of(result) if words.is_undesired(result, name)],
        diverging=palette.DIVERGING,
        several_checkpoints=any(len(curve.points) > 1 for curve in result.curves),
        facts=frame.facts(result.about),
        about=frame.about_rows(result.about),
        command=frame.as_typed(result.about.get("command")),
        config=frame.as_typed(result.about.get("config")),
    )  # fmt: skip
