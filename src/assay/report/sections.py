"""A study result arranged for reading: verdict cards, the summary of all verdicts, caveats. Knows no HTML."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.report import words
from assay.report.charts.base import frame_of
from assay.report.palette import Colour
from assay.studies.result import Context, Estimate, Evidence, Extreme, Reference, StudyResult, Verdict


@dataclass(frozen=True, slots=True)
class Lane:
    """One estimate on a card's axis; positions in percent of its width, None where an end leaves the axis."""

    name: str
    kind: str  # "strategy", "control" or "difference"
    estimate: Estimate
    at: float
    low: float
    high: float
    low_inside: bool
    high_inside: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A verdict with its lanes on the axis that its group shares; `margin` is (start, width) around zero."""

    verdict: Verdict
    colour: Colour
    lanes: tuple[Lane, ...]
    zero: float
    margin: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class CardGroup:
    query_set: str
    context: Context
    evidence: Evidence
    undesired: bool
    places: int
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Caveat:
    """All flags of one code: each sentence with the verdicts it was raised for (none: the whole study)."""

    code: str
    sentences: tuple[tuple[str, tuple[str, ...]], ...]


def card_groups(result: StudyResult, colours: Mapping[str, Colour]) -> list[CardGroup]:
    """Verdicts by query set, context and what they rest on (units differ), in the order of the study."""
    verdicts = words.strategy_verdicts(result)
    keys = dict.fromkeys((verdict.query_set, verdict.context, verdict.evidence) for verdict in verdicts)
    groups = []
    for query_set, context, evidence in keys:
        here = [v for v in verdicts if (v.query_set, v.context, v.evidence) == (query_set, context, evidence)]
        estimates = [e for v in here for e in (v.effect, v.control_effect, v.difference) if e is not None]
        frame = frame_of(estimates, reach=0.8)
        groups.append(
            CardGroup(
                query_set,
                context,
                evidence,
                words.is_undesired(result, query_set),
                words.places_for(estimates),
                tuple(_card(verdict, colours[verdict.probe_set], frame, result) for verdict in here),
            )
        )
    return groups


def places(verdicts: Sequence[Verdict]) -> list[tuple[str, list[Context]]]:
    """Query sets that have verdicts, each with its contexts, in the order of the verdicts."""
    found: dict[str, list[Context]] = {}
    for verdict in verdicts:
        contexts = found.setdefault(verdict.query_set, [])
        if verdict.context not in contexts:
            contexts.append(verdict.context)
    return list(found.items())


def _card(verdict: Verdict, colour: Colour, frame: tuple[float, float], result: StudyResult) -> Card:
    control = words.control_of(result) or "control"
    named = (
        (words.label(verdict.probe_set, 22), "strategy", verdict.effect),
        (words.label(control, 22), "control", verdict.control_effect),
        ("difference", "difference", verdict.difference),
    )
    lanes = tuple(
        lane_on(name, kind, estimate, frame) for name, kind, estimate in named if estimate is not None
    )
    margin = None
    if verdict.margin is not None and verdict.difference is not None and verdict.control_effect is not None:
        reach = verdict.margin * abs(verdict.control_effect.value)
        start, end = percent(-reach, frame), percent(reach, frame)
        margin = (round(max(0.0, start), 2), round(min(100.0, end) - max(0.0, start), 2))
    return Card(verdict, colour, lanes, round(percent(0.0, frame), 2), margin)


def lane_on(name: str, kind: str, estimate: Estimate, frame: tuple[float, float]) -> Lane:
    known = words.has_interval(estimate)
    at = percent(estimate.value, frame) if math.isfinite(estimate.value) else -10.0
    low = percent(estimate.low, frame) if known else at
    high = percent(estimate.high, frame) if known else at
    return Lane(
        name,
        kind,
        estimate,
        round(at, 2),
        round(max(0.0, low), 2),
        round(min(100.0, high), 2),
        known and low >= 0,
        known and high <= 100,
    )


def percent(value: float, frame: tuple[float, float]) -> float:
    return 100 * (value - frame[0]) / (frame[1] - frame[0])


def caveats(result: StudyResult) -> list[Caveat]:
    """Flags of the whole study first, then those of verdicts, joined by code and by sentence."""
    raised: dict[str, dict[str, list[str]]] = {}
    for flag in result.flags:
        raised.setdefault(flag.code, {}).setdefault(flag.sentence, [])
    for verdict in words.main_verdicts(result):
        for flag in verdict.flags:
            where = f"{verdict.context} on {words.label(verdict.query_set)}"
            names = raised.setdefault(flag.code, {}).setdefault(flag.sentence, [])
            names.append(f"{words.label(verdict.probe_set)}, {where}")
    return [
        Caveat(code, tuple((sentence, tuple(dict.fromkeys(names))) for sentence, names in found.items()))
        for code, found in raised.items()
    ]


def undecided(result: StudyResult) -> list[Verdict]:
    return [verdict for verdict in words.strategy_verdicts(result) if verdict.settle is not None]


def targets(verdicts: Iterable[Verdict]) -> list[str]:
    """What the intervals speak of: “tasks like these (12 tasks), by the bootstrap within tasks”."""
    return list(
        dict.fromkeys(
            f"{v.effect.target} ({words.count(v.effect.tasks, 'task')}), by the {v.effect.method}"
            for v in verdicts
            if words.has_interval(v.effect)
        )
    )


def extremes_by_set(
    result: StudyResult, order: Sequence[str], most: int = 12
) -> list[tuple[str, list[Extreme], int]]:
    """For each probe set its extremes, largest size first, at most `most`; and how many there are."""
    groups = []
    for name in order:
        found = sorted((e for e in result.extremes if e.probe_set == name), key=lambda e: -abs(e.value))
        kept = sorted(found[:most], key=lambda e: -e.value)
        if found:
            groups.append((name, kept, len(found)))
    return groups


def reference_rows(
    result: StudyResult, most: int
) -> list[tuple[Reference, str, list[tuple[str, str, str, list[tuple[str, bool]]]]]]:
    """Each reference with its first prompt, and its versions (name, prompt, completion, marked prompt).

    The control's version comes first, for it is or is like the reference that the others were made from.
    """
    control = words.control_of(result)
    rows = []
    for reference in result.references[:most]:
        versions = sorted(reference.versions, key=lambda version: version[0] != control)
        first = versions[0][1] if versions else ""
        rows.append((reference, first, [(*version, marked(version[1], first)) for version in versions]))
    return rows


_WORDS = re.compile(r"[A-Za-z0-9_']+|\s+|.", re.DOTALL)


def marked(text: str, reference: str, most: int = 600) -> list[tuple[str, bool]]:
    """`text` in pieces, True for those that the reference does not hold; unmarked where either is long."""
    if text == reference or max(len(text), len(reference)) > 8 * most:
        return [(text, False)]
    ours, theirs = _WORDS.findall(text), _WORDS.findall(reference)
    if max(len(ours), len(theirs)) > most:
        return [(text, False)]
    matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
    pieces = [
        ("".join(ours[start:end]), operation != "equal")
        for operation, _, _, start, end in matcher.get_opcodes()
        if end > start
    ]
    if sum(len(piece) for piece, fresh in pieces if fresh) > 0.9 * len(text):
        return [(text, False)]
    return pieces
