"""What is judged and what comes of it. Knows no prompt and no model.

Whatever ends without a verdict is counted as what it is, and is never taken for a wrong answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

from assay.errors import DataError

Better = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to a question.

    `golden` is an answer that is known to be good; `key_checkpoints` are what a right answer must do, in
    words, if anybody wrote them down. Raises DataError for an empty golden answer.
    """

    id: str
    question: str
    golden: str
    answer: str
    key_checkpoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.golden.strip():
            raise DataError(f"{self.id} has no golden answer; write one, or leave the question out.")


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two answers to one question. Without a golden answer they are compared on their own."""

    id: str
    question: str
    first: str
    second: str
    golden: str | None = None
    key_checkpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, or why there is none.

    `right` is None exactly where one of the three flags is set: the judge or its server `refused`, no reply
    of it was `unreadable` in fewer tries than allowed, or asking `failed`. `reason` is the judge's own words,
    or what was wrong with the last try. `asked` counts requests, cached ones too.
    """

    example_id: str
    right: bool | None
    reason: str
    refused: bool = False
    unreadable: bool = False
    failed: bool = False
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of two answers is better, asked in both orders.

    `orders` are the verdicts with the first answer shown first and with it shown second, None where none came
    or none was asked for. `better` is what both say, "tie" where they differ, None where one is missing; the
    rest is as in `Judgement`.
    """

    example_id: str
    better: Better | None
    orders: tuple[Better | None, Better | None]
    reason: str
    refused: bool = False
    unreadable: bool = False
    failed: bool = False
    asked: int = 0

    @property
    def swayed(self) -> bool:
        """Whether the order of the two answers changed the verdict."""
        return None not in self.orders and self.orders[0] != self.orders[1]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many judgements ended how; they sum to `judged`. `asked` counts requests."""

    judged: int
    right: int
    wrong: int
    refused: int
    unreadable: int
    failed: int
    asked: int

    @classmethod
    def of(cls, judgements: Iterable[Judgement]) -> Self:
        all_of_them = list(judgements)
        return cls(
            judged=len(all_of_them),
            right=sum(one.right is True for one in all_of_them),
            wrong=sum(one.right is False for one in all_of_them),
            refused=sum(one.refused for one in all_of_them),
            unreadable=sum(one.unreadable for one in all_of_them),
            failed=sum(one.failed for one in all_of_them),
            asked=sum(one.asked for one in all_of_them),
        )

    @property
    def without_verdict(self) -> int:
        return self.refused + self.unreadable + self.failed


@dataclass(frozen=True, slots=True)
class Contest:
    """How two sets of answers did against each other.

    `ties` holds the `swayed` ones too: pairs whose verdict changed with the order. `shown_first` and
    `shown_second` count single verdicts for the answer in that place, by which a judge's liking for a place
    is seen. `without_verdict` counts pairs.
    """

    first: int
    second: int
    ties: int
    swayed: int
    without_verdict: int
    shown_first: int
    shown_second: int

    @classmethod
    def of(cls, preferences: Iterable[Preference]) -> Self:
        pairs = list(preferences)
        orders = [one.orders for one in pairs]
        return cls(
            first=sum(one.better == "first" for one in pairs),
            second=sum(one.better == "second" for one in pairs),
            ties=sum(one.better == "tie" for one in pairs),
            swayed=sum(one.swayed for one in pairs),
            without_verdict=sum(one.better is None for one in pairs),
            shown_first=sum((a == "first") + (b == "second") for a, b in orders),
            shown_second=sum((a == "second") + (b == "first") for a, b in orders),
        )
