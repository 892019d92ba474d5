"""Reasons grouped: those that say the same but for their numbers are one. Knows only their words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.selection.result import SelectionResult

_NUMBER = re.compile(
    r"(?<![\w.\-/:])([-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?%?)(?![\w\-/:]|\.\w)", re.IGNORECASE
)
_ANOTHER = re.compile(r"(?<= to )\S.*(?=, which is kept$)", re.DOTALL)
MOST_KINDS = 12


@dataclass(frozen=True, slots=True)
class Kind:
    """Candidates of one decision whose reasons are alike; numbers that differ are a range."""

    kept: bool
    said: str
    candidates: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Kinds that are too many to show: how many, and of how many candidates."""

    kept: bool
    kinds: int
    candidates: int


class _Members:
    """Those of one kind so far: how many, their tokens, and for each place the least and the most."""

    def __init__(self, numbers: list[str]) -> None:
        self.candidates = self.tokens = 0
        self.least, self.most = list(numbers), list(numbers)

    def add(self, numbers: list[str], tokens: int) -> None:
        self.candidates += 1
        self.tokens += tokens
        for place, number in enumerate(numbers):
            value = _value(number)
            if value < _value(self.least[place]):
                self.least[place] = number
            if value > _value(self.most[place]):
                self.most[place] = number


def kinds_of(result: SelectionResult, most: int = MOST_KINDS) -> tuple[list[Kind], list[Rest]]:
    """Dropped before kept, of each at most `most` kinds, the largest first; and the rest."""
    members: dict[tuple[bool, tuple[str, ...]], _Members] = {}
    for keep, reason, tokens in zip(result.kept, result.reasons, result.pool.tokens, strict=True):
        parts = _NUMBER.split(_ANOTHER.sub("another", reason))
        numbers = parts[1::2]
        kind = members.setdefault((bool(keep), tuple(parts[::2])), _Members(numbers))
        kind.add(numbers, int(tokens))
    shown, rest = [], []
    for decision in (False, True):
        here = [(pieces, those) for (keep, pieces), those in members.items() if keep is decision]
        here.sort(key=lambda kind: -kind[1].candidates)
        for pieces, those in here[:most]:
            said = together(pieces, [those.least, those.most])
            shown.append(Kind(decision, said, those.candidates, those.tokens))
        if here[most:]:
            rest.append(Rest(decision, len(here) - most, sum(those.candidates for _, those in here[most:])))
    return shown, rest


def together(pieces: Sequence[str], numbers: Sequence[Sequence[str]]) -> str:
    """The words between numbers, and for each place the numbers of all reasons as one or as a range.

    >>> together(["rank ", " of ", " by loss"], [["7", "9"], ["12", "9"]])
    'rank 7 to 12 of 9 by loss'
    """
    said = [pieces[0]]
    for found, piece in zip(zip(*numbers, strict=True), pieces[1:], strict=True):
        rising = sorted(set(found), key=_value)
        same = _value(rising[0]) == _value(rising[-1])
        said += [rising[0] if same else f"{rising[0]} to {rising[-1]}", piece]
    return "".join(said)


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-").rstrip("%"))
