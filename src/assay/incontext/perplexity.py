"""How hard completions are for a model, in nats per token: forward passes alone.

Knows nothing of demonstrations, and nothing of what the numbers are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.data.joining import comparable
from assay.gradients.batch import Batch, by_owner, learned
from assay.gradients.head import Head, frozen_loss, last_hidden, split, trained_loss
from assay.gradients.hidden import evaluating
from assay.gradients.needed import last_mlp, only_needed

ROWS = 256
"""Scored tokens whose whole logits exist at a time, where the head is not a plain matrix."""


class Reason(IntEnum):
    """Why there is a number, or none."""

    MEASURED = 0
    TOO_LONG = 1
    EMPTY = 2
    NOT_FINITE = 3
    ABSENT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Nll:
    """Mean negative log-likelihoods in nats per scored token, float64, NaN where the `Reason` is another than
    MEASURED (int8)."""

    nll: Float[np.ndarray, "*n"]
    reason: Int[np.ndarray, "*n"]


def alone(tokens: Tokens, bos_id: int | None) -> Tokens:
    """BOS and the completion: the tokens from the first learned one to the last, with nothing before them.

    Without a BOS the completion's first token is not scored (`joining.comparable` leaves it out elsewhere).
    Of length 0 where nothing is learned. `tokens` are the example's own, not those of `comparable`.
    """
    scored = np.flatnonzero(tokens.weights)
    if not len(scored):
        return Tokens(tokens.id, tokens.input_ids[:0], tokens.weights[:0])
    tokens = comparable(tokens, bos_id)
    ids = tokens.input_ids[scored[0] : scored[-1] + 1]
    weights = tokens.weights[scored[0] : scored[-1] + 1]
    if bos_id is None:
        return Tokens(tokens.id, ids, weights)
    start = np.array([bos_id], dtype=ids.dtype)
    return Tokens(tokens.id, np.concatenate([start, ids]), np.concatenate([[np.float32(0)], weights]))


def mean_nll(
    model: nn.Module, tokens: Sequence[Tokens], *, token_budget: int = 2048, context: int | None = None
) -> Nll:
    """Σ_t w_t · (−log p(id_t | earlier)) / Σ_t w_t of every example, over its tokens with a weight.

    The weight of a first token, which nothing predicts, does not count. The head is applied at scored tokens
    alone. An example over `context` tokens (TOO_LONG) or without a scored token (EMPTY) is not passed through
    the model; one whose mean is not finite is NOT_FINITE. Results do not depend on batch composition, beyond
    rounding. `token_budget` bounds rows × longest row of a batch. Raises ModelError as `head.split` does.
    """
    head, device = split(model), next(model.parameters()).device
    nll = np.full(len(tokens), np.nan)
    reason = np.array([ahead(one.weights[1:], len(one), context) for one in tokens], dtype=np.int8)
    fitting = np.flatnonzero(reason == Reason.MEASURED).tolist()
    with torch.no_grad(), evaluating(model):
        for places in token_budget_batches([len(tokens[row]) for row in fitting], token_budget):
            rows = [fitting[place] for place in places]
            batch = Batch.of([tokens[row] for row in rows], device)
            with only_needed(last_mlp(head.backbone), batch.weights[:, 1:] != 0):
                hidden = last_hidden(head, batch.read)
            owner, targets, weights, predicting = learned(batch, hidden)
            nll[rows] = means(head, predicting, targets, weights, owner, len(batch))
    reason[(reason == Reason.MEASURED) & ~np.isfinite(nll)] = Reason.NOT_FINITE
    nll[reason != Reason.MEASURED] = np.nan
    return Nll(nll, reason)


def ahead(weights: Float[np.ndarray, "t"], length: int, context: int | None) -> Reason:
    """What is known before a pass, from the weights of predicted tokens and the length of the whole."""
    if not weights.any():
        return Reason.EMPTY
    return Reason.TOO_LONG if context is not None and length > context else Reason.MEASURED


def means(
    head: Head,
    hidden: Float[Tensor, "c h"],
    targets: Int[Tensor, "c"],
    weights: Float[Tensor, "c"],
    owner: Int[Tensor, "c"],
    examples: int,
) -> Float[np.ndarray, "n"]:
    """Weighted mean over the scored tokens of every example, from the hidden states that predict them."""
    if type(head.projection) is nn.Linear:
        losses = frozen_loss(head, hidden, targets, weights, gradient=False)[0]
    else:
        parts = [slice(start, start + ROWS) for start in range(0, len(targets), ROWS)]
        losses = torch.cat([trained_loss(head, hidden[part], targets[part], weights[part]) for part in parts])
    mean = by_owner(losses, owner, examples) / by_owner(weights, owner, examples)
    found: np.ndarray = mean.cpu().numpy()
    return found
