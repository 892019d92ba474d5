"""Says a verdict in one sentence with its numbers. Decides nothing."""

import math
from typing import Literal

from assay.study.intervals import has_interval
from assay.study.result import Context, Estimate, VsControl, VsZero, When

TINY = 5  # more decimals than this are written as a power of ten
PLACES: dict[Context, str] = {"in-task": "within a task", "cross-task": "across tasks"}


def number(estimate: Estimate) -> str:
    """Value and interval with as many decimals as the interval's width deserves: "0.41 [0.33, 0.49]"."""
    half = (estimate.high - estimate.low) / 2 or abs(estimate.value)
    digits = max(0, 2 - max(0, _magnitude(half) + 1), -_magnitude(half))
    value, low, high = (_signed(x, digits) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]" if has_interval(estimate) else f"{value} (no interval)"


def verdict_sentence(
    *,
    probe_set: str,
    query_set: str,
    context: Context,
    by_file: bool,
    undesired: bool,
    unit: str,
    control: str | None,
    effect: Estimate,
    difference: Estimate | None,
    margin: float,
    vs_zero: VsZero,
    vs_control: VsControl | None,
    when: When,
) -> str:
    """For instance "cot helps within a task on eval: level 0.41 [0.33, 0.49] of training on the query itself,
    worse than plain (difference −0.22 [−0.31, −0.13]), throughout the run."
    """
    where = f"on {query_set}" if by_file else f"{PLACES[context]} on {query_set}"
    if undesired:
        where += " (undesired responses; positive is good: they become less likely)"
    who = probe_set if vs_control is not None or control is not None else f"{probe_set}, the control,"
    openings: dict[VsZero, str] = {
        "helps": f"{who} helps {where}",
        "harms": f"{who} harms {where}",
        "none": f"{who} does next to nothing {where}",
        "undecided": f"Whether {who} helps {where} cannot be told yet",
    }
    said = f"{openings[vs_zero]}: level {number(effect)} {unit}"
    if vs_zero == "none" and control is not None:
        said += f", within ±{margin:.0%} of {control}'s effect"
    if control is not None and vs_control is not None:
        said += _beside_the_control(control, difference, margin, vs_control, vs_zero == "undecided")
    times: dict[When, str] = {
        "throughout": ", throughout the run",
        "early": ", more so early in the run",
        "late": ", more so late in the run",
        "undecided": "",
    }
    return f"{said}{times[when]}."


def contrast_sentence(
    probe_set: str,
    desired: str,
    undesired: str,
    context: Context,
    by_file: bool,
    leans: Literal["desired", "undesired", "undecided"],
    estimate: Estimate,
    unit: str,
) -> str:
    """Whether training on a probe set lifts good responses more than bad ones."""
    where = "" if by_file else f" {PLACES[context]}"
    more = f"{number(estimate)} {unit}"
    return {
        "desired": f"{probe_set} lifts {desired} more than {undesired}{where}: difference {more}.",
        "undesired": f"{probe_set} lifts {undesired}, which is undesired, more than {desired}{where}: "
        f"difference {more}.",
        "undecided": f"Whether {probe_set} lifts {desired} more than {undesired}{where} cannot be told yet: "
        f"difference {more}.",
    }[leans]


def _beside_the_control(
    control: str, difference: Estimate | None, margin: float, vs_control: VsControl, after_doubt: bool
) -> str:
    if difference is None:
        return f", with no task to compare with {control} on"
    shown = f"difference {number(difference)}"
    but = "but it is " if after_doubt else ""
    return {
        "better": f", {but}better than {control} ({shown})",
        "worse": f", {but}worse than {control} ({shown})",
        "like": f", {but}like {control} ({shown}, within ±{margin:.0%} of {control}'s effect)",
        "undecided": f", and not to be told apart from {control} yet ({shown})",
    }[vs_control]


def _magnitude(size: float) -> int:
    return math.floor(math.log10(size)) if size > 0 else -1


def _signed(value: float, digits: int) -> str:
    """Fixed decimals (or a power of ten for what is tiny) with a real minus sign, and none before a zero."""
    text = f"{abs(value):.{digits}f}" if digits <= TINY else f"{abs(value):.1e}"
    return f"−{text}" if value < 0 and float(text) != 0 else text
