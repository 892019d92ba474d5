"""What a rule says: which candidates are kept, a reason for each, and sentences. Knows no rules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Bool, Float

from assay.data.texts import counted
from assay.errors import ConfigError
from assay.selection.budget import Filled, Limit
from assay.selection.result import Region


class Reasons(Sequence[str]):
    """A clause for each of n candidates, made when it is asked for. Equal to any sequence of the same."""

    def __init__(self, candidates: int, say: Callable[[int], str]) -> None:
        self._candidates, self._say = candidates, say

    def __len__(self) -> int:
        return self._candidates

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...

    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice):
            return tuple(map(self._say, range(*at.indices(self._candidates))))
        row = at + self._candidates if at < 0 else at
        if not 0 <= row < self._candidates:
            raise IndexError(f"candidate {at} of {self._candidates}")
        return self._say(row)

    def __iter__(self) -> Iterator[str]:
        return map(self._say, range(self._candidates))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            ours == theirs for ours, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The decision of one rule on n candidates.

    `reasons` has a clause for each, `reading` the sentences on what was done. `preference` is what the rule
    went by, higher is better, NaN where it knows nothing of a candidate; weights by rank follow it.
    """

    kept: Bool[np.ndarray, "n"]
    reasons: Sequence[str]
    reading: tuple[str, ...]
    preference: Float[np.ndarray, "n"]
    region: Region | None = None


def require_some(filled: Filled, limit: Limit, name: str) -> None:
    """Raise ConfigError where nothing could be kept: nobody has a score, or the first is over the budget."""
    if len(filled.kept):
        return
    if filled.over is None:
        raise ConfigError(f"No candidate has a score by {name}, so there is nothing to choose by.")
    raise ConfigError(
        f"The first candidate in the order of {name} alone has {int(limit.sizes[filled.over]):,} "
        f"{limit.unit}, more than the budget of {limit.amount:,}; give a larger one."
    )


def require_room(unscored: int, taken: int, limit: Limit, name: str) -> None:
    """Raise ConfigError where those without a score, who all stay, would fill the budget alone."""
    if unscored and taken >= limit.amount:
        raise ConfigError(
            f"{counted(unscored, 'candidate')} without a score by {name} would be kept, with {taken:,} of "
            f"the {limit.amount:,} {limit.unit} of the budget; score them, or take the rule top."
        )


def on_unscored(unscored: int, name: str, kept: bool) -> tuple[str, ...]:
    """The sentence on candidates without a score, where there are any."""
    if not unscored:
        return ()
    what = "kept, since nothing speaks for dropping them" if kept else "not chosen"
    have, are = ("has", "is") if unscored == 1 else ("have", "are")
    return (f"{counted(unscored, 'candidate')} {have} no score by {name} and {are} {what}.",)


def on_short(filled: Filled, limit: Limit, why: str) -> tuple[str, ...]:
    """The sentence on a budget that was not filled because nobody was left."""
    if filled.over is not None or filled.taken == limit.amount:
        return ()
    return (f"The budget of {limit} is not filled ({filled.taken:,}): {why}.",)
