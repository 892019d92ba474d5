"""One answer, or one pair of answers, before a judge: generators for `asking.drive`.

Knows no client. The same replies give the same requests and the same judgement.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from assay.asking.request import Failure, Reply, Request, Turn
from assay.data.final_answer import spoken
from assay.judging.judgement import Better, Case, Judgement, Pairing, Preference
from assay.judging.prompts import comparison_turns, verdict_turns
from assay.judging.reading import Heard, comparison_of, verdict_of

T = TypeVar("T")
Asking = Generator[Request, Reply | Failure, T]

AGAIN = 0.7
"""Temperature from the second try on, or a reply that could not be read would come again."""
TURNED: dict[Better, Better] = {"first": "second", "second": "first", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Manner:
    """How a judge is asked: most tries for each verdict, temperature of the first, most tokens of a reply."""

    attempts: int = 3
    temperature: float = 0.0
    max_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class _Ended(Generic[T]):
    """What the last try gave, how many there were, and the failure that ended them, if one did."""

    heard: Heard[T]
    asked: int
    failure: Failure | None = None

    @property
    def flags(self) -> dict[str, bool]:
        """Why there is no verdict; all are False where there is one."""
        none = self.heard.value is None
        refused = self.heard.refused or (self.failure is not None and self.failure.refused)
        failed = self.failure is not None and not self.failure.refused
        return {
            "refused": none and refused,
            "failed": none and failed,
            "unreadable": none and not (refused or failed),
        }


def judge(one: Case, manner: Manner = Manner()) -> Asking[Judgement]:
    """Whether an answer is right, as the judge sees it.

    An answer of nothing but white space (behind its reasoning) is wrong without asking.
    """
    if not spoken(one.answer).strip():
        return Judgement(one.id, False, "the answer is empty")
    ended = yield from _asked(verdict_turns(one), verdict_of, f"judging {one.id}", manner)
    return Judgement(one.id, ended.heard.value, ended.heard.reason, asked=ended.asked, **ended.flags)


def compare(one: Pairing, manner: Manner = Manner()) -> Asking[Preference]:
    """Which of two answers is better, asked with both orders.

    Equal answers tie without asking. Where the first order gives no verdict the second is not asked for.
    """
    if spoken(one.first).strip() == spoken(one.second).strip():
        return Preference(one.id, "tie", (None, None), "the answers are equal")
    where = f"comparing {one.id}"
    ended = yield from _asked(comparison_turns(one, swapped=False), comparison_of, where, manner)
    plain = ended.heard.value
    if plain is None:
        return Preference(one.id, None, (None, None), ended.heard.reason, asked=ended.asked, **ended.flags)
    turned = yield from _asked(comparison_turns(one, swapped=True), comparison_of, f"{where}, turned", manner)
    asked = ended.asked + turned.asked
    if turned.heard.value is None:
        return Preference(one.id, None, (plain, None), turned.heard.reason, asked=asked, **turned.flags)
    other = TURNED[turned.heard.value]
    better: Better = plain if plain == other else "tie"
    reason = ended.heard.reason if plain == other else f"{ended.heard.reason} / {turned.heard.reason}"
    return Preference(one.id, better, (plain, other), reason, asked=asked)


def _asked(
    turns: tuple[Turn, ...], read: Callable[[Reply], Heard[T]], where: str, manner: Manner
) -> Asking[_Ended[T]]:
    """Ask until a reply can be read, at most `attempts` times. The client has retried a failure already."""
    heard: Heard[T] = Heard(None, "it was not asked")
    for attempt in range(manner.attempts):
        temperature = max(manner.temperature, AGAIN) if attempt else manner.temperature
        reply = yield Request(turns, "judge", temperature, manner.max_tokens, attempt, where)
        if isinstance(reply, Failure):
            return _Ended(Heard(None, reply.reason), attempt + 1, reply)
        heard = read(reply)
        if heard.value is not None:
            return _Ended(heard, attempt + 1)
    return _Ended(heard, manner.attempts)
