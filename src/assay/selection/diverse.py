"""Greedy diversity: the best first, unless something too much like it is chosen already. Knows no texts.

Exact, and flat in memory: a block of candidates meets the chosen ones chunk by chunk, so that nothing of the
size of all pairs is ever held. Work is (candidates looked at) × (chosen) × d multiplications.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from assay.data.texts import counted
from assay.errors import ConfigError, NumericsError
from assay.selection.budget import Limit
from assay.selection.choice import Choice, on_short, on_unscored, require_some
from assay.selection.orders import best_first, chosen, figure, places

LARGEST_COSINE = 0.9
BLOCK = 512
CHUNK = 8192


def diverse(
    scores: Float[np.ndarray, "n"],
    embeddings: Float[np.ndarray, "n d"],
    limit: Limit,
    name: str,
    ids: Sequence[str],
    threshold: float = LARGEST_COSINE,
) -> Choice:
    """From the highest score down, keep a candidate if its largest cosine to those kept is below `threshold`.

    As the source of weighted in-context influence selects (arXiv 2604.25132, τ = 0.9). Cosines are in
    float64. Candidates without a score are never kept. Raises ConfigError for a threshold outside (-1, 1],
    NumericsError naming a candidate whose embedding is not finite or has no direction.
    """
    if not -1 < threshold <= 1:
        raise ConfigError(f"The largest cosine is {threshold:g}; give a number above -1, at most 1.")
    n = len(scores)
    if len(embeddings) != n:
        raise ConfigError(f"There are embeddings of {len(embeddings):,} candidates, but the pool has {n:,}.")
    order = best_first(scores)
    alike: dict[int, tuple[int, float]] = {}
    filled = limit.fill(_accepted(order, embeddings, ids, threshold, alike))
    require_some(filled, limit, name)
    kept = chosen(filled.kept, n)
    rank = places(order, n).tolist()
    reasons = []
    for i in range(n):
        place = f"rank {rank[i]:,} of {len(order):,} by {name}"
        if not rank[i]:
            reasons.append(f"no score by {name}, so not chosen")
        elif kept[i]:
            reasons.append(place)
        elif i in alike:
            other, cosine = alike[i]
            reasons.append(f"{place}, but cosine {cosine:.3f} to {ids[other]}, which is kept")
        else:
            reasons.append(f"{place}, beyond the budget")
    last = filled.kept[-1]
    reading = (
        f"From the highest {name} down, kept a candidate if its largest cosine to those kept was below "
        f"{threshold:g}, until the budget of {limit} was full: {counted(len(filled.kept), 'candidate')}, "
        f"the last at rank {rank[last]:,} of {len(order):,} with {figure(scores[last])}; "
        f"{counted(len(alike), 'candidate')} passed over as too much alike.",
        *on_unscored(n - len(order), name, kept=False),
        *on_short(
            filled, limit, f"all others are too much alike (cosine {threshold:g} or more) or have no score"
        ),
    )
    return Choice(kept, tuple(reasons), reading, scores)


def _accepted(
    order: Int[np.ndarray, "m"],
    embeddings: Float[np.ndarray, "n d"],
    ids: Sequence[str],
    threshold: float,
    alike: dict[int, tuple[int, float]],
) -> Iterator[int]:
    """Candidates that are accepted, in order; others go to `alike` with the nearest one and its cosine."""
    accepted: list[int] = []
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        ours = _directions(embeddings, block, ids)
        largest, nearest = np.full(len(block), -np.inf), np.full(len(block), -1)
        for first in range(0, len(accepted), CHUNK):
            chunk = np.asarray(accepted[first : first + CHUNK])
            cosines = ours @ _directions(embeddings, chunk, ids).T
            place = cosines.argmax(axis=1)
            here = cosines[np.arange(len(block)), place]
            nearer = here > largest
            largest[nearer], nearest[nearer] = here[nearer], chunk[place[nearer]]
        within = ours @ ours.T
        for i, candidate in enumerate(block.tolist()):
            if largest[i] >= threshold:
                alike[candidate] = (int(nearest[i]), float(largest[i]))
                continue
            accepted.append(candidate)
            yield candidate
            nearer = within[i] > largest
            largest[nearer], nearest[nearer] = within[i][nearer], candidate


def _directions(
    embeddings: Float[np.ndarray, "n d"], rows: Int[np.ndarray, "b"], ids: Sequence[str]
) -> Float[np.ndarray, "b d"]:
    """These rows in float64 at length 1."""
    taken = np.asarray(embeddings[rows], dtype=np.float64)
    lengths = np.sqrt(np.einsum("bd,bd->b", taken, taken))
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        what = "is 0 everywhere" if lengths[wrong[0]] == 0 else "is not finite"
        raise NumericsError(f"The embedding of candidate {ids[int(rows[wrong[0]])]!r} {what}.")
    return np.asarray(taken / lengths[:, None])
