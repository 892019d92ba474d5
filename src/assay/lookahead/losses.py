"""How well a model does on examples, by one forward pass: losses, and whether it would have said them.

Knows nothing of gradients or of why anybody asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.gradients import head as heads
from assay.lookahead.steps import at_targets, evaluating

ROWS = 512
"""Learned tokens whose logits exist at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Per example: the loss summed over completion tokens, in nats, and whether every learned token is the
    model's likeliest given the true ones before it (which is what greedy decoding would say, up to ties)."""

    losses: Float[np.ndarray, "n"]
    right: Bool[np.ndarray, "n"]


@torch.inference_mode()
def answers(model: nn.Module, tokens: Sequence[Tokens], token_budget: int = 8192) -> Answers:
    """Losses in float64 and right answers. Raises NumericsError naming an example without a finite loss."""
    head = heads.split(model)
    device = next(model.parameters()).device
    losses, right = np.zeros(len(tokens)), np.ones(len(tokens), dtype=bool)
    for rows in token_budget_batches([len(one) for one in tokens], token_budget):
        with evaluating(model):
            at = at_targets(head, [tokens[row] for row in rows], device)
        for start in range(0, len(at.owner), ROWS):
            part = slice(start, start + ROWS)
            logits = head.projection(at.hidden[part])
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) * head.scale
            if head.softcap is not None:
                logits = head.softcap * torch.tanh(logits / head.softcap)
            each = nn.functional.cross_entropy(logits, at.targets[part], reduction="none")
            places = np.asarray(rows)[at.owner[part].cpu().numpy()]
            np.add.at(losses, places, (each.double() * at.weights[part].double()).cpu().numpy())
            np.logical_and.at(right, places, (logits.argmax(-1) == at.targets[part]).cpu().numpy())
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        raise NumericsError(f"The loss of example {tokens[int(bad[0])].id!r} is not finite.")
    return Answers(losses, right)
