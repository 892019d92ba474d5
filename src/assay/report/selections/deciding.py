"""Which scores decided, and where the line was drawn: as far as a result says so. Knows no charts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from assay.selection.result import SelectionResult
from assay.selection.rules import RULES
from assay.selection.select import RANK


@dataclass(frozen=True, slots=True)
class Side:
    """A column that decided. Of pruning rules: which end is dropped, and thresholds of score and rank."""

    name: str
    low: bool | None = None
    score_at: float | None = None
    rank_at: float | None = None

    @property
    def symbols(self) -> tuple[str, str]:
        """What the paper of influence pruning calls score and rank; empty for other rules."""
        return ("", "") if self.low is None else ("s_C", "r_C") if self.low else ("s_I", "r_I")

    @property
    def rank(self) -> str:
        """The column of mean percentile ranks, which not every result has."""
        return RANK.format(self.name)


def sides_of(result: SelectionResult) -> list[Side]:
    """The deciding columns that the result holds, s_C first; none where there is no score at all."""
    region = result.region
    if region is None:
        return [Side(result.order)] if result.order in result.scores else []
    sides = (
        Side(region.x, True, region.low_x, region.low_rank_x),
        Side(region.y, False, region.high_y, region.high_rank_y),
    )
    both = result.rule == "combined"
    return [
        side
        for side in sides
        if side.name in result.scores and (both or side.name == result.order or side.score_at is not None)
    ]


def choosing(result: SelectionResult) -> str:
    """Who chose, each by a score of its own: "queries" or "tasks"; nothing where columns decided."""
    rule = RULES.get(result.rule)
    if rule is None or not rule.asks_queries:
        return ""
    return "tasks" if result.about.get("turns") == "task" else "queries"


def others_of(result: SelectionResult) -> list[str]:
    """Columns of scores beside the deciding ones, ranks left out."""
    deciding = {side.name for side in sides_of(result)}
    ranks = {RANK.format(name) for name in result.scores}
    return [name for name in result.scores if name not in deciding | ranks]


def scored(values: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Candidates that have a score."""
    return np.asarray(np.isfinite(values))
