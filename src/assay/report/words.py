"""How the report says things: names, numbers and the one-line answer. Knows nothing of HTML or charts."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from assay.studies.result import Context, Rung, StudyResult, Verdict

ESTIMATORS: dict[str, tuple[str, str]] = {
    "relinf": ("Relative influence", "mean ⟨g_z, g_q⟩ / ‖g_q‖², as published"),
    "ratio_of_sums": ("Ratio of sums", "Σ ⟨g_z, g_q⟩ / Σ ‖g_q‖²"),
    "median": ("Median over queries", "the middle ⟨g_z, g_q⟩ / ‖g_q‖²"),
    "pair_cosine": ("Cosine of pairs", "mean cos(g_z, g_q)"),
    "cosine_of_means": ("Cosine of mean gradients", "cosine between tasks’ mean gradients"),
    "relinf_per_token": ("Relative influence per token", "mean ⟨g_z, g_q⟩ n_q / (n_z ‖g_q‖²)"),
    "dot": ("Inner product", "mean ⟨g_z, g_q⟩, nats per unit of learning rate"),
    "dot_per_probe_token": ("Inner product per probe token", "mean ⟨g_z, g_q⟩ / n_z"),
    "minus_probe_loss": ("Minus probe loss", "baseline without gradients, nats per token"),
    "lookahead": ("Real steps", "loss of a query after steps without the probes minus that with them, nats"),
}

SYMBOLS = {
    "better": "▲",
    "worse": "▼",
    "like": "≈",
    "helps": "▲",
    "harms": "▼",
    "none": "≈",
    "undecided": "?",
}
TONES = {"better": "good", "helps": "good", "worse": "bad", "harms": "bad", "like": "even", "none": "even"}
PHRASES = {"none": "next to none"}
EVIDENCE = {"gradient": "gradients", "lookahead": "real steps"}

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile(r"\s+")


class Ranged(Protocol):
    """A number with the ends of its interval, whatever it is an estimate of; NaN for unknown ends."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    @property
    def method(self) -> str: ...


def printable(text: str) -> str:
    """`text` with every character that neither HTML nor XML can carry shown as U+FFFD."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


def label(text: str, limit: int = 28) -> str:
    """One short line for a chart or table: printable, no line breaks or direction marks, clipped with “…”."""
    line = _BLANKS.sub(" ", _BIDI.sub("", printable(text[: 8 * limit]))).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def path_label(text: str, limit: int = 48) -> str:
    """As `label`, but of a long path the end, where the name of the file is."""
    line = label(text[-4 * limit :], 4 * limit)
    return line if len(line) <= limit and len(text) <= 4 * limit else f"…{line[1 - limit :].lstrip()}"


def clipped(text: str, limit: int = 1_000) -> str:
    """`text` up to `limit` characters, and how many more there were."""
    return text if len(text) <= limit else f"{text[:limit]}… ({count(len(text) - limit, 'more character')})"


def labels(texts: Sequence[str], limit: int = 28) -> list[str]:
    """`label` of each, told apart by a number where two would read the same."""
    short = [label(text, limit) for text in texts]
    return [
        name if short.count(name) == 1 else f"{name} ({short[: i + 1].count(name)})"
        for i, name in enumerate(short)
    ]


def estimator_label(name: str) -> str:
    known = ESTIMATORS.get(name)
    return known[0] if known else label(name.replace("_", " "), 40).capitalize()


def estimator_meaning(name: str) -> str:
    known = ESTIMATORS.get(name)
    return known[1] if known else ""


def code_label(code: str) -> str:
    """A flag's code as words: `length_confound` is “length confound”."""
    return label(re.sub(r"[_-]+", " ", code), 40)


def outcome(verdict: Verdict) -> str:
    """The word that leads: against the control where there is one, else against zero."""
    return verdict.vs_control or verdict.vs_zero


