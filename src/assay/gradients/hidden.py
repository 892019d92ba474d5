"""What a model makes of an example: a mean of its last hidden states, at unit length. Forward passes alone.

The whole example is read, prompt and completion. Knows nothing of gradients, and nothing of what the features
are for.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.data.batches import pad, token_budget_batches
from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.gradients.head import last_hidden, split

Pooling = Literal["rds", "embedding"]


def hidden_features(
    model: nn.Module, tokens: Sequence[Tokens], poolings: Collection[Pooling], *, token_budget: int = 2048
) -> dict[Pooling, Float[np.ndarray, "n h"]]:
    """Features of every example by each pooling, float32, ‖·‖ = 1, from one forward pass.

    With h_1 … h_T the hidden states before the head at an example's T tokens: "rds" is Σ_t t h_t / Σ_t t
    (RDS+, Ivison et al. 2025, arXiv 2503.01807, with the weights of Muennighoff 2022, arXiv 2202.08904: under
    causal attention later states have read more); "embedding" is Σ_t h_t / T. Padding does not enter, and
    results do not depend on batch composition, beyond rounding. `token_budget` bounds rows × longest row of
    a batch.

    Raises NumericsError naming the example whose features are not finite; ModelError as `head.split` does.
    """
    head = split(model)
    device = next(model.parameters()).device
    found: dict[Pooling, Float[np.ndarray, "n h"]] = {}
    with torch.no_grad(), evaluating(model):
        for rows in token_budget_batches([len(example) for example in tokens], token_budget):
            batch = [tokens[row] for row in rows]
            padded = pad(batch)
            there = torch.from_numpy(padded.attention_mask).to(device)
            states = last_hidden(head, torch.from_numpy(padded.input_ids).to(device)).double()
            for pooling in poolings:
                unit = _unit(batch, torch.einsum("nt,nth->nh", _weights(pooling, there), states))
                if pooling not in found:
                    found[pooling] = np.empty((len(tokens), unit.shape[1]), dtype=np.float32)
                found[pooling][rows] = unit.float().cpu().numpy()
    return found


def cosines(
    candidates: Float[np.ndarray, "n h"], queries: Float[np.ndarray, "q h"]
) -> Float[np.ndarray, "n q"]:
    """Cosines of features of unit length, float64."""
    return candidates.astype(np.float64) @ queries.astype(np.float64).T


def _weights(pooling: Pooling, there: Tensor) -> Float[Tensor, "n t"]:
    """Weights of the positions of every row, which sum to 1; 0 on padding."""
    weights = there.double()
    if pooling == "rds":
        weights = weights * torch.arange(1, there.shape[1] + 1, device=there.device)
    total: Tensor = weights.sum(1, keepdim=True)
    return weights / total


def _unit(batch: Sequence[Tokens], features: Float[Tensor, "n h"]) -> Float[Tensor, "n h"]:
    unit: Tensor = features / features.norm(dim=1, keepdim=True)
    bad = (~unit.isfinite()).any(1).nonzero().flatten().tolist()
    if bad:
        raise NumericsError(
            f"The hidden states of example {batch[bad[0]].id!r} are not finite, or all zero: the model has "
            "diverged, or --dtype is too small."
        )
    return unit


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off, and every module's mode as it was afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
