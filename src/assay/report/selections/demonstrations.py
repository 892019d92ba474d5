"""In-context influence in sentences, and demonstrations arranged for reading. Knows no HTML and no charts."""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.report.words import count, figure, label
from assay.selection.in_context import Demonstration, Difficulty, Influence, Spread, Taught
from assay.selection.result import SelectionResult


@dataclass(frozen=True, slots=True)
class Shown:
    """A demonstration to read, with its score and the queries it was shown before."""

    id: str
    task: str | None
    kept: bool
    score: float
    prompt: str
    completion: str
    taught: tuple[Taught, ...]


def demonstrations(result: SelectionResult) -> list[tuple[str, list[Shown]]]:
    """Those that teach most and those that teach least, as far as there are any."""
    found = result.in_context
    if found is None:
        return []
    ends = (("Teach most", found.most), ("Teach least, least first", found.least))
    return [(title, [_shown(result, found.name, one) for one in end]) for title, end in ends if end]


def _shown(result: SelectionResult, name: str, one: Demonstration) -> Shown:
    pool, at = result.pool, one.candidate
    return Shown(
        pool.ids[at],
        pool.tasks[at],
        bool(result.kept[at]),
        float(result.scores[name][at]),
        pool.prompts[at],
        pool.completions[at],
        one.taught,
    )


def signs(found: Influence) -> list[str]:
    """For each measure of difficulty what its correlation with influence says, sign first."""
    return [_sign(found.name, one) for one in found.difficulties]


def _sign(name: str, one: Difficulty) -> str:
    known, hard = one.correlation, label(one.name, 40)
    if known.value is None:
        return f"Whether hard examples teach more or less cannot be said by {hard}: {known.method}."
    value = f"Spearman's correlation of {hard} and {label(name, 40)} is {signed(known.value)}"
    if known.low is None or known.high is None:
        return f"{value} over {count(known.n, 'example')}, {known.method}."
    said = f"{value} [{signed(known.low)}, {signed(known.high)}] over {count(known.n, 'example')}."
    lead = {
        1: "Harder examples teach more here",
        -1: "Harder examples teach less here",
        0: "Whether harder examples teach more or less is open here",
    }[known.sign]
    return f"{lead}: {said}"


def signed(value: float) -> str:
    """Two decimals with a sign; a true minus."""
    return f"{value:+.2f}".replace("-", "−")


def spread_sentence(name: str, spread: Spread, candidates: int) -> str:
    """How many have a score, how they are spread, and how many make their queries easier on average."""
    if not spread.candidates:
        return f"No example has a {label(name, 40)}."
    low, _, middle, _, high = spread.quantiles
    share = 100 * spread.above_zero / spread.candidates
    return (
        f"{spread.candidates:,} of {count(candidates, 'example')} have a {label(name, 40)}: median "
        f"{figure(middle)}, 9 of 10 between {figure(low)} and {figure(high)}. Above 0, so easing their "
        f"queries on average, are {spread.above_zero:,} ({share:.1f}%)."
    )


def pairs_sentence(pairs: int, left_out: Sequence[tuple[str, int]]) -> str:
    """What was left out of the means, by reason; empty where there are no pairs."""
    if not pairs:
        return ""
    without = sum(number for _, number in left_out)
    if not without:
        return f"All {count(pairs, 'pair')} of demonstration and query have an influence."
    reasons = ", ".join(f"{number:,} ({label(reason, 120)})" for reason, number in left_out)
    return (
        f"Of {count(pairs, 'pair')} of demonstration and query {without:,} have no influence and are left "
        f"out of the means: {reasons}."
    )


def carried_sentence(name: str, carried: tuple[int, int]) -> str:
    """How many of the highest stand or fall with one query; empty where that is none."""
    some, of = carried
    if not some:
        return ""
    return (
        f"Of the {of:,} highest by {label(name, 40)} {some:,} owe more than half of their score to a single "
        "query: read those queries before you believe it."
    )


def in_context_lines(result: SelectionResult) -> list[str]:
    """For a terminal: the sign, and the ablations."""
    found = result.in_context
    if found is None:
        return []
    said = [*signs(found)[:1], *filter(None, [carried_sentence(found.name, found.carried)])]
    if found.ablations:
        parts = [
            f"{100 * one.shared:.1f}% without {one.without.partition(':')[0]} "
            f"(by chance {100 * one.by_chance:.1f}%)"
            for one in found.ablations
        ]
        said.append(f"Of {found.whole}, {label(found.name, 40)} would choose {', '.join(parts)}.")
    return said
