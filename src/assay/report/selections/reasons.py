"""Reasons grouped: those that say the same but for their numbers are one. Knows only their words."""

import re
from collections import defaultdict
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


def kinds_of(result: SelectionResult, most: int = MOST_KINDS) -> tuple[list[Kind], list[Rest]]:
    """Dropped before kept, of each at most `most` kinds, the largest first; and the rest."""
    members: dict[tuple[bool, tuple[str, ...]], list[int]] = defaultdict(list)
    numbers: list[list[str]] = []
    for candidate, (keep, reason) in enumerate(zip(result.kept.tolist(), result.reasons, strict=True)):
        parts = _NUMBER.split(_ANOTHER.sub("another", reason))
        members[keep, tuple(parts[::2])].append(candidate)
        numbers.append(parts[1::2])
    shown, rest = [], []
    for decision in (False, True):
        here = [(pieces, those) for (keep, pieces), those in members.items() if keep is decision]
        here.sort(key=lambda kind: -len(kind[1]))
        for pieces, those in here[:most]:
            said = together(pieces, [numbers[i] for i in those])
            shown.append(Kind(decision, said, len(those), int(result.pool.tokens[those].sum())))
        if here[most:]:
            rest.append(Rest(decision, len(here) - most, sum(len(those) for _, those in here[most:])))
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
