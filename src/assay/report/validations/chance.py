"""What the intervals of a validation were made by, what they redraw, and how many tests stand together."""

from collections.abc import Iterator
from dataclasses import dataclass

from assay.report.words import count, listed
from assay.validation.result import Effect, Resampled, ValidationResult

_READINGS: dict[Resampled, str] = {
    "seeds": "Trainings are redrawn, the queries are these very ones: what holds for other seeds on these "
    "queries.",
    "seeds and queries": "Trainings and queries are redrawn: what holds for other seeds and for queries "
    "like these.",
    "queries": "Queries are redrawn, the trainings are these very ones: nothing is said of another seed.",
    "nothing": "What would be redrawn is alike, or there is one of it: no interval is given and nothing "
    "is tested.",
}


@dataclass(frozen=True, slots=True)
class Tested:
    """Effects that were tested alike: how many, over how many seeds and queries, and what it means."""

    test: str
    resampled: Resampled
    meaning: str
    effects: int
    seeds: str
    queries: str


def tested(result: ValidationResult) -> list[Tested]:
    """One entry for each test and what it redraws, the most frequent first."""
    groups: dict[tuple[str, Resampled], list[Effect]] = {}
    for effect in effects_of(result):
        groups.setdefault((effect.test, effect.resampled), []).append(effect)
    found = [
        Tested(
            test,
            resampled,
            _READINGS[resampled],
            len(effects),
            _range([effect.seeds for effect in effects]),
            _range([effect.queries for effect in effects]),
        )
        for (test, resampled), effects in groups.items()
    ]
    return sorted(found, key=lambda one: -one.effects)


def multiplicity(result: ValidationResult) -> str:
    """How p-values were corrected, and that intervals were not."""
    families = sorted({effect.family for effect in effects_of(result) if effect.p_holm is not None})
    apart = f"Intervals are {100 * result.confidence:g}% each by itself and no wider for the number of arms."
    if not families:
        return f"No p-value is corrected for the number of tests. {apart}"
    sizes = listed([f"{size:,}" for size in families])
    return (
        f"Holm’s p is over the {sizes} {'test' if families == [1] else 'tests'} that stand together. {apart} "
        "An effect whose interval excludes 0 only leans where Holm’s p does not follow."
    )


def levels(result: ValidationResult) -> list[str]:
    """How the intervals of levels were made, each way once."""
    return list(dict.fromkeys(f"{row.level.method} ({row.level.resampled})" for row in result.rows))


def left_out(result: ValidationResult) -> str:
    """How many pairs of a seed and a query lack a value, at most in one effect; empty where none does."""
    most = max((effect.left_out for effect in effects_of(result)), default=0)
    return f"Left out of an effect are up to {count(most, 'pair')} of a seed and a query without a value." * (
        most > 0
    )


def effects_of(result: ValidationResult) -> Iterator[Effect]:
    for row in result.rows:
        if row.effect is not None:
            yield row.effect
    for one in result.interactions:
        yield from one.beyond
        if one.additivity is not None:
            yield one.additivity


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
