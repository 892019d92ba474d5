"""Writes the report: one HTML page that stands alone, and its charts as SVG beside it. Computes nothing.

The page holds no script and loads nothing; its content security policy forbids both, and allows no style but
its own. All text of the study passes Jinja's escaping; only drawings cleaned by `svg` and our own style sheet
go in as they are.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from assay.files import write_text
from assay.report import palette, sections, words
from assay.report.figures import Figures, draw_figures
from assay.report.rungs import rung_tables
from assay.report.svg import inline
from assay.studies.result import StudyResult

MOST_REFERENCES = 16
_ABOUT_LABELS = {"seconds": "Duration", "duration": "Duration", "date": "Date", "fingerprint": "Fingerprint"}


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
    style = palette.style_rules() + resources.files("assay.report").joinpath("templates/style.css").read_text(
        encoding="utf-8"
    )
    control, probe_sets = words.control_of(result), words.probe_sets_of(result)
    colours = palette.assign(probe_sets, control)
    verdicts = words.main_verdicts(result)
    return _environment().get_template("report.html").render(
        result=result,
        figures=figures,
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
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
        facts=_facts(result.about),
        about=_about(result.about),
        command=_text(result.about.get("command")),
        config=_text(result.about.get("config")),
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("assay.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {
        "label": words.label,
        "number": words.number,
        "interval": words.interval,
        "clipped": words.clipped,
        "count": words.count,
        "listed": words.listed,
        "code": words.code_label,
        "estimator": words.estimator_label,
        "meaning": words.estimator_meaning,
        "duration": words.duration,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "drawing": lambda figure: Markup(inline(figure.drawing)),
    }
    environment.globals |= {
        "places_for": words.places_for,
        "symbols": words.SYMBOLS,
        "tones": words.TONES,
        "phrases": words.PHRASES,
        "evidence": words.EVIDENCE,
    }
    return environment


def _printable(value: Any) -> Any:
    """Every expression of the template: strings lose what no page can carry; our own markup stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return words.printable(value)
    return value


def _facts(about: Mapping[str, Any]) -> list[str]:
    """A line under the title: what was studied and when, as far as it is known."""
    return [words.label(str(about[key]), 80) for key in ("model", "date") if about.get(key)]


def _about(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Provenance as (term, text), without what has a place of its own."""
    rest = {key: value for key, value in about.items() if key not in ("command", "config")}
    return [
        (_ABOUT_LABELS.get(key, words.code_label(str(key)).capitalize()), _entry(key, value))
        for key, value in rest.items()
        if value not in (None, "", (), [], {})
    ]


def _entry(key: str, value: Any) -> str:
    if key in ("seconds", "duration") and isinstance(value, (int, float)):
        return words.duration(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_entry('', inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_entry("", inner) for inner in value)
    return str(value)


def _text(value: Any) -> str:
    """A command or configuration as it is typed: strings as they are, settings as YAML."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return " ".join(value)
    try:
        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    except yaml.YAMLError:
        return json.dumps(value, ensure_ascii=False, indent=1, default=str)
