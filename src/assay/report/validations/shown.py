"""Effects and levels as they are read: shares in per cent, losses in nats, and the word for an effect."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from assay.report import words
from assay.validation.result import Agreement, Effect, Level, Measure, Share, ValidationResult

Word = Literal["better", "worse", "leans better", "leans worse", "undecided", "not tested"]

TONES = {"better": "good", "worse": "bad"}
SIGNS = {
    "better": "▲",
    "worse": "▼",
    "leans better": "▲",
    "leans worse": "▼",
    "undecided": "?",
    "not tested": "·",
}
NO_SPREAD = "no spread between seeds"


@dataclass(frozen=True, slots=True)
class Shown:
    """A number and its ends in the unit of the page; ends are NaN where no interval can be given, and then
    `absent` says why."""

    value: float
    low: float
    high: float
    method: str = ""
    absent: str = "no interval"


def shown(
    value: float, low: float | None, high: float | None, measure: Measure | None = None, method: str = ""
) -> Shown:
    """Shares times 100, all else as it is."""
    times = 100.0 if measure is not None and measure.is_right else 1.0
    ends = [math.nan if end is None else times * end for end in (low, high)]
    return Shown(times * value, ends[0], ends[1], method)


def of_effect(effect: Effect, measure: Measure) -> Shown:
    one = shown(effect.value, effect.low, effect.high, measure, effect.test)
    return one if is_tested(effect) else replace(one, absent=why_untested(effect))


def is_tested(effect: Effect) -> bool:
    return effect.low is not None and effect.high is not None


def why_untested(effect: Effect) -> str:
    """Why an effect has no interval: what would be redrawn is alike, or there is one of it."""
    if effect.seeds > 1:
        return NO_SPREAD
    return "no spread between queries" if effect.queries > 1 else "no interval"


def of_level(level: Level, measure: Measure) -> Shown:
    return shown(level.value, level.low, level.high, measure, level.method)


def unit(measure: Measure) -> str:
    """The unit of a difference: points are hundredths of all answers."""
    return "points" if measure.is_right else measure.unit


def level_text(level: Level, measure: Measure) -> str:
    """“41.2% [38.0%, 44.4%]”, “12.31 [11.90, 12.72]”; the value alone where there is no interval."""
    one = of_level(level, measure)
    if not math.isfinite(one.value):
        return "unknown"
    places = 1 if measure.is_right else _places(one.value)
    sign = "%" if measure.is_right else ""
    value, low, high = (
        f"{end:,.{places}f}{sign}".replace("-", "−") for end in (one.value, one.low, one.high)
    )
    return f"{value} [{low}, {high}]" if words.has_interval(one) else value


def _places(value: float) -> int:
    """Decimals that show four digits, from 0 to 6."""
    return min(6, max(0, 3 - math.floor(math.log10(abs(value))))) if value else 3


def outcome(effect: Effect, confidence: float) -> Word:
    """What an effect says: it leans only, where its interval excludes 0 but Holm's p does not go below 1 −
    confidence.

    It is not tested where there is no interval.
    """
    if not is_tested(effect):
        return "not tested"
    if not effect.sign:
        return "undecided"
    word: Word = "better" if effect.sign > 0 else "worse"
    if effect.p_holm is None or effect.p_holm < round(1 - confidence, 9):
        return word
    return "leans better" if effect.sign > 0 else "leans worse"


def p_text(p: float | None) -> str:
    """A p-value with two digits, “–” where there is none."""
    if p is None or not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def share_text(share: Share) -> str:
    """“8 of 9, 89% [57%, 98%]”; “0 of 0” where there is nothing to count."""
    percent = share_percent(share)
    return f"{share.count} of {share.of}{', ' if percent else ''}{percent}"


def share_percent(share: Share) -> str:
    """“89% [57%, 98%]”; empty where there is nothing to count."""
    if share.value is None or share.low is None or share.high is None:
        return ""
    return f"{100 * share.value:.0f}% [{100 * share.low:.0f}%, {100 * share.high:.0f}%]"


def where(result: ValidationResult, one: Agreement) -> str:
    """“In-task, against base”, with the kind of query sets where the result has undesired ones."""
    both = any(each.direction == "undesired" for each in result.query_sets)
    kind = f", on {one.direction} sets" if both else ""
    return f"{one.context.capitalize()}, against {one.against}{kind}"


def measures_of(result: ValidationResult) -> dict[str, Measure]:
    return {measure.name: measure for measure in result.measures}


def places_of(effects: Iterable[Effect], measure: Measure) -> int:
    """Decimals for a column of effects, by its intervals; without any, one for points and three else."""
    every = [of_effect(effect, measure) for effect in effects]
    some = any(words.has_interval(one) for one in every)
    return words.places_for(every) if some or not measure.is_right else 1


def effect_text(effect: Effect, measure: Measure) -> str:
    """“+4.1 [+1.0, +7.2]” in the unit of `unit`; “+50.0 [no spread between seeds]”."""
    one = of_effect(effect, measure)
    places = places_of([effect], measure)
    return f"{words.number(one.value, places)} {words.interval(one, places)}"
