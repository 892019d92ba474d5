"""What a lookahead will take, said before it begins: memory from sizes, time from one step and one look.

Leaves the model as it was. Knows nothing of what the steps are for.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.errors import ModelError
from assay.gradients.coverage import trained_parameters
from assay.gradients.products import free_memory
from assay.lookahead.losses import answers
from assay.lookahead.run import MakeOptimizer
from assay.lookahead.steps import Step, restored, take_steps

COPIES = 4
"""Gradients, both moments of Adam, and the copy from which the weights are restored."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one step and of asking all queries once."""

    step: float
    asking: float

    def of(self, arms_with_steps: int, arms: int, steps: int) -> float:
        return arms_with_steps * steps * self.step + arms * self.asking


def memory_bytes(model: nn.Module) -> int:
    """What steps take beside the model and a batch's activations."""
    return COPIES * sum(p.numel() * p.element_size() for p in trained_parameters(model).values())


def require_memory(model: nn.Module) -> None:
    """Raise ModelError where steps cannot fit beside the model."""
    needed, device = memory_bytes(model), next(model.parameters()).device
    free = free_memory(device)
    if needed > free:
        raise ModelError(
            f"A lookahead needs about {size_words(needed)} for gradients, optimizer and a copy of the "
            f"trained weights, and {size_words(free)} are free on {device}; study by gradients alone "
            "(--evidence gradient), or on a larger machine."
        )


def time_steps(
    model: nn.Module,
    make_optimizer: MakeOptimizer,
    steps: Sequence[Step],
    queries: Sequence[Tokens],
    token_budget: int,
) -> Cost:
    """Take the first of the steps twice, the second time by the clock, and ask one batch of queries."""
    first = list(steps[:1])
    with restored(model):
        seconds = 0.0
        if first:
            optimizer = make_optimizer(model)
            for _ in range(2):
                began = _now(model)
                take_steps(model, optimizer, first, token_budget=token_budget)
                seconds = _now(model) - began
        lengths = [len(one) for one in queries]
        rows = token_budget_batches(lengths, token_budget)[0]
        began = _now(model)
        answers(model, [queries[row] for row in rows], token_budget)
        asking = (_now(model) - began) * sum(lengths) / sum(lengths[row] for row in rows)
    return Cost(seconds, asking)


def _now(model: nn.Module) -> float:
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def size_words(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
