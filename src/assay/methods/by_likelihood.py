"""Baselines from the loss alone: how likely the model finds a completion. No queries, and no zero."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from assay.methods.by_gradient import over
from assay.methods.method import Measured, Method

MID = 0.33
"""Where the middle begins, as a share of the pool."""


def loss_per_token(m: Measured) -> Float[np.ndarray, "n"]:
    """Mean negative log-likelihood of a completion token, nats."""
    return over(m.array("loss"), np.asarray(m.tokens, dtype=np.float64))


def minus_loss(m: Measured) -> Float[np.ndarray, "n"]:
    """−ℓ(z) / n_z: 0 for a completion the model is sure of, else below."""
    return -loss_per_token(m)


def from_the_middle(m: Measured) -> Float[np.ndarray, "n"]:
    """Minus the place (0, 1, …) in the order by rising loss per token that begins at the 33% point and wraps.

    The first is the candidate at position ⌊0.33 n⌋ of n, the last the one before it. Equal losses stand in
    the order of their ids.
    """
    losses = loss_per_token(m)
    order = np.argsort(losses, kind="stable")  # NaN comes last
    order = order[: len(order) - int(np.isnan(losses).sum())]
    ends = np.flatnonzero(np.diff(losses[order], prepend=np.nan, append=np.nan) != 0)
    for at in np.flatnonzero(np.diff(ends) > 1):
        same = order[ends[at] : ends[at + 1]]
        order[ends[at] : ends[at + 1]] = sorted(same.tolist(), key=lambda row: m.ids[row])
    start = int(MID * len(order))
    score = np.full(len(m), np.nan)
    score[np.roll(order, -start)] = -np.arange(len(order), dtype=np.float64)
    return score


MINUS_LOSS = Method(
    name="minus_loss",
    title="Minus loss",
    formula="−ℓ(z) / n_z",
    source="the baseline without gradients: what the model already finds likely",
    needs="one checkpoint",
    cost="1 forward pass of the pool",
    good_for="a cheap look for garbage, which is last; what is first the model already knows",
    measure="loss",
    per_query=False,
    checkpoints="last",
    score=minus_loss,
)

PPL_TOP = replace(
    MINUS_LOSS,
    name="ppl_top",
    title="Highest perplexity",
    formula="ℓ(z) / n_z",
    source="Ivison et al. 2025, arXiv 2503.01807 (Top-PPL)",
    good_for="the hardest examples first, and with them whatever is broken",
    score=loss_per_token,
)

PPL_MID = replace(
    MINUS_LOSS,
    name="ppl_mid",
    title="Middle perplexity",
    formula="place by rising ℓ(z) / n_z, from the 33% point on, wrapping around",
    source="Ivison et al. 2025, arXiv 2503.01807 (Mid-PPL)",
    good_for="a baseline of pruning papers: neither what is known nor what is broken",
    score=from_the_middle,
)

ROWS = (MINUS_LOSS, PPL_MID, PPL_TOP)
