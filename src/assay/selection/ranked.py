"""Rules that go down one order of scores: the best, all but the worst, a band in between.

Pure functions over arrays. The order is highest score first, equal scores in candidate order.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.data.texts import counted
from assay.errors import ConfigError
from assay.selection.budget import Limit, in_turn
from assay.selection.choice import Choice, Reasons, on_short, on_unscored, require_room, require_some
from assay.selection.orders import best_first, chosen, figure, percent, places


def top(scores: Float[np.ndarray, "n"], limit: Limit, name: str) -> Choice:
    """Keep the highest scores until the budget is full. Candidates without a score are never kept.

    Raises ConfigError where nobody has a score, or the first alone is over the budget.
    """
    order = best_first(scores)
    filled = limit.fill(in_turn(order))
    require_some(filled, limit, name)
    kept = chosen(filled.kept, len(scores))
    reading = (
        f"Kept the highest {name} first until the budget of {limit} was full: "
        f"{_ends(scores, order, kept)}; equal scores go by the order of the pool.",
        *on_unscored(len(scores) - len(order), name, kept=False),
        *on_short(filled, limit, "nobody else has a score"),
    )
    return Choice(kept, _reasons(order, kept, name, lambda _: "beyond the budget"), reading, scores)


def trim(scores: Float[np.ndarray, "n"], limit: Limit, name: str) -> Choice:
    """Drop the lowest scores until the rest is within the budget. Candidates without a score are kept.

    Raises ConfigError where those without a score fill the budget alone.
    """
    order = best_first(scores)
    without = np.flatnonzero(np.isnan(scores))
    room = Limit(limit.sizes, limit.amount - limit.taken(without), limit.unit)
    require_room(len(without), limit.taken(without), limit, name)
    filled = room.fill(in_turn(order))
    require_some(filled, room, name)
    kept = chosen(filled.kept, len(scores))
    kept[without] = True
    reading = (
        f"Dropped the lowest {name} first until the rest was within the budget of {limit}: "
        f"{_ends(scores, order, kept)}; equal scores go by the order of the pool, the last first.",
        *on_unscored(len(without), name, kept=True),
    )
    return Choice(kept, _reasons(order, kept, name, lambda _: "among the lowest"), reading, scores)


def middle(scores: Float[np.ndarray, "n"], limit: Limit, name: str, start: float | None = None) -> Choice:
    """Keep a band of the order: the highest share `start` in [0, 1) is passed over, then the budget filled.

    Without `start` the band lies in the middle. Both are rounded towards the highest score; with a budget of
    tokens, they are shares of learned tokens. Candidates without a score are never kept. Raises ConfigError
    where the band would end beyond the lowest score.
    """
    if start is not None and not 0 <= start < 1:
        raise ConfigError(f"The band cannot start at {start:g}; give a share from 0 up to, but not, 1.")
    order = best_first(scores)
    before = np.concatenate([[0], np.cumsum(limit.sizes[order])])
    whole = int(before[-1])
    if limit.amount > whole and len(order):
        raise ConfigError(
            f"The budget is {limit.amount:,} {limit.unit}, but those with a score by {name} have {whole:,}."
        )
    skip = Fraction(whole - limit.amount, 2) if start is None else Fraction(str(start)) * whole
    if skip + limit.amount > whole:
        raise ConfigError(
            f"A band of {limit.amount:,} of {whole:,} {limit.unit} cannot start at {float(start or 0):g}; "
            f"start it at {int(100 * Fraction(whole - limit.amount, whole)) / 100:g} or before, or give a "
            "smaller budget."
        )
    first = int(np.searchsorted(before, int(skip), side="right")) - 1
    filled = limit.fill(in_turn(order[first:]))
    require_some(filled, limit, name)
    kept = chosen(filled.kept, len(scores))
    last = first + len(filled.kept)
    where = "around the middle" if start is None else f"after the first share of {start:g}"
    high, low = figure(scores[order[first]]), figure(scores[order[last - 1]])
    reading = (
        f"Kept a band of the order of {name}, highest first, {where}, until the budget of {limit} was "
        f"full: ranks {first + 1:,} to {last:,} of {len(order):,}, with {high} down to {low}; equal "
        "scores go by the order of the pool.",
        *on_unscored(len(scores) - len(order), name, kept=False),
    )
    why = ("above the band", "below the band")
    return Choice(kept, _reasons(order, kept, name, lambda rank: why[rank > first]), reading, scores)


def _ends(scores: Float[np.ndarray, "n"], order: Int[np.ndarray, "m"], kept: Bool[np.ndarray, "n"]) -> str:
    """The lowest kept and the highest dropped score, in words."""
    inside = order[kept[order]]
    outside = order[~kept[order]]
    said = (
        f"{counted(len(inside), 'candidate')}, {percent(len(inside), len(order))} of those with a score, "
        f"have {figure(scores[inside[-1]])} or more"
    )
    return said if not len(outside) else f"{said}, the highest dropped has {figure(scores[outside[0]])}"


def _reasons(
    order: Int[np.ndarray, "m"], kept: Bool[np.ndarray, "n"], name: str, why: Callable[[int], str]
) -> Reasons:
    """A clause for each: the rank, and why it was dropped, by its rank."""
    ranks, of = places(order, len(kept)), len(order)

    def said(i: int) -> str:
        rank = int(ranks[i])
        if not rank:
            return f"no score by {name}, so {'kept' if kept[i] else 'not chosen'}"
        place = f"rank {rank:,} of {of:,} by {name}"
        return place if kept[i] else f"{place}, {why(rank)}"

    return Reasons(len(kept), said)
