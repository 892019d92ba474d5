"""Rules that give many a turn: queries that choose one after another, sources or tasks that share a budget.

Pure functions over arrays.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from assay.data.texts import counted
from assay.errors import ConfigError
from assay.selection.budget import Limit
from assay.selection.choice import Choice, on_short, on_unscored, require_some
from assay.selection.orders import best_first, chosen, places

SHOWN = 12
"""How many groups a sentence lists."""

Shares = Literal["size", "equal"]


def round_robin(
    scores: Float[np.ndarray, "n q"], limit: Limit, score: str, names: Sequence[str], noun: str = "query"
) -> Choice:
    """Each of q queries (or tasks: `noun`) in turn takes its best candidate that nobody has taken yet.

    With queries the selection of RDS+ (Ivison et al. 2025, arXiv 2503.01807). Turns go in the order of the
    columns, which are called `names`; `score` is what they hold. A candidate is never taken by a query for
    which it has no score. `preference` is minus the place in the order of taking. Raises ConfigError where
    there is no column or nobody has a score.
    """
    n, queries = scores.shape
    if queries != len(names) or not queries:
        raise ConfigError(f"round_robin needs a score for every {noun}; there are {queries} columns.")
    depth = limit.amount if limit.unit == "candidates" else n
    best_rank = np.full(n, n + 1, dtype=np.int64)
    best_by = np.full(n, -1, dtype=np.int64)
    orders = []
    for column in range(queries):
        order = best_first(scores[:, column])
        rank = places(order, n)
        better = (rank > 0) & (rank < best_rank)
        best_rank[better], best_by[better] = rank[better], column
        orders.append(order[:depth].tolist())
    turns: list[tuple[int, int]] = []
    filled = limit.fill(_taking(orders, n, turns))
    require_some(filled, limit, f"any {noun}")
    preference = np.full(n, np.nan)
    preference[filled.kept] = -np.arange(1.0, len(filled.kept) + 1)
    takers = dict(zip(filled.kept, turns, strict=False))
    reasons = []
    for i in range(n):
        if i in takers:
            column, number = takers[i]
            reasons.append(f"{noun} {names[column]} took it in round {number:,}")
        elif best_by[i] < 0:
            reasons.append(f"no score for any {noun}, so not chosen")
        else:
            taker = f"{noun} {names[best_by[i]]}"
            reasons.append(
                f"not taken before the budget was full; its best rank is {best_rank[i]:,}, for {taker}"
            )
    rounds = turns[len(filled.kept) - 1][1]
    reading = (
        f"Each of {queries:,} {_plural(noun, queries)} in turn took the candidate with its highest {score} "
        f"that was left, for {counted(rounds, 'round')}, until the budget of {limit} was full; equal scores "
        "go by the order of the pool.",
        *on_unscored(int((best_by < 0).sum()), f"any {noun}", kept=False),
        *on_short(filled, limit, "nobody else has a score"),
    )
    return Choice(chosen(filled.kept, n), tuple(reasons), reading, preference)


def balance(
    scores: Float[np.ndarray, "n"],
    limit: Limit,
    name: str,
    groups: Sequence[str],
    shares: Shares = "size",
    noun: str = "source",
) -> Choice:
    """Share the budget between groups, in proportion to their size or equally, and keep the best of each.

    The next to choose is always the group that lags most behind its share: the least (taken + ½ of its next)
    over its size, or over 1 where all share equally; sizes are in candidates, or in tokens where the budget
    is. For candidates in proportion this is Webster's method of apportionment. Of groups that lag the same,
    the one whose next candidate ranks better chooses. A group without candidates
    left leaves its share to the others; candidates without a score are never kept. Raises ConfigError where
    nobody has a score, or the first alone is over the budget.
    """
    n = len(scores)
    order = best_first(scores)
    members: dict[str, list[int]] = {group: [] for group in dict.fromkeys(groups)}
    for candidate in order.tolist():
        members[groups[candidate]].append(candidate)
    sizes: dict[str, int] = dict.fromkeys(members, 0)
    for size, group in zip(limit.sizes.tolist(), groups, strict=True):
        sizes[group] += size
    claims = sizes if shares == "size" else dict.fromkeys(members, 1)
    filled = limit.fill(_lagging(members, claims, limit.sizes, places(order, n)))
    require_some(filled, limit, name)
    kept = chosen(filled.kept, n)
    keeps = {group: int(kept[mine].sum()) for group, mine in members.items()}
    rank = np.zeros(n, dtype=np.int64)
    for mine in members.values():
        rank[mine] = np.arange(1, len(mine) + 1)
    reasons = tuple(
        f"rank {rank[i]:,} of {len(members[group]):,} by {name} in {noun} {group}, "
        f"which keeps {keeps[group]:,}"
        if rank[i]
        else f"no score by {name}, so not chosen"
        for i, group in enumerate(groups)
    )
    how = "in proportion to their size" if shares == "size" else "equally"
    reading = (
        f"Shared the budget of {limit} between {len(members):,} {_plural(noun, len(members))} {how}, and "
        f"kept the highest {name} of each: {_listed(keeps, members)}; equal scores go by the order of the "
        "pool.",
        *on_unscored(n - len(order), name, kept=False),
        *on_short(filled, limit, "nobody else has a score"),
    )
    return Choice(kept, reasons, reading, scores)


def _taking(orders: list[list[int]], candidates: int, turns: list[tuple[int, int]]) -> Iterator[int]:
    """Candidates in the order in which they are taken; (column, round) of each is added to `turns`."""
    taken = np.zeros(candidates, dtype=bool)
    place = [0] * len(orders)
    number, before = 1, -1
    while len(turns) > before:
        before = len(turns)
        for column, order in enumerate(orders):
            while place[column] < len(order) and taken[order[place[column]]]:
                place[column] += 1
            if place[column] < len(order):
                candidate = order[place[column]]
                taken[candidate] = True
                turns.append((column, number))
                yield candidate
        number += 1


def _lagging(
    members: dict[str, list[int]],
    claims: dict[str, int],
    sizes: Int[np.ndarray, "n"],
    rank: Int[np.ndarray, "n"],
) -> Iterator[int]:
    """The best candidate left of the group that lags most, again and again.

    Of groups that lag the same, the one whose next candidate ranks better.
    """

    def waiting(taken: int, group: str, place: int) -> tuple[float, int, str, int, int]:
        candidate = members[group][place]
        lag = (taken + int(sizes[candidate]) / 2) / max(1, claims[group])
        return lag, int(rank[candidate]), group, place, taken

    heap = [waiting(0, group, 0) for group in members if members[group]]
    heapq.heapify(heap)
    while heap:
        _, _, group, place, taken = heap[0]
        candidate = members[group][place]
        yield candidate
        if place + 1 < len(members[group]):
            heapq.heapreplace(heap, waiting(taken + int(sizes[candidate]), group, place + 1))
        else:
            heapq.heappop(heap)


def _listed(keeps: dict[str, int], members: dict[str, list[int]]) -> str:
    shown = [f"{group} keeps {keeps[group]:,} of {len(members[group]):,}" for group in list(members)[:SHOWN]]
    more = len(members) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more" if more else "")


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
