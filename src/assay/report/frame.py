"""What all pages share: the template environment, the style sheet, and provenance as text. Knows no results.

A page holds no script and loads nothing; its content security policy forbids both, and allows no style but
its own. All text of data passes Jinja's escaping; only drawings cleaned by `svg` and our own style sheet go
in as they are.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from assay.report import palette, words
from assay.report.svg import inline

_ABOUT_LABELS = {"seconds": "Duration", "duration": "Duration", "date": "Date", "fingerprint": "Fingerprint"}


@dataclass(frozen=True, slots=True)
class Style:
    """The style sheet, and its SHA-256 for the content security policy."""

    sheet: Markup
    hash: str


def style() -> Style:
    sheet = palette.style_rules() + resources.files("assay.report").joinpath("templates/style.css").read_text(
        encoding="utf-8"
    )
    return Style(Markup(sheet), base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode())


def environment() -> Environment:
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


def facts(about: Mapping[str, Any]) -> list[str]:
    """A line under the title: what was studied and when, as far as it is known."""
    return [words.label(str(about[key]), 80) for key in ("model", "date") if about.get(key)]


def about_rows(about: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def as_typed(value: Any) -> str:
    """A command or configuration as it is typed: strings as they are, settings as YAML."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return " ".join(value)
    try:
        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    except yaml.YAMLError:
        return json.dumps(value, ensure_ascii=False, indent=1, default=str)
