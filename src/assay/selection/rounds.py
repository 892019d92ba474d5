"""Rules that give many a turn: queries that choose one after another, sources or tasks that share a budget.

Pure functions over arrays.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from assay.data.coded import Coded
from assay.data.texts import counted
from assay.errors import ConfigError
from assay.selection.budget import Limit
from assay.selection.choice import Choice, Reasons, on_short, on_unscored, require_some
from assay.selection.orders import best_first, chosen, places

SHOWN = 12
"""How many groups a sentence lists."""

LEAST_AHEAD = 2**12
"""Candidates that a query looks up at a time, at least."""

Shares = Literal["size", "equal"]
ByQuery = Float[np.ndarray, "n q"] | Sequence[Float[np.ndarray, "n"]]
"""Scores of n candidates for q queries: one array, or q columns that may be read as they are asked for."""


def round_robin(
    scores: ByQuery, limit: Limit, score: str, names: Sequence[str], noun: str = "query"
) -> Choice:
    """Each of q queries (or tasks: `noun`) in turn takes its best candidate that nobody has taken yet.

    With queries the selection of RDS+ (Ivison et al. 2025, arXiv 2503.01807). Turns go in the order of the
    columns, which are called `names`; `score` is what they hold. A candidate is never taken by a query for
    which it has no score. `preference` is minus the place in the order of taking. A column is in memory at a
    time, and of every query those that are next. Raises ConfigError where there is no column or nobody has a
    score.
    """
    columns = columns_of(scores)
    queries = len(columns)
    if queries != len(names) or not queries:
        raise ConfigError(f"round_robin needs a score for every {noun}; there are {queries} columns.")
    n = len(limit)
    best_rank = np.full(n, n + 1, dtype=np.int32)
    best_by = np.full(n, -1, dtype=np.int32)
    for column in range(queries):
        rank = places(best_first(columns[column]), n)
        better = (rank > 0) & (rank < best_rank)
        best_rank[better], best_by[better] = rank[better], column
    taken_by = np.full(n, -1, dtype=np.int32)
    taken_in = np.zeros(n, dtype=np.int32)
    filled = limit.fill(_taking(columns, taken_by, taken_in))
    require_some(filled, limit, f"any {noun}")
    kept = chosen(filled.kept, n)
    preference = np.full(n, np.nan)
    preference[filled.kept] = -np.arange(1.0, len(filled.kept) + 1)

    def said(i: int) -> str:
        if kept[i]:
            return f"{noun} {names[taken_by[i]]} took it in round {taken_in[i]:,}"
        if best_by[i] < 0:
            return f"no score for any {noun}, so not chosen"
        return (
            f"not taken before the budget was full; its best rank is {best_rank[i]:,}, for {noun} "
            f"{names[best_by[i]]}"
        )

    rounds = int(taken_in[filled.kept[-1]])
    reading = (
        f"Each of {queries:,} {_plural(noun, queries)} in turn took the candidate with its highest {score} "
        f"that was left, for {counted(rounds, 'round')}, until the budget of {limit} was full; equal scores "
        "go by the order of the pool.",
        *on_unscored(int((best_by < 0).sum()), f"any {noun}", kept=False),
        *on_short(filled, limit, "nobody else has a score"),
    )
    return Choice(kept, Reasons(n, said), reading, preference)


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
    labels = Coded.of(groups)
    members = _members(labels, order)
    sizes = dict(zip(labels.names, _sums(labels, limit.sizes), strict=True))
    claims = sizes if shares == "size" else dict.fromkeys(members, 1)
    filled = limit.fill(_lagging(members, claims, limit.sizes, places(order, n)))
    require_some(filled, limit, name)
    kept = chosen(filled.kept, n)
    keeps = {group: int(kept[mine].sum()) for group, mine in members.items()}
    rank = np.zeros(n, dtype=np.int32)
    for mine in members.values():
        rank[mine] = np.arange(1, len(mine) + 1)
    lengths = {group: len(mine) for group, mine in members.items()}

    def said(i: int) -> str:
        if not rank[i]:
            return f"no score by {name}, so not chosen"
        group = labels[i]
        return (
            f"rank {rank[i]:,} of {lengths[group]:,} by {name} in {noun} {group}, "
            f"which keeps {keeps[group]:,}"
        )

    how = "in proportion to their size" if shares == "size" else "equally"
    reading = (
        f"Shared the budget of {limit} between {len(members):,} {_plural(noun, len(members))} {how}, and "
        f"kept the highest {name} of each: {_listed(keeps, lengths)}; equal scores go by the order of the "
        "pool.",
        *on_unscored(n - len(order), name, kept=False),
        *on_short(filled, limit, "nobody else has a score"),
    )
    return Choice(kept, Reasons(n, said), reading, scores)


def columns_of(scores: ByQuery) -> Sequence[Float[np.ndarray, "n"]]:
    """One column after another."""
    return list(scores.T) if isinstance(scores, np.ndarray) else scores


def _taking(
    columns: Sequence[Float[np.ndarray, "n"]], taken_by: Int[np.ndarray, "n"], taken_in: Int[np.ndarray, "n"]
) -> Iterator[int]:
    """Candidates in the order in which they are taken; by which column, and in which round, is noted.

    Of every column the next of those that are left are looked up together: in all two for each candidate.
    """
    ahead = max(LEAST_AHEAD, 2 * len(taken_by) // len(columns))
    waiting: list[Int[np.ndarray, "k"]] = [np.empty(0, dtype=np.int32)] * len(columns)
    place = [0] * len(columns)
    open_ = list(range(len(columns)))
    number = 1
    while open_:
        for column in list(open_):
            while True:
                if place[column] == len(waiting[column]):
                    left = np.where(taken_by < 0, columns[column], np.nan)
                    waiting[column], place[column] = best_first(left)[:ahead].astype(np.int32), 0
                    if not len(waiting[column]):
                        open_.remove(column)
                        break
                candidate = int(waiting[column][place[column]])
                place[column] += 1
                if taken_by[candidate] < 0:
                    taken_by[candidate], taken_in[candidate] = column, number
                    yield candidate
                    break
        number += 1


def _members(labels: Coded[str], order: Int[np.ndarray, "m"]) -> dict[str, Int[np.ndarray, "k"]]:
    """The candidates of an order by their label, in that order."""
    codes = labels.codes[order]
    grouped = order[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes, minlength=len(labels.names)))
    return dict(zip(labels.names, np.split(grouped, ends[:-1]), strict=True))


def _sums(labels: Coded[str], sizes: Int[np.ndarray, "n"]) -> list[int]:
    found = np.zeros(len(labels.names), dtype=np.int64)
    np.add.at(found, labels.codes, sizes)
    return [int(total) for total in found]


def _lagging(
    members: dict[str, Int[np.ndarray, "k"]],
    claims: dict[str, int],
    sizes: Int[np.ndarray, "n"],
    rank: Int[np.ndarray, "n"],
) -> Iterator[int]:
    """The best candidate left of the group that lags most, again and again.

    Of groups that lag the same, the one whose next candidate ranks better.
    """

    def waiting(taken: int, group: str, place: int) -> tuple[float, int, str, int, int]:
        candidate = int(members[group][place])
        lag = (taken + int(sizes[candidate]) / 2) / max(1, claims[group])
        return lag, int(rank[candidate]), group, place, taken

    heap = [waiting(0, group, 0) for group in members if len(members[group])]
    heapq.heapify(heap)
    while heap:
        _, _, group, place, taken = heap[0]
        candidate = int(members[group][place])
        yield candidate
        if place + 1 < len(members[group]):
            heapq.heapreplace(heap, waiting(taken + int(sizes[candidate]), group, place + 1))
        else:
            heapq.heappop(heap)


def _listed(keeps: dict[str, int], lengths: dict[str, int]) -> str:
    shown = [f"{group} keeps {keeps[group]:,} of {lengths[group]:,}" for group in list(lengths)[:SHOWN]]
    more = len(lengths) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more" if more else "")


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
