"""What a finished craft tells: how many examples were made, what was not and why, and what it took.

Knows no files.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.asking.spent import Price, Spent
from assay.crafting.outcome import Failed, LeftOut
from assay.data.texts import counted
from assay.runs.crafting.outputs import REJECTS
from assay.runs.crafting.working import Result

VARYING = re.compile(r'"[^"]*"|“[^”]*”|\d+(?:[.,]\d+)*')
COMMONEST = 3
SAME_WORDS = 3
"""Reasons of one step that begin with so many same words, numbers and quotes aside, are counted as one."""


@dataclass(slots=True)
class Tally:
    """Counts of references and replies, and the reasons why some references are in no set."""

    references: int = 0
    made: int = 0
    left_out: int = 0
    rejected: int = 0
    unanswered: int = 0
    dropped: int = 0
    edited: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, result: Result) -> None:
        """Count a reference. A build may have made something of it and rejected something, too."""
        self.references += 1
        for problem in result.problems:
            outcome = problem.outcome
            if isinstance(outcome, LeftOut):
                self.left_out += 1
            elif isinstance(outcome, Failed):
                self.unanswered += 1
            else:
                self.rejected += 1
            where = f"{problem.strategy}, {outcome.step}"
            words = VARYING.sub("…", outcome.reason).split()[:SAME_WORDS]
            self.reasons[self._first.setdefault(f"{where}: {words}", f"{where}: {outcome.reason}")] += 1


@dataclass(frozen=True, slots=True)
class Craft:
    """A finished craft.

    `sets` are the files by name of the set and `examples` how many each holds. `spent` is what asking took.
    `study` is the command that runs the study, None for a build.
    """

    folder: Path
    sets: Mapping[str, Path]
    examples: Mapping[str, int]
    tally: Tally
    spent: Spent
    price: Price | None = None
    study: str | None = None


def craft_told(done: Craft) -> Iterator[str]:
    """What a person should know at the end, a line each."""
    tally = done.tally
    sets = ", ".join(f"{name} {count:,}" for name, count in done.examples.items())
    yield f"Made of {counted(tally.references, 'reference')}: {sets}."
    if tally.edited or tally.dropped:
        yield f"By review: {tally.edited:,} edited, {counted(tally.dropped, 'reference')} dropped."
    if tally.left_out or tally.rejected or tally.unanswered:
        unanswered = f"without a reply {tally.unanswered:,}"
        yield f"Left out {tally.left_out:,}, rejected {tally.rejected:,}, {unanswered}:"
        for reason, count in tally.reasons.most_common(COMMONEST):
            yield f"  {count:,} × {reason}{', and the like' if count > 1 else ''}"
        if (more := len(tally.reasons) - COMMONEST) > 0:
            yield f"  and {counted(more, 'other reason')}; all are in {done.folder / REJECTS}"
    if tally.unanswered:
        yield "The same command asks again for what got no reply."
    yield from _replies(done)


def _replies(done: Craft) -> Iterator[str]:
    spent = done.spent
    if not spent.used.replies and not spent.calls:
        yield "No model was asked."
        return
    retried = f", {counted(spent.retries, 'retry')}".replace("retrys", "retries") if spent.retries else ""
    yield f"Asked {counted(spent.calls, 'time')}, {spent.cached:,} replies from the cache{retried}."
    used, bought = spent.used, spent.bought
    if used.uncounted == used.replies:
        yield "The server counted no tokens."
        return
    now = "" if bought == used else f" ({bought.prompt_tokens:,} and {bought.completion_tokens:,} now)"
    rest = f"; {used.uncounted:,} replies without a count" if used.uncounted else ""
    yield f"Tokens: {used.prompt_tokens:,} of prompts, {used.completion_tokens:,} of replies{now}{rest}."
    if done.price is not None:
        yield f"Cost at your prices: {done.price.of(used):,.4f}, {done.price.of(bought):,.4f} of it now."
