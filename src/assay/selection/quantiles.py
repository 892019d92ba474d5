"""A moving quantile that a score and a rank share: when it takes a candidate in, and how that is said.

Knows no budgets. Places count candidates from the end that is dropped; of equal values the earlier candidate
is the higher.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.selection.orders import best_first, figure, percent, places


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Scores and mean percentile ranks on a query set (the column `name`), and whether low or high is bad."""

    name: str
    score: Float[np.ndarray, "n"]
    rank: Float[np.ndarray, "n"]
    low: bool

    @property
    def symbols(self) -> tuple[str, str]:
        """What the paper's quantities are called here."""
        return ("s_C", "r_C") if self.low else ("s_I", "r_I")


@dataclass(frozen=True, slots=True, eq=False)
class Quantiles:
    """At which quantile, counted in candidates, each is taken in: places from the bad end, 0 for none."""

    side: Side
    by_score: Int[np.ndarray, "n"]
    by_rank: Int[np.ndarray, "n"]
    known: int

    @classmethod
    def of(cls, side: Side, known: Bool[np.ndarray, "n"]) -> "Quantiles":
        def places_of(values: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
            order = best_first(np.where(known, values, np.nan))
            return places(order[::-1] if side.low else order, len(known))

        return cls(side, places_of(side.score), places_of(side.rank), int(known.sum()))

    @property
    def level(self) -> Int[np.ndarray, "n"]:
        """The smallest quantile that holds a candidate by score and by rank."""
        return np.asarray(np.maximum(self.by_score, self.by_rank))

    def level_of(self, candidate: int) -> int:
        """The same of one candidate."""
        return int(max(self.by_score[candidate], self.by_rank[candidate]))

    def in_turn(self) -> Int[np.ndarray, "m"]:
        """Known candidates in the order in which a growing quantile takes them in.

        Of two taken in at once, the one with the better of all places comes first, then the one by score.
        """
        level, better = self.level, np.minimum(self.by_score, self.by_rank)
        order = np.lexsort((self.by_score, better, level))
        return order[len(order) - self.known :]  # those without a place come first

    def threshold(self, level: int) -> tuple[float, float]:
        """Score and rank of the last candidates that the quantile takes in."""
        score, rank = (int(np.flatnonzero(each == level)[0]) for each in (self.by_score, self.by_rank))
        return float(self.side.score[score]), float(self.side.rank[rank])

    def said(self, level: int) -> str:
        """As in: the lowest 31.0% of s_C (-0.01 or less) and of r_C (0.41 or less)."""
        (s, r), (score, rank) = self.side.symbols, self.threshold(level)
        beyond = "or less" if self.side.low else "or more"
        return (
            f"the {self._end(level)} of {s} ({figure(score)} {beyond}) and of {r} ({figure(rank)} {beyond})"
        )

    def inside(self, candidate: int, level: int) -> str:
        """Why a candidate was dropped."""
        values = (float(each[candidate]) for each in (self.side.score, self.side.rank))
        both = " and ".join(f"{s} {figure(v)}" for s, v in zip(self.side.symbols, values, strict=True))
        return f"{both} are both among the {self._end(level)}"

    def outside(self, candidate: int, level: int) -> str:
        """Why a candidate was not dropped."""
        places_from_end = (int(self.by_score[candidate]), int(self.by_rank[candidate]))
        out = [s for s, place in zip(self.side.symbols, places_from_end, strict=True) if place > level]
        return f"{' and '.join(out)} not among the {self._end(level)}"

    def _end(self, level: int) -> str:
        return f"{'lowest' if self.side.low else 'highest'} {percent(level, self.known)}"
