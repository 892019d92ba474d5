"""Says a verdict in one sentence with its numbers. Decides nothing."""

import math

from assay.studies.intervals import has_interval
from assay.studies.result import Context, Contrast, Estimate, Verdict, VsZero, When

TINY = 5  # more decimals than this are written as a power of ten
PLACES: dict[Context, str] = {"in-task": "within a task", "cross-task": "across tasks"}


def number(estimate: Estimate) -> str:
    """Value and interval with as many decimals as the interval's width deserves: "0.41 [0.33, 0.49]".

    An end close to 0 is given those it takes to be seen on its side: "0.08 [0.004, 0.16]".
    """
    half = max((estimate.high - estimate.low) / 2, abs(estimate.value) / 1000)
    digits = max(2 if half < 1 else 0, -_magnitude(half / 2))
    one_sided = estimate.low > 0 or estimate.high < 0
    value = _signed(estimate.value, digits)
    low, high = (
        _signed(end, max(digits, -_magnitude(abs(end))) if one_sided and round(end, digits) == 0 else digits)
        for end in (estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]" if has_interval(estimate) else f"{value} (no interval)"


def verdict_sentence(
    verdict: Verdict, *, control: str | None, unit: str, by_file: bool, undesired: bool
) -> str:
    """For instance "cot helps within a task on eval: level 0.41 [0.33, 0.49] of training on the query itself,
    worse than plain (difference −0.22 [−0.31, −0.13]), throughout the run."

    `control` is None for the control itself, and where there is none.
    """
    who = verdict.probe_set
    where = f"on {verdict.query_set}" if by_file else f"{PLACES[verdict.context]} on {verdict.query_set}"
    if undesired:
        where += " (undesired responses; positive is good: they become less likely)"
    openings: dict[VsZero, str] = {
        "helps": f"{who} helps {where}",
        "harms": f"{who} harms {where}",
        "none": f"{who} does next to nothing {where}",
        "undecided": f"Whether {who} helps {where} cannot be told yet",
    }
    said = f"{openings[verdict.vs_zero]}: level {number(verdict.effect)} {unit}"
    if verdict.vs_zero == "none":
        said += f", within ±{verdict.margin:.0%} of {control}'s effect"
    if control is not None:
        said += _beside_the_control(verdict, control)
    times: dict[When, str] = {
        "throughout": ", throughout the run",
        "early": ", more so early in the run",
        "late": ", more so late in the run",
        "undecided": "",
    }
    return f"{said}{times[verdict.when]}."


def contrast_sentence(contrast: Contrast, *, unit: str, by_file: bool, control: str | None) -> str:
    """Whether training on a probe set lifts good responses more than bad ones."""
    who, good, bad = contrast.probe_set, contrast.desired, contrast.undesired
    where = "" if by_file else f" {PLACES[contrast.context]}"
    openings = {
        "desired": f"{who} lifts {good} more than {bad}{where}",
        "undesired": f"{who} lifts {bad}, which is undesired, more than {good}{where}",
        "undecided": f"Whether {who} lifts {good} more than {bad}{where} cannot be told yet",
    }
    said = f"{openings[contrast.leans]}: difference {number(contrast.estimate)} {unit}"
    if contrast.difference is not None:
        said += f"; beside {control}'s own, {number(contrast.difference)}"
    return f"{said}."


def _beside_the_control(verdict: Verdict, control: str) -> str:
    if verdict.vs_control is None:
        return ""
    if verdict.difference is None:
        return f", with no task to compare with {control} on"
    shown = f"difference {number(verdict.difference)}"
    but = "but it is " if verdict.vs_zero == "undecided" else ""
    return {
        "better": f", {but}better than {control} ({shown})",
        "worse": f", {but}worse than {control} ({shown})",
        "like": f", {but}like {control} ({shown}, within ±{verdict.margin:.0%} of {control}'s effect)",
        "undecided": f", and not to be told apart from {control} yet ({shown})",
    }[verdict.vs_control]


def _magnitude(size: float) -> int:
    return math.floor(math.log10(size)) if size > 0 else -1


def _signed(value: float, digits: int) -> str:
    """Fixed decimals (or a power of ten for what is tiny) with a real minus sign, and none before a zero."""
    text = f"{abs(value):.{digits}f}" if digits <= TINY else f"{abs(value):.1e}"
    return f"−{text}" if value < 0 and float(text) != 0 else text
