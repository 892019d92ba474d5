"""Greedy diversity: the best first, unless something too much like it is chosen already. Knows no texts.

Exact, and flat in memory: a block of candidates meets the chosen ones chunk by chunk, so that nothing of the
size of all pairs is ever held. Work is (candidates looked at) × (chosen) × d multiplications.
"""

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from assay.data.texts import counted
from assay.errors import ConfigError, NumericsError
from assay.selection.budget import Limit
from assay.selection.choice import Choice, Reasons, on_short, on_unscored, require_some
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
    alike = np.full(n, -1, dtype=np.int32)
    cosines = np.zeros(n)
    filled = limit.fill(_accepted(order, embeddings, ids, threshold, alike, cosines))
    require_some(filled, limit, name)
    kept = chosen(filled.kept, n)
    rank, scored = places(order, n), len(order)

    def said(i: int) -> str:
        place = f"rank {rank[i]:,} of {scored:,} by {name}"
        if not rank[i]:
            return f"no score by {name}, so not chosen"
        if kept[i]:
            return place
        if alike[i] >= 0:
            return f"{place}, but cosine {cosines[i]:.3f} to {ids[int(alike[i])]}, which is kept"
        return f"{place}, beyond the budget"

    last = filled.kept[-1]
    reading = (
        f"From the highest {name} down, kept a candidate if its largest cosine to those kept was below "
        f"{threshold:g}, until the budget of {limit} was full: {counted(len(filled.kept), 'candidate')}, "
        f"the last at rank {rank[last]:,} of {len(order):,} with {figure(scores[last])}; "
        f"{counted(int((alike >= 0).sum()), 'candidate')} passed over as too much alike.",
        *on_unscored(n - len(order), name, kept=False),
        *on_short(
            filled, limit, f"all others are too much alike (cosine {threshold:g} or more) or have no score"
        ),
    )
    return Choice(kept, Reasons(n, said), reading, scores)


def _accepted(
    order: Int[np.ndarray, "m"],
    embeddings: Float[np.ndarray, "n d"],
    ids: Sequence[str],
    threshold: float,
    alike: Int[np.ndarray, "n"],
    cosines: Float[np.ndarray, "n"],
) -> Iterator[int]:
    """Candidates that are accepted, in order. For others the nearest of these is noted, and its cosine."""
    accepted = array("q")
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        ours = _directions(embeddings, block, ids)
        largest, nearest = np.full(len(block), -np.inf), np.full(len(block), -1)
        for first in range(0, len(accepted), CHUNK):
            chunk = np.asarray(accepted[first : first + CHUNK])
            products = ours @ _directions(embeddings, chunk, ids).T
            place = products.argmax(axis=1)
            here = products[np.arange(len(block)), place]
            nearer = here > largest
            largest[nearer], nearest[nearer] = here[nearer], chunk[place[nearer]]
        within = ours @ ours.T
        for i, candidate in enumerate(block.tolist()):
            if largest[i] >= threshold:
                alike[candidate], cosines[candidate] = nearest[i], largest[i]
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
