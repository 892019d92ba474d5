"""What all charts share: type, quiet axes, frames. Knows nothing of what is drawn."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from assay.report.palette import GRID, INK, MUTED, ZERO
from assay.report.words import has_interval
from assay.study.result import Estimate

FONT = "Helvetica Neue, Helvetica, Arial, Noto Sans, Liberation Sans, sans-serif"
Row = Mapping[str, Any]


def rows(values: Sequence[Row]) -> alt.Data:
    return alt.Data(values=[dict(value) for value in values])


def zero_rule(orientation: str) -> alt.Chart:
    """The line of no influence, across the frame ("y") or up it ("x")."""
    encoding = {orientation: alt.datum(0)}
    return alt.Chart(rows([{}])).mark_rule(color=ZERO.light, strokeWidth=1, aria=False).encode(**encoding)


def frame_of(estimates: Iterable[Estimate], reach: float = 1.0) -> tuple[float, float]:
    """Limits of an axis: every value and zero, and intervals as far as `reach` times that span beyond.

    One interval that knows next to nothing must not press all other curves flat; what leaves the frame is cut.
    """
    finite = [estimate for estimate in estimates if abs(estimate.value) < float("inf")]
    low = min([0.0, *(e.value for e in finite)])
    high = max([0.0, *(e.value for e in finite)])
    bounds = [e for e in finite if has_interval(e)]
    if high == low:
        low, high = min([low, *(e.low for e in bounds)]), max([high, *(e.high for e in bounds)])
    span = (high - low) or 1.0
    ends = [
        max(low - reach * span, min([low, *(e.low for e in bounds)])),
        min(high + reach * span, max([high, *(e.high for e in bounds)])),
    ]
    return ends[0] - 0.04 * span, ends[1] + 0.04 * span


def finish(
    chart: alt.Chart | alt.LayerChart, title: str, subtitle: str, width: int, height: int, right: float = 6
) -> dict[str, Any]:
    """The specification: `width` × `height` is all of the drawing, axes and title included, `right` of it kept free for labels."""
    heading = alt.TitleParams(
        title,
        subtitle=subtitle or alt.Undefined,
        anchor="start",
        frame="group",
        offset=8,
        fontSize=14,
        fontWeight=600,
        color=INK.light,
        subtitleColor=MUTED.light,
        subtitleFontSize=11.5,
        subtitlePadding=3,
        limit=width - 20,
        aria=False,
    )
    finished = (
        chart.properties(
            width=width,
            height=height,
            title=heading,
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
            padding={"left": 2, "right": right, "top": 4, "bottom": 4},
            background="transparent",
        )
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=MUTED.light,
            titleColor=MUTED.light,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            gridColor=GRID.light,
            domain=False,
            ticks=False,
            labelPadding=5,
            aria=False,
        )
    )
    specification: dict[str, Any] = finished.to_dict(validate=False)
    return specification
