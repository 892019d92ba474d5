"""What all charts share: type, quiet axes, frames. Knows nothing of what is drawn."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from assay.report.palette import GRID, INK, MUTED, ZERO
from assay.report.words import Ranged, has_interval

FONT = "Helvetica Neue, Helvetica, Arial, Noto Sans, Liberation Sans, sans-serif"
CUT = "An arrow head: the interval goes on beyond the frame."
Rows = Sequence[Mapping[str, Any]]


def chart(table: str) -> alt.Chart:
    """A chart of the rows that `finish` is given under this name."""
    return alt.Chart(alt.NamedData(table))


def zero_rule(channel: alt.XDatum | alt.YDatum) -> alt.Chart:
    """The line of no influence; the table "one" is always there."""
    return chart("one").mark_rule(color=ZERO.light, strokeWidth=1, aria=False).encode(channel)


def frame_of(estimates: Iterable[Ranged], reach: float = 1.0, zero: bool = True) -> tuple[float, float]:
    """Limits of an axis: every value (and zero), and intervals as far as `reach` times their span beyond.

    One interval that knows next to nothing must not press all other curves flat: what leaves the frame
    is cut (`leaving`).
    """
    known = [estimate for estimate in estimates if math.isfinite(estimate.value)]
    values = [estimate.value for estimate in known] + ([0.0] if zero or not known else [])
    ends = [end for e in known if has_interval(e) for end in (e.low, e.high)]
    low, high = min(values), max(values)
    span = (high - low) or max((abs(end - low) for end in ends), default=0.0) or 1.0
    low, high = (
        max(low - reach * span, min([low, *ends])),
        min(high + reach * span, max([high, *ends])),
    )
    return low - 0.04 * span, high + 0.04 * span


def leaving(estimate: Ranged, frame: tuple[float, float]) -> tuple[bool, bool]:
    """Whether the interval goes on below the frame, and above it."""
    known = has_interval(estimate)
    return known and estimate.low < frame[0], known and estimate.high > frame[1]


def cut_note(specification: Mapping[str, Any]) -> str:
    """`CUT` where a chart has arrow heads (rows in a table "beyond_…"), else nothing."""
    tables = specification["datasets"].items()
    return CUT if any(rows for name, rows in tables if name.startswith("beyond_")) else ""


def finish(
    layers: Sequence[alt.Chart],
    tables: Mapping[str, Rows],
    title: str,
    subtitle: str,
    width: int,
    height: int,
    right: float = 6,
    type_size: float = 11,
) -> dict[str, Any]:
    """The specification: `width` × `height` is all of the drawing, `right` of it kept free for labels.

    `type_size` is that of axis labels in pixels of the drawing; titles go with it.
    """
    heading = {
        "text": title,
        "anchor": "start",
        "frame": "bounds",
        "offset": 8,
        "fontSize": type_size + 3,
        "fontWeight": 600,
        "color": INK.light,
        "limit": width - 20,
        "aria": False,
    }
    if subtitle:
        heading |= {
            "subtitle": subtitle,
            "subtitleColor": MUTED.light,
            "subtitleFontSize": type_size + 0.5,
            "subtitlePadding": 3,
        }
    axis = {
        "labelColor": MUTED.light,
        "titleColor": MUTED.light,
        "labelFontSize": type_size,
        "titleFontSize": type_size,
        "titleFontWeight": "normal",
        "gridColor": GRID.light,
        "domain": False,
        "ticks": False,
        "labelPadding": 5,
        "aria": False,
    }
    specification: dict[str, Any] = alt.layer(*layers).to_dict(validate=False)
    return specification | {
        "width": width,
        "height": height,
        "title": heading,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 2, "right": right, "top": 4, "bottom": 4},
        "background": "transparent",
        "config": {"font": FONT, "view": {"stroke": None}, "axis": axis},
        "datasets": {"one": [{}], **{name: list(rows) for name, rows in tables.items()}},
    }
