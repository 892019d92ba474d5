"""The most alike of a whole pool, exactly, by blocks of rows and columns. Knows no texts and no models.

Nothing of the size of all pairs is held, and of the features only a block of either side.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

BLOCK_NUMBERS = 2**21
"""Features in memory at once, on either side."""
LARGEST_BLOCK = 512
"""Candidates of a block, however narrow their features."""
GRID = 2**30
"""Cosines are compared in steps of 2⁻³⁰: float32 features do not tell finer ones apart."""
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest candidates of each row, nearest first.

    `positions` count over the pool; −1, with a cosine of NaN, where there is no such neighbour. Cosines are
    float64.
    """

    positions: Int[np.ndarray, "m k"]
    cosines: Float[np.ndarray, "m k"]


def nearest(
    features: Float[np.ndarray, "n h"],
    rows: Int[np.ndarray, "m"],
    labels: Int[np.ndarray, "n c"],
    count: int,
    *,
    eligible: Bool[np.ndarray, "n"] | None = None,
    device: torch.device | str = "cpu",
) -> Neighbours:
    """For each of `rows` the `count` candidates with the largest cosine; of equal ones the earlier first.

    `features` are at unit length (`features.centred`), may lie on disk, and are read in blocks. Never a
    neighbour: the row itself, a candidate with the same label in any column of `labels` (negative: no label),
    one that is not `eligible`, one whose features are NaN. A row of NaN has no neighbours.
    """
    n, width = features.shape
    usable = np.ones(n, dtype=bool) if eligible is None else eligible
    size = max(1, min(LARGEST_BLOCK, BLOCK_NUMBERS // width))
    parts = [
        _block(features, rows[start : start + size], labels, count, usable, size, device)
        for start in range(0, len(rows), size)
    ]
    positions = np.concatenate([part for part, _ in parts]) if parts else np.empty((0, count), np.int64)
    cosines = np.concatenate([part for _, part in parts]) if parts else np.empty((0, count))
    return Neighbours(positions, cosines)


def _block(
    features: Float[np.ndarray, "n h"],
    rows: Int[np.ndarray, "m"],
    labels: Int[np.ndarray, "n c"],
    count: int,
    usable: Bool[np.ndarray, "n"],
    size: int,
    device: torch.device | str,
) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """One block of rows against all columns."""
    ours = torch.from_numpy(np.array(features[rows], dtype=np.float64)).to(device)
    mine = torch.from_numpy(np.array(labels[rows])).to(device)
    places = torch.from_numpy(np.array(rows)).to(device)
    best = torch.full((len(rows), count), NO_KEY, dtype=torch.int64, device=device)
    for start in range(0, len(features), size):
        theirs = torch.from_numpy(np.array(features[start : start + size], dtype=np.float64)).to(device)
        columns = torch.arange(start, start + len(theirs), device=device)
        keys = _keys(ours @ theirs.T, columns)
        their_labels = torch.from_numpy(np.array(labels[start : start + size])).to(device)
        barred = (places[:, None] == columns) | ~torch.from_numpy(usable[start : start + size]).to(device)
        for column in range(labels.shape[1]):
            own = mine[:, column, None]
            barred |= (own == their_labels[:, column]) & (own >= 0)
        keys[barred] = NO_KEY
        best = torch.cat([best, keys], dim=1).topk(count, dim=1).values
    return _read(features, ours, best.cpu().numpy())


POSITIONS = 2**31
NO_KEY = -(2**63)


def _keys(cosines: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Whole numbers that order pairs by cosine, then by earlier position; NO_KEY for NaN."""
    steps = torch.round(cosines * GRID)
    keys = steps.nan_to_num(0).long() * POSITIONS + (POSITIONS - 1 - columns)
    return keys.masked_fill(steps.isnan(), NO_KEY)


def _read(
    features: Float[np.ndarray, "n h"], ours: torch.Tensor, keys: Int[np.ndarray, "m k"]
) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """Positions and cosines from keys, the cosines to all digits, one neighbour of each row at a time."""
    found = keys != NO_KEY
    positions = np.where(found, POSITIONS - 1 - keys % POSITIONS, NOBODY)
    cosines = np.full(keys.shape, np.nan)
    rows = ours.cpu().numpy()
    for place in range(keys.shape[1]):
        here = found[:, place]
        theirs = np.asarray(features[positions[here, place]], dtype=np.float64)
        cosines[here, place] = np.einsum("mh,mh->m", rows[here], theirs)
    return positions, cosines
