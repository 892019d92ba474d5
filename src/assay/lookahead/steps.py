"""A few real optimizer steps from where a model stands, and the way back, to the bit.

Knows nothing of what the steps are taken for, of files or of where the optimizer's state came from. The model
stays in evaluation mode: no dropout, so equal steps from an equal start end in equal weights.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.data.batches import pad, token_budget_batches
from assay.data.example import Tokens
from assay.errors import DataError, NumericsError
from assay.gradients import head as heads
from assay.gradients.coverage import trained_parameters


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one optimizer step learns from: the loss Σ_n shares[n] · ℓ_n.

    ℓ_n is an example's loss summed over its completion tokens, in nats.
    """

    tokens: tuple[Tokens, ...]
    shares: Float[np.ndarray, "n"]


def mean_loss(examples: Sequence[Tokens]) -> Step:
    """The mean over the learned tokens of all examples, as trainers average a batch."""
    return Step(tuple(examples), np.full(len(examples), 1 / _learned(examples)))


def sum_of_means(groups: Iterable[Sequence[Tokens]]) -> Step:
    """The mean over the learned tokens of each group, added up: a group counts as much as it does alone."""
    parts = [mean_loss(group) for group in groups]
    return Step(
        tuple(one for part in parts for one in part.tokens), np.concatenate([part.shares for part in parts])
    )


def added(base: Sequence[Tokens], more: Sequence[Tokens], weight: float) -> Step:
    """The base batch's own loss, unchanged, and `weight` times the mean over the learned tokens of `more`."""
    parts = mean_loss(base), mean_loss(more)
    return Step(
        (*parts[0].tokens, *parts[1].tokens),
        np.concatenate([parts[0].shares, weight * parts[1].shares]),
    )


def _learned(examples: Sequence[Tokens]) -> int:
    learned = sum(example.completion_tokens for example in examples)
    if not learned:
        raise DataError("A step has nothing to learn: none of its examples has a learned token.")
    return learned


def take_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: Iterable[Step],
    *,
    rates: Iterable[float] | None = None,
    max_grad_norm: float = 1.0,
    token_budget: int = 8192,
) -> None:
    """Take the steps, in place, in parts of at most `token_budget` padded tokens.

    `rates` are the learning rates of the steps; by default the optimizer's own throughout. Gradients are
    clipped to `max_grad_norm` as Trainer does; 0 leaves them. Raises NumericsError naming the first example
    whose loss is not finite.
    """
    parameters = list(trained_parameters(model).values())
    head = heads.split(model)
    try:
        with evaluating(model):
            for step, rate in zip(steps, repeat(None) if rates is None else rates, strict=False):
                for parameter in parameters:
                    parameter.grad = None
                for rows in token_budget_batches([len(one) for one in step.tokens], token_budget):
                    part = [step.tokens[row] for row in rows]
                    _accumulate(head, part, step.shares[rows], parameters[0].device)
                norm = nn.utils.clip_grad_norm_(parameters, max_grad_norm if max_grad_norm > 0 else np.inf)
                if not bool(norm.isfinite()):
                    raise NumericsError(
                        f"The gradient of a step on {step.tokens[0].id!r} and {len(step.tokens) - 1} other "
                        "examples is not finite: the steps diverged, or the model's weights are not finite."
                    )
                if rate is not None:
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                optimizer.step()
    finally:
        for parameter in parameters:
            parameter.grad = None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for as long as it lasts, every module's own mode afterwards.

    A model that is in evaluation mode stays as it is: its layers may be set to recompute activations.
    """
    training = {module: module.training for module in model.modules()}
    if model.training:
        model.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


def _accumulate(
    head: heads.Head, tokens: Sequence[Tokens], shares: Float[np.ndarray, "n"], device: torch.device
) -> None:
    """Add ∂(Σ_n shares[n] · ℓ_n)/∂θ to the gradients."""
    with torch.enable_grad():
        at = at_targets(head, tokens, device)
        weights = at.weights.double() * torch.from_numpy(shares).to(device)[at.owner]
        if type(head.projection) is nn.Linear and not any(
            p.requires_grad for p in head.projection.parameters()
        ):
            losses, slopes = heads.frozen_loss(head, at.hidden.detach(), at.targets, weights)
            _require_finite(losses, at.owner, tokens)
            if at.hidden.requires_grad:
                torch.autograd.backward(at.hidden, slopes)
        else:
            losses = heads.trained_loss(head, at.hidden, at.targets, weights)
            _require_finite(losses, at.owner, tokens)
            torch.autograd.backward(losses.sum())


@dataclass(frozen=True, slots=True, eq=False)
class AtTargets:
    """Every learned token of a batch: its example, its id, its weight, the hidden state that predicts it."""

    owner: Int[Tensor, "c"]
    targets: Int[Tensor, "c"]
    weights: Float[Tensor, "c"]
    hidden: Float[Tensor, "c h"]


def at_targets(head: heads.Head, tokens: Sequence[Tokens], device: torch.device) -> AtTargets:
    """Run the backbone over a padded batch and keep what predicts learned tokens."""
    batch = pad(tokens)
    ids = torch.from_numpy(batch.input_ids).to(device)
    weights = torch.from_numpy(batch.weights).to(device)
    hidden = heads.last_hidden(head, ids[:, : max(1, ids.shape[1] - 1)])
    owner, before = weights[:, 1:].nonzero(as_tuple=True)
    return AtTargets(owner, ids[owner, before + 1], weights[owner, before + 1], hidden[owner, before])


def _require_finite(losses: Float[Tensor, "c"], owner: Int[Tensor, "c"], tokens: Sequence[Tokens]) -> None:
    if not bool(losses.isfinite().all()):
        bad = int(owner[(~losses.isfinite()).nonzero()[0, 0]])
        raise NumericsError(f"The loss of example {tokens[bad].id!r} is not finite: the steps diverged.")


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Give the trained parameters back, bit by bit, whatever happened to them inside."""
    before = {p: p.detach().clone() for p in trained_parameters(model).values()}
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in before.items():
                parameter.copy_(value)
