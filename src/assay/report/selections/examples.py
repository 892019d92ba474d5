"""Which candidates to read: both ends of what decided, those around the line, those without a score.

Knows the result, and no page. The same result gives the same candidates.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.report.selections.deciding import Side, scored, sides_of
from assay.report.words import count, figure, label
from assay.selection.orders import best_first
from assay.selection.result import SelectionResult

EACH = 5
AROUND = 3
MOST_FLIPS = 2


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that are read together, best first unless the title says otherwise."""

    title: str
    candidates: tuple[int, ...]


def groups_of(result: SelectionResult) -> list[Group]:
    """For every deciding column the highest, the lowest and those around the line; then a few without score.

    Where no column decided, the first of kept and dropped in the order of the pool.
    """
    sides = sides_of(result)
    if not sides:
        kinds = (("kept", np.flatnonzero(result.kept)), ("dropped", np.flatnonzero(~result.kept)))
        return [Group(f"The first {kind}", _some(rows)) for kind, rows in kinds if len(rows)]
    groups = []
    without = np.zeros(len(result.pool), dtype=bool)
    for side in sides:
        values = result.scores[side.name]
        groups += _of_order(best_first(values), values, result.kept, side)
        without |= ~scored(values)
    if without.any():
        rows = np.flatnonzero(without)
        groups.append(Group(f"Without a score ({count(len(rows), 'example')})", _some(rows)))
    return groups


def _of_order(
    order: Int[np.ndarray, "m"], values: Float[np.ndarray, "n"], kept: Bool[np.ndarray, "n"], side: Side
) -> list[Group]:
    name = f"{side.symbols[0]}, {label(side.name, 40)}" if side.low is not None else label(side.name, 40)
    if len(order) <= 2 * EACH:
        return [Group(f"All by {name}, highest first", _some(order, 2 * EACH))] if len(order) else []
    highest, lowest = _some(order), _some(order[::-1])
    ends = [Group(f"Highest by {name}", highest), Group(f"Lowest by {name}, lowest first", lowest)]
    if side.low:
        ends.reverse()
    around = _around(order, values, kept, side, name)
    seen = {*highest, *lowest}
    return [
        *ends,
        *(group for group in around if not seen.issuperset(group.candidates)),
    ]


def _around(
    order: Int[np.ndarray, "m"],
    values: Float[np.ndarray, "n"],
    kept: Bool[np.ndarray, "n"],
    side: Side,
    name: str,
) -> list[Group]:
    """On both sides of each line that a rule drew in the order; else what was decided against the order."""
    decided = kept[order]
    if side.score_at is not None:
        distance = np.abs(values[order] - side.score_at)
        near = [order[decided == keep][_nearest(distance[decided == keep])] for keep in (False, True)]
        rows = np.concatenate(near)
        title = f"Around the threshold of {name} ({figure(side.score_at)})"
        return [Group(title, _some(rows[np.argsort(-values[rows], kind="stable")], 2 * AROUND))]
    flips = np.flatnonzero(decided[1:] != decided[:-1]) + 1
    if len(flips) <= MOST_FLIPS:
        which = ("upper ", "lower ") if len(flips) == 2 else ("",)
        return [
            Group(
                f"Around the {end}line drawn by {name}",
                _some(order[max(0, flip - AROUND) : flip + AROUND], 2 * AROUND),
            )
            for end, flip in zip(which, flips.tolist(), strict=False)
        ]
    rising = decided[: len(order) // 2].sum() < decided[len(order) // 2 :].sum()
    best_first = order[::-1] if rising else order
    decided = kept[best_first]
    passed, taken = best_first[~decided][:AROUND], best_first[decided][::-1][:AROUND]
    high, low = ("Lowest", "Highest") if rising else ("Highest", "Lowest")
    return [
        Group(f"{high} by {name} that were dropped", _some(passed)),
        Group(f"{low} by {name} that were kept", _some(taken)),
    ]


def _nearest(distance: Float[np.ndarray, "k"]) -> Int[np.ndarray, "j"]:
    return np.argsort(distance, kind="stable")[:AROUND]


def _some(rows: Int[np.ndarray, "k"], most: int = EACH) -> tuple[int, ...]:
    return tuple(int(row) for row in rows[:most])
