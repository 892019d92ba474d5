"""What an arm learns from at every step, so that arms differ in nothing but their sets.

Common random numbers: the order of a set in an epoch follows from its name, the seed and the epoch alone. The
first set of a phase is cut into batches, which are the phase's steps; every further set is dealt evenly over
them. So `base` and `base+cot` share the base's batches in their order, and `cot` comes in the same order in
every arm. Knows rows by number, and neither texts nor models.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from assay.errors import ConfigError, DataError
from assay.streams import stream
from assay.validation.arms import Arm

Match = Literal["steps", "tokens", "examples"]
MATCHES: tuple[Match, ...] = ("steps", "tokens", "examples")

Sets = Mapping[str, Sequence[int]]
"""Learned tokens of every row of every set, by the set's name."""


class Drawn(NamedTuple):
    """One example of a step: a row (from 0) of a set."""

    set: str
    row: int


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """`epoch` and `phase` count from 0; `tokens` are the learned tokens of its rows."""

    rows: tuple[Drawn, ...]
    epoch: int
    phase: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of an arm in their order."""

    steps: tuple[ScheduledStep, ...]

    @property
    def tokens(self) -> int:
        return sum(step.tokens for step in self.steps)

    @property
    def examples(self) -> int:
        return sum(len(step.rows) for step in self.steps)

    def __len__(self) -> int:
        return len(self.steps)


def schedule(
    arm: Arm,
    sets: Sets,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    match: Match = "steps",
    reference: Arm | None = None,
) -> Schedule:
    """The steps of `arm`, made equal to those of `reference` (None, or itself: its own in full).

    "examples": every row of every set, once per epoch. "steps": as many steps as the reference takes in all,
    which a mixture of the reference's first set has already. "tokens": it ends after the step in which it has
    learned from as many tokens as the reference in all. An arm of one phase that is too long ends early; a
    staged one loses the same share (up to a step) of every phase of every epoch, so that each epoch still has
    its phases; either goes on for more epochs where its own are too few. `batch_size` counts rows of a
    phase's first set, so a step of a mixture has more rows. Raises ConfigError for numbers below 1 and
    an unknown `match`, DataError for a set that is missing or empty and for a row without learned tokens.
    """
    if batch_size < 1 or epochs < 1:
        raise ConfigError(f"batch_size ({batch_size}) and epochs ({epochs}) must be 1 or more.")
    if match not in MATCHES:
        raise ConfigError(f"Arms are matched in steps, tokens or examples, not in {match!r}.")
    for name in (*arm.sets, *(reference.sets if reference is not None else ())):
        _require_rows(name, sets)
    own = _phases(arm, sets, batch_size, seed, epochs)
    if match == "examples" or reference is None or reference == arm:
        return Schedule(tuple(chain.from_iterable(own)))
    budget = _cost(chain.from_iterable(_phases(reference, sets, batch_size, seed, epochs)), match)
    per_epoch = _cost(chain.from_iterable(own), match) // epochs
    enough = -(-budget // per_epoch)
    if len(arm.phases) == 1:
        steps = chain.from_iterable(_phases(arm, sets, batch_size, seed, enough))
        return Schedule(tuple(_until(steps, budget, match)))
    phases = _phases(arm, sets, batch_size, seed, max(epochs, enough))
    return Schedule(tuple(_shortened(phases, budget, match)))


def _phases(arm: Arm, sets: Sets, batch_size: int, seed: int, epochs: int) -> list[list[ScheduledStep]]:
    """The steps of so many epochs, phase by phase."""
    return [phase for epoch in range(epochs) for phase in _epoch(arm, sets, batch_size, seed, epoch)]


def _epoch(arm: Arm, sets: Sets, batch_size: int, seed: int, epoch: int) -> Iterator[list[ScheduledStep]]:
    """The steps of one epoch, phase by phase."""
    for number, phase in enumerate(arm.phases):
        first, *added = [_shuffled(name, len(sets[name]), seed, epoch) for name in phase.sets]
        batches = [list(first[start : start + batch_size]) for start in range(0, len(first), batch_size)]
        for more in added:
            # Batch b of k gets rows ⌊b m / k⌋ … ⌊(b + 1) m / k⌋ of m: no two batches differ by more than one.
            for place, batch in enumerate(batches):
                low, high = (at * len(more) // len(batches) for at in (place, place + 1))
                batch.extend(more[low:high])
        yield [
            ScheduledStep(tuple(batch), epoch, number, sum(sets[one.set][one.row] for one in batch))
            for batch in batches
        ]


def _shuffled(name: str, rows: int, seed: int, epoch: int) -> list[Drawn]:
    order = stream("validation", name, seed, epoch).permutation(rows)
    return [Drawn(name, int(row)) for row in order]


def _cost(steps: Iterable[ScheduledStep], match: Match) -> int:
    return sum(1 if match == "steps" else step.tokens for step in steps)


def _until(steps: Iterable[ScheduledStep], budget: int, match: Match) -> Iterator[ScheduledStep]:
    """Steps until their cost reaches the budget."""
    spent = 0
    for step in steps:
        if spent >= budget:
            return
        yield step
        spent += _cost([step], match)


def _shortened(phases: Sequence[list[ScheduledStep]], budget: int, match: Match) -> Iterator[ScheduledStep]:
    """The first steps of every phase, so that the cost up to a phase's end is that end's share of the budget.

    A phase ends after the step that reaches its share.
    """
    total = sum(_cost(phase, match) for phase in phases)
    spent = passed = 0
    for phase in phases:
        passed += _cost(phase, match)
        for step in phase:
            if spent * total >= passed * budget:
                break
            yield step
            spent += _cost([step], match)


def _require_rows(name: str, sets: Sets) -> None:
    if name not in sets:
        raise DataError(f"There is no set {name!r}; the sets are {', '.join(sets)}.")
    if not len(sets[name]):
        raise DataError(f"The set {name!r} is empty; give it at least one example.")
    if min(sets[name]) < 1:
        row = list(sets[name]).index(min(sets[name]))
        raise DataError(f"Row {row + 1} of the set {name!r} has no learned token; leave it out.")
