"""What a scoring in context lets a selection say: difficulty beside influence, demonstrations, ablations.

Decides nothing.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from safetensors.numpy import load_file

from assay.runs.pairs_in_context import read_pairs
from assay.runs.scored import Scored
from assay.runs.scores.needs import COMPLEXITY, DIFFICULTY
from assay.selection.in_context import (
    PARTS,
    Ablation,
    Correlation,
    Demonstration,
    Difficulty,
    Influence,
    highest,
    shared_part,
    spread_of,
    top_shares,
)
from assay.selection.orders import best_first
from assay.selection.result import SelectionResult
from assay.selection.rules import Columns, Options
from assay.selection.select import select
from assay.validation.against import rank

MAIN = ("wici", "ici")
"""Columns that the report is about: the first that was scored."""
WITHOUT = {"wici_nearest": "clusters and complexity: the nearest neighbours", "ici": "weights"}
EACH = 3
"""Demonstrations to read at each end."""


def influence_of(
    scored: Scored, result: SelectionResult, columns: Columns, budget: str, options: Options
) -> Influence | None:
    """Everything that the report says of in-context influence; None where none was scored.

    `result` is the finished selection by `columns`, `budget` and `options`. Raises DataError where the pairs
    cannot be read or are of another pool.
    """
    name = next((one for one in MAIN if one in columns.scores), None)
    if name is None:
        return None
    scores = columns.scores[name]
    hard = _difficulties(scored, columns)
    order = best_first(scores)
    ends = order[:EACH].tolist(), order[::-1][: min(EACH, max(0, len(order) - EACH))].tolist()
    top = order[: max(1, int(PARTS[0] * len(order)))].tolist()
    pairs = read_pairs(scored.folder, scored.pool, [*ends[0], *ends[1]], top, name == "wici")
    most, least = (tuple(Demonstration(at, pairs.taught[at]) for at in end) for end in ends)
    ablations, whole = _ablations(name, result, columns, budget, options)
    return Influence(
        name=name,
        spread=spread_of(scores),
        difficulties=tuple(
            Difficulty(one, correlated(values, scores), top_shares(scores, values))
            for one, values in hard.items()
        ),
        difficulty=next(iter(hard.values()), None),
        most=most,
        least=least,
        ablations=ablations,
        whole=whole,
        pairs=pairs.count,
        left_out=pairs.left_out,
        carried=(pairs.carried, len(top)),
    )


def _difficulties(scored: Scored, columns: Columns) -> dict[str, Float[np.ndarray, "n"]]:
    """IFD, and complexity where it is something else: as it was scored, or as it chose the queries."""
    found = {name: columns.scores[name] for name in (DIFFICULTY, COMPLEXITY) if name in columns.scores}
    if COMPLEXITY not in found and (measured := _complexity(scored)) is not None:
        found[COMPLEXITY] = measured
    if len(found) == 2 and np.array_equal(found[DIFFICULTY], found[COMPLEXITY], equal_nan=True):
        del found[COMPLEXITY]
    return found


def _complexity(scored: Scored) -> Float[np.ndarray, "n"] | None:
    """The stored measure; None where there is none of the whole pool."""
    for folder in sorted((scored.folder / "measures").glob(f"*/{COMPLEXITY}")):
        parts = [load_file(path)[COMPLEXITY] for path in sorted(folder.glob("[0-9]*.safetensors"))]
        if sum(map(len, parts)) == len(scored.pool):
            return np.concatenate(parts).astype(np.float64)
    return None


def correlated(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"]) -> Correlation:
    """Spearman's correlation over the candidates that have both scores."""
    known = ~np.isnan(first) & ~np.isnan(second)
    found = rank(first[known].tolist(), second[known].tolist())
    return Correlation(found.value, found.low, found.high, found.n, found.method)


def _ablations(
    name: str, result: SelectionResult, columns: Columns, budget: str, options: Options
) -> tuple[tuple[Ablation, ...], str]:
    """Every choice with one part left out, and what they are held against.

    Where influence decided, that is the selection, and a score without one part chooses by the same rule;
    where another column decided, the highest of as many candidates stand for both.
    """
    size = int(result.kept.sum())
    decided = result.order == name
    whole = result.kept if decided else highest(columns.scores[name], size)
    found = []
    if decided and result.rule == "diverse":
        top = highest(columns.scores[name], size)
        found.append(Ablation("diversity", "diversity: the highest alone", None, *shared_part(whole, top)))
    for other, without in WITHOUT.items():
        if other == name or other not in columns.scores:
            continue
        correlation = correlated(columns.scores[other], columns.scores[name])
        kept = (
            _chosen_by(other, result, columns, budget, options)
            if decided
            else highest(columns.scores[other], size)
        )
        found.append(Ablation(other, without, correlation, *shared_part(whole, kept)))
    said = "what was kept" if decided else f"the {size:,} highest by {name}"
    return tuple(found), said


def _chosen_by(
    name: str, result: SelectionResult, columns: Columns, budget: str, options: Options
) -> Bool[np.ndarray, "n"]:
    """What the same rule keeps where another column decides."""
    return select(result.pool, columns, result.rule, budget, replace(options, order=name)).kept