def places_for(estimates: Iterable[Ranged | None]) -> int:
    """Decimals that show a typical interval's half-width with two digits, from 0 to 8."""
    widths = sorted(
        (estimate.high - estimate.low) / 2
        for estimate in estimates
        if estimate is not None and has_interval(estimate) and estimate.high > estimate.low
    )
    if not widths:
        return 3
    return min(8, max(0, 1 - math.floor(math.log10(widths[len(widths) // 2]))))


def number(value: float, places: int = 3) -> str:
    """A signed decimal with a true minus; beyond six digits before the point, in scientific notation."""
    if not math.isfinite(value):
        return "unknown"
    text = f"{value:+.{places}f}" if abs(value) < 1e6 else f"{value:+.2e}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def figure(value: float) -> str:
    """Four significant digits with a true minus; “no score” for what is not finite."""
    return f"{value:.4g}".replace("-", "−") if math.isfinite(value) else "no score"


def has_interval(estimate: Ranged) -> bool:
    """False where the study had nothing to learn the variation from, and for ends that are not finite."""
    if estimate.method.startswith("no interval"):
        return False
    return math.isfinite(estimate.low) and math.isfinite(estimate.high)


def interval(estimate: Ranged, places: int = 3) -> str:
    """Both ends; one close to 0 with the decimals it takes to be seen on its side, where both lie on one.

    Without ends it is said why where the estimate knows (`absent`).
    """
    if not has_interval(estimate):
        return f"[{getattr(estimate, 'absent', 'no interval')}]"
    one_sided = estimate.low > 0 or estimate.high < 0
    low, high = (
        number(end, -math.floor(math.log10(abs(end))) if one_sided and round(end, places) == 0 else places)
        for end in (estimate.low, estimate.high)
    )
    return f"[{low}, {high}]"


def count(amount: int, noun: str) -> str:
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """“a”, “a and b”, “a, b and c”."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def control_of(result: StudyResult) -> str | None:
    return next((row.name for row in result.sets if row.role == "control"), None)


def probe_sets_of(result: StudyResult) -> tuple[str, ...]:
    """Strategies in the order of the sets, then the control."""
    control = control_of(result)
    named = [row.name for row in result.sets if row.role != "query"]
    seen = [*named, *(curve.probe_set for curve in result.curves), *(v.probe_set for v in result.verdicts)]
    order = [name for name in dict.fromkeys(seen) if name != control]
    return (*order, control) if control is not None else tuple(order)


def query_sets_of(result: StudyResult) -> tuple[str, ...]:
    named = [row.name for row in result.sets if row.role == "query"]
    seen = [*named, *(curve.query_set for curve in result.curves), *(v.query_set for v in result.verdicts)]
    return tuple(dict.fromkeys(seen))


def main_verdicts(result: StudyResult) -> tuple[Verdict, ...]:
    """The verdicts by the study's own estimator or by real steps; all of them where none is."""
    own = (v for v in result.verdicts if v.estimator == result.estimator or v.evidence == "lookahead")
    return tuple(own) or result.verdicts


def several_rungs(result: StudyResult) -> bool:
    """Whether more than one kind of evidence was asked for."""
    return len(result.rungs) > 1


def of_rung(rung: Rung, verdict: Verdict) -> Verdict | None:
    """What a rung by itself says where `verdict` stands."""
    place = (verdict.probe_set, verdict.query_set, verdict.context)
    return next((v for v in rung.verdicts if (v.probe_set, v.query_set, v.context) == place), None)


def duration(seconds: float | None) -> str:
    """A length of time as it is said: “12 seconds”, “4 minutes”."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def strategy_verdicts(result: StudyResult) -> tuple[Verdict, ...]:
    """The main verdicts without the control's own."""
    control = control_of(result)
    return tuple(verdict for verdict in main_verdicts(result) if verdict.probe_set != control)


def answer(result: StudyResult) -> str:
    """The one-line answer: what was found on the first query set, in-task first, in one sentence each."""
    verdicts = strategy_verdicts(result)
    if not verdicts:
        return "There is nothing to say: the study holds no verdict on a strategy."
    query_set = next(
        (v.query_set for v in verdicts if not is_undesired(result, v.query_set)), verdicts[0].query_set
    )
    here = [v for v in verdicts if v.query_set == query_set]
    contexts: tuple[Context, ...] = ("in-task", "cross-task")
    sentences = [_tally(context, [v for v in here if v.context == context], result) for context in contexts]
    return " ".join(sentence for sentence in sentences if sentence)


def is_undesired(result: StudyResult, query_set: str) -> bool:
    return any(
        row.role == "query" and row.name == query_set and row.direction == "undesired" for row in result.sets
    )


def _tally(context: Context, verdicts: Sequence[Verdict], result: StudyResult) -> str:
    if not verdicts:
        return ""
    control = control_of(result)
    rival = label(control) if control else "the control"
    phrases = {
        "better": (f"does more than {rival}", f"do more than {rival}"),
        "like": (f"does as much as {rival}", f"do as much as {rival}"),
        "worse": (f"does less than {rival}", f"do less than {rival}"),
        "helps": ("helps", "help"),
        "none": ("does next to nothing", "do next to nothing"),
        "harms": ("harms", "harm"),
        "undecided": ("stays undecided", "stay undecided"),
    }
    parts = []
    for word, (one, many) in phrases.items():
        names = [label(v.probe_set) for v in verdicts if outcome(v) == word]
        if names:
            parts.append(f"{listed(names)} {one if len(names) == 1 else many}")
    where = "On other tasks" if context == "cross-task" else "On their own tasks"
    return f"{where}, {'; '.join(parts)}."
