"""The benchmark's one table, as Markdown, and its one chart. Computes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
from rich.table import Table

from assay.report.palette import MUTED, STRATEGIES
from assay.report.svg import draw
from assay.truth.agreement import Interval
from assay.truth.coverage import Coverage
from assay.truth.evaluate import Agreement, Calibration
from assay.truth.predictions import AVERAGED

Ceilings = Mapping[str, Mapping[str, float]]


def markdown(
    agreements: Sequence[Agreement],
    calibrations: Sequence[Calibration],
    coverages: Sequence[Coverage],
    ceilings: Ceilings,
) -> str:
    """The tables of agreements, one row a predictor and probe count, of commitments, and of coverage."""
    lines = []
    for context, by_regime in ceilings.items():
        regimes = list(by_regime)
        lines += [
            f"### {context.capitalize()}",
            "",
            "| predictor | probes | all | graded | beside minus probe loss | right answers | signs | "
            + " | ".join(regimes)
            + " |",
            "|---" * (7 + len(regimes)) + "|",
            "| *ceiling* | | | | | | | " + " | ".join(f"*{by_regime[r]:.2f}*" for r in regimes) + " |",
        ]
        for row in agreements:
            if row.context == context and row.checkpoint == AVERAGED:
                lines.append(_agreement(row, regimes))
        lines.append("")
    lines += [
        "### Commitments",
        "",
        "*right*: committed verdicts with the true sign, of those committed; *of clear*: strategies",
        "committed on, of those whose true interval excludes zero. Against the control: better, worse;",
        "against zero: helps, harms.",
        "",
        "| evidence | probes | context | against | right | of clear | by regime (right, of clear) |",
        "|---|---|---|---|---|---|---|",
        *(_calibration(row) for row in calibrations),
        "",
    ]
    if coverages:
        lines += [
            "### Coverage",
            "",
            "How many of a lookahead's nominal 95% intervals held the true effect of steps like its own, as",
            "measured, and with the noise of that truth over its seeds granted; and how many intervals from",
            "half of the tasks held the truth of the other half, noise granted.",
            "",
            "| probes | context | against | held | noise granted | other tasks |",
            "|---|---|---|---|---|---|",
            *(_coverage(row) for row in coverages),
            "",
        ]
    return "\n".join(lines)


def agreement_table(agreements: Sequence[Agreement]) -> Table:
    """Spearman with the truth over all and over graded strategies, averaged over regimes, for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in ("predictor", "probes", "context", "all", "graded", "beside minus probe loss"):
        table.add_column(name, no_wrap=True)
    for row in sorted(agreements, key=lambda row: (row.context != "in-task", -row.per_task, -row.all.value)):
        if row.checkpoint == AVERAGED:
            table.add_row(
                row.predictor,
                str(row.per_task),
                row.context.removesuffix("-task"),
                _interval(row.all),
                f"{row.graded.value:.2f}",
                _interval(row.gain, signed=True),
            )
    return table


def _agreement(row: Agreement, regimes: Iterable[str]) -> str:
    gains = {r: _mark(row.gains[r]) for r in regimes}
    cells = [
        row.predictor,
        str(row.per_task),
        _interval(row.all),
        _interval(row.graded),
        _interval(row.gain, signed=True),
        f"{row.right.value:.2f}",
        f"{row.signs:.2f}",
        *(f"{row.by_regime[r]:.2f}{gains[r]}" for r in regimes),
    ]
    return "| " + " | ".join(cells) + " |"


def _mark(gain: Interval) -> str:
    """+ or − where the paired difference to the baseline excludes zero."""
    return "⁺" if gain.low > 0 else "⁻" if gain.high < 0 else ""


def _interval(one: Interval, signed: bool = False) -> str:
    form = "+.2f" if signed else ".2f"
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]".replace("-", "−")


def _calibration(row: Calibration) -> str:
    total = [
        sum(getattr(one, name) for one in row.by_regime.values())
        for name in ("right", "committed", "clear_committed", "clear")
    ]
    each = ", ".join(
        f"{regime} {one.right}/{one.committed}, {one.clear_committed}/{one.clear}"
        for regime, one in row.by_regime.items()
    )
    right, clear = _share(total[0], total[1]), _share(total[2], total[3])
    cells = (row.evidence, str(row.per_task or ""), row.context, row.against, right, clear, each)
    return "| " + " | ".join(cells) + " |"


def _coverage(row: Coverage) -> str:
    shares = (
        (row.held, row.strategies),
        (row.held_with_noise, row.strategies),
        (row.elsewhere, row.asked_elsewhere),
    )
    cells = [_share(part, whole) for part, whole in shares]
    return "| " + " | ".join((str(row.per_task), row.context, row.against, *cells)) + " |"


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole}" + (f" = {part / whole:.2f}" if whole else "")


def chart(agreements: Sequence[Agreement], ceilings: Ceilings) -> str:
    """SVG: Spearman of each predictor in each regime (dots), its mean (bar) and the mean ceiling (line)."""
    averaged = [row for row in agreements if row.checkpoint == AVERAGED]
    counts = sorted({row.per_task for row in averaged}, reverse=True)
    panels = [_panel(context, count) for context in ceilings for count in counts]
    rows: list[dict[str, Any]] = []
    for row in averaged:
        at = {"panel": _panel(row.context, row.per_task), "predictor": row.predictor}
        rows += [{**at, "kind": "regime", "spearman": round(one, 3)} for one in row.by_regime.values()]
        rows.append({**at, "kind": "mean", "spearman": round(row.all.value, 3)})
    for context, by_regime in ceilings.items():
        mean = sum(by_regime.values()) / max(1, len(by_regime))
        rows += [
            {"panel": _panel(context, count), "kind": "ceiling", "spearman": round(mean, 3)}
            for count in counts
        ]
    order = list(dict.fromkeys(row.predictor for row in sorted(averaged, key=lambda row: -row.all.value)))
    scale = alt.Scale(domain=[-0.6, 1])
    x = alt.X("spearman:Q", title="Spearman with the true effect", scale=scale)
    y = alt.Y("predictor:N", sort=order, title=None, axis=alt.Axis(labelLimit=200, minExtent=140))

    def layer(kind: str) -> alt.Chart:
        return alt.Chart().transform_filter(f"datum.kind == '{kind}'")

    layers = alt.layer(
        layer("ceiling").mark_rule(color=MUTED.light, strokeDash=[4, 3]).encode(x=x),
        layer("regime").mark_circle(size=30, color=STRATEGIES[4].light, clip=True).encode(x=x, y=y),
        layer("mean").mark_tick(thickness=3, color=STRATEGIES[1].light).encode(x=x, y=y),
    ).properties(width=230)
    panel = alt.Facet("panel:N", title=None, sort=panels)
    drawn = layers.facet(panel, columns=len(counts), data=alt.Data(values=rows))
    return draw(drawn.to_dict(), "truth", "Agreement of predictions with the truth")


def _panel(context: str, per_task: int) -> str:
    return f"{context}, {per_task} probes per task"
