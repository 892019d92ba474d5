"""What asking has cost: requests, retries, tokens, and money where prices are known. Knows no client."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Self

from assay.asking.request import Failure, Reply


@dataclass(slots=True)
class Tally:
    """Replies and their tokens, but for those of `uncounted` replies, which came without a count."""

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0

    def add(self, reply: Reply) -> None:
        self.replies += 1
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            self.uncounted += 1
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in whatever money."""

    prompt: float
    completion: float

    def of(self, tally: Tally) -> float:
        """The cost of a tally's counted tokens."""
        return (self.prompt * tally.prompt_tokens + self.completion * tally.completion_tokens) / 1e6


@dataclass(slots=True)
class Spent:
    """What was asked of one model, or of several.

    `calls` are requests that came to an end, each once however often it was retried; `failures` those of them
    without a reply; `cached` are replies that were there already, or that another step was waiting for.
    `bought` counts the tokens of the calls, `used` those of every reply that a step was given, cached or not:
    a rerun buys nothing and uses the same.
    """

    calls: int = 0
    cached: int = 0
    retries: int = 0
    failures: int = 0
    bought: Tally = field(default_factory=Tally)
    used: Tally = field(default_factory=Tally)

    def ended(self, answer: Reply | Failure) -> None:
        """A call came to an end."""
        self.calls += 1
        if isinstance(answer, Reply):
            self.bought.add(answer)
        else:
            self.failures += 1

    def given(self, reply: Reply, *, again: bool) -> None:
        """A step was given a reply; `again` where no call was made for it."""
        self.cached += again
        self.used.add(reply)

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """The sum of several models' counts."""
        total = cls()
        for part in parts:
            for name in ("calls", "cached", "retries", "failures"):
                setattr(total, name, getattr(total, name) + getattr(part, name))
            for ours, theirs in ((total.bought, part.bought), (total.used, part.used)):
                for one in fields(Tally):
                    setattr(ours, one.name, getattr(ours, one.name) + getattr(theirs, one.name))
        return total
