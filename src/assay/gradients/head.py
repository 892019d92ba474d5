"""The loss at the end of a language model, without logits for prompts and without a whole batch of them.

Knows nothing of layers below. The loss of an example is Σ_t weight_t · (−log p(token_t | earlier)), summed
over its completion tokens; the softmax runs over blocks of the vocabulary, and where the output matrix is
frozen its gradient is written down by hand rather than by autograd.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import linear

from assay.errors import ModelError

BLOCK = 4096
"""Columns of the vocabulary at a time: a block's logits stay in the cache from one step to the next."""
PIECE = 256
"""Columns whose probabilities are summed together before a label is drawn from one such piece."""


@dataclass(frozen=True, slots=True)
class Head:
    """A causal language model cut before its logits.

    logits = softcap(scale · projection(hidden)), where scale is 1 and softcap absent in most families.
    """

    backbone: nn.Module
    projection: nn.Module
    scale: float = 1.0
    softcap: float | None = None


def split(model: nn.Module) -> Head:
    """Cut a transformers causal LM (or a PEFT model around one) into backbone and head.

    Raises ModelError for a model without an output embedding.
    """
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    projection = getattr(inner, "get_output_embeddings", lambda: None)()
    backbone = getattr(inner, "base_model", None)
    if backbone is inner:  # transformers 4.55 names Gemma 3's backbone otherwise than its prefix says
        backbone = getattr(inner, "model", None)
    if projection is None or backbone is None or backbone is inner:
        raise ModelError(
            f"{type(inner).__name__} is not a causal language model with an output embedding; "
            "assay needs a transformers *ForCausalLM model."
        )
    config = inner.config.get_text_config() if hasattr(inner.config, "get_text_config") else inner.config
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    softcap = getattr(config, "final_logit_softcapping", None)
    return Head(backbone, projection, scale, None if softcap is None else float(softcap))


def frozen_loss(
    head: Head,
    hidden: Float[Tensor, "c h"],
    targets: Int[Tensor, "c"],
    weights: Float[Tensor, "c"],
    gradient: bool = True,
) -> tuple[Float[Tensor, "c"], Float[Tensor, "c h"] | None]:
    """Weighted loss of every row, fp32 or better, and its gradient with respect to `hidden`.

    The vocabulary goes by in blocks under a running maximum (Milakov and Gimelshein 2018, arXiv 1805.02867),
    so that no row's logits exist as a whole. The target t is kept apart, which keeps all digits where the
    model is sure of it: with L = log Σ_{v≠t} exp z_v and q the softmax over v ≠ t,
    ℓ = w log(1 + exp(L − z_t)) and ∂ℓ/∂h = w (1 − p_t) (Σ_{v≠t} q_v ∂z_v/∂h − ∂z_t/∂h), 1 − p_t = σ(L − z_t).
    """
    assert isinstance(head.projection, nn.Linear)
    weight = head.projection.weight
    precision = torch.promote_types(hidden.dtype, torch.float32)
    wide = hidden.new_zeros(hidden.shape if gradient else (0, 0), dtype=precision)
    total, at_target = (hidden.new_zeros(len(hidden), 1, dtype=precision) for _ in range(2))
    largest = torch.full_like(total, -torch.inf)
    for start in range(0, len(weight), BLOCK):
        part = slice(start, start + BLOCK)
        logits = _logits(head, hidden, part)
        slope = _slope(head, logits) if gradient and head.softcap is not None else None
        place = targets[:, None] - start
        inside = (place >= 0) & (place < logits.shape[1])
        place = place.clamp(0, logits.shape[1] - 1)
        found = logits.gather(1, place)
        at_target = torch.where(inside, found, at_target)
        logits.scatter_(1, place, found.masked_fill(inside, -torch.inf))
        before, largest = largest, torch.maximum(largest, logits.amax(1, keepdim=True))
        logits.sub_(largest).exp_()
        fade = (before - largest).exp_()
        total.mul_(fade).add_(logits.sum(1, keepdim=True))
        if gradient:
            logits = logits if slope is None else logits.mul_(slope)
            _add_product(wide.mul_(fade), logits, weight[part])
    margin = total.log().add_(largest).sub_(at_target)
    scale = weights[:, None].to(precision)
    losses = (scale * torch.logaddexp(margin, torch.zeros_like(margin))).squeeze(1)
    if not gradient:
        return losses, None
    at_weight = weight[targets].to(precision) * _slope(head, at_target)
    pull = wide.div_(total).sub_(at_weight).mul_(scale * head.scale * margin.sigmoid())
    return losses, pull.to(hidden.dtype)


def sampled_loss(
    head: Head, hidden: Float[Tensor, "c h"], uniform: Float[Tensor, "c"], weights: Float[Tensor, "c"]
) -> tuple[Int[Tensor, "c"], Float[Tensor, "c"], Float[Tensor, "c h"]]:
    """Draw a label for every row from the model's own distribution p; its weighted loss and the gradient.

    Row by row the label y is the first with Σ_{v≤y} p_v > `uniform` (float64, in [0, 1)). As in `frozen_loss`
    the vocabulary goes by in blocks: ∂ℓ/∂h = w (Σ_v p_v ∂z_v/∂h − ∂z_y/∂h), whose sum needs no label. The
    probability of every piece of the vocabulary is kept per row, and a second look falls on the one piece
    that holds y. A number within rounding of a border between two labels may give either.
    """
    assert isinstance(head.projection, nn.Linear)
    weight = head.projection.weight
    precision = torch.promote_types(hidden.dtype, torch.float32)
    pieces = [
        slice(start, min(start + PIECE, block + BLOCK, len(weight)))
        for block in range(0, len(weight), BLOCK)
        for start in range(block, min(block + BLOCK, len(weight)), PIECE)
    ]
    wide = torch.zeros_like(hidden, dtype=precision)
    masses = wide.new_zeros(len(hidden), len(pieces))
    largest = wide.new_full((len(hidden), 1), -torch.inf)
    done = 0
    for start in range(0, len(weight), BLOCK):
        part = slice(start, start + BLOCK)
        logits = _logits(head, hidden, part)
        slope = None if head.softcap is None else _slope(head, logits)
        before, largest = largest, torch.maximum(largest, logits.amax(1, keepdim=True))
        logits.sub_(largest).exp_()
        fade = (before - largest).exp_()
        sums = torch.stack([piece.sum(1) for piece in torch.split(logits, PIECE, 1)], dim=1)
        masses[:, :done].mul_(fade)
        masses[:, done : done + sums.shape[1]] = sums
        done += sums.shape[1]
        _add_product(wide.mul_(fade), logits if slope is None else logits.mul_(slope), weight[part])
    total = masses.sum(1, keepdim=True)
    chosen, rest = _drawn(masses, uniform)
    labels, at_label = torch.zeros_like(chosen), torch.zeros_like(total)
    for piece in torch.unique(chosen).tolist():
        rows = (chosen == piece).nonzero().squeeze(1)
        logits = _logits(head, hidden[rows], pieces[piece])
        place = _drawn((logits - largest[rows]).exp_(), rest[rows])[0]
        labels[rows] = place + pieces[piece].start
        at_label[rows] = logits.gather(1, place[:, None])
    scale = weights[:, None].to(precision)
    losses = total.log().add_(largest).sub_(at_label).mul_(scale).squeeze(1)
    at_weight = weight[labels].to(precision) * _slope(head, at_label)
    return labels, losses, wide.div_(total).sub_(at_weight).mul_(scale * head.scale).to(hidden.dtype)


def _drawn(
    masses: Float[Tensor, "c v"], uniform: Float[Tensor, "c"]
) -> tuple[Int[Tensor, "c"], Float[Tensor, "c"]]:
    """The first column whose cumulative share of its row exceeds `uniform`, and where in its share that lies.

    Both in float64; the second is again uniform on [0, 1).
    """
    reached = masses.cumsum(1, dtype=torch.float64)
    aim = uniform.to(torch.float64)[:, None] * reached[:, -1:]
    chosen = (reached <= aim).sum(1, keepdim=True).clamp_(max=masses.shape[1] - 1)
    share = masses.gather(1, chosen).double()
    rest = (aim - reached.gather(1, chosen) + share).div_(share)
    return chosen.squeeze(1), rest.clamp_(0, 1 - 2**-40).squeeze(1)


def _logits(head: Head, hidden: Float[Tensor, "c h"], part: slice) -> Float[Tensor, "c v"]:
    """Logits of a part of the vocabulary, fp32 or better."""
    projection = head.projection
    assert isinstance(projection, nn.Linear)
    bias = None if projection.bias is None else projection.bias[part]
    logits = linear(hidden.to(projection.weight.dtype), projection.weight[part], bias)
    logits = logits.to(torch.promote_types(hidden.dtype, torch.float32))
    _bend(head, logits)
    return logits


def _bend(head: Head, logits: Float[Tensor, "c v"]) -> None:
    """From products to logits, in place."""
    if head.scale != 1.0:
        logits.mul_(head.scale)
    if head.softcap is not None:
        logits.div_(head.softcap).tanh_().mul_(head.softcap)


def _slope(head: Head, logits: Float[Tensor, "c v"]) -> Float[Tensor, "c v"]:
    """Derivative of the softcap where it gives these logits."""
    return torch.ones_like(logits) if head.softcap is None else 1 - (logits / head.softcap) ** 2


def _add_product(total: Float[Tensor, "c h"], left: Float[Tensor, "c v"], weight: Tensor) -> None:
    """total += left @ weight, the product in the weight's dtype."""
    if weight.dtype == total.dtype:
        total.addmm_(left, weight)
    else:
        total.add_(left.to(weight.dtype) @ weight)


def trained_loss(
    head: Head,
    hidden: Float[Tensor, "c h"],
    targets: Int[Tensor, "c"],
    weights: Float[Tensor, "c"],
    uniform: Float[Tensor, "c"] | None = None,
) -> Float[Tensor, "c"]:
    """The same loss through autograd, for one example at a time, where the head itself is trained.

    With `uniform` the labels are drawn as in `sampled_loss`, and `targets` are not looked at.
    """
    logits = head.projection(hidden.unsqueeze(0)).squeeze(0)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) * head.scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    if uniform is not None:
        pairs = zip(torch.split(logits.detach(), PIECE), torch.split(uniform, PIECE), strict=True)
        targets = torch.cat([_drawn(rows.softmax(1), numbers)[0] for rows, numbers in pairs])
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights


def last_hidden(head: Head, input_ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t h"]:
    """Hidden states before the head. Right padding under causal attention needs no mask: nothing a real
    token sees comes after it, and padded positions carry no loss."""
    hidden: Tensor = head.backbone(input_ids=input_ids, use_cache=False)[0]
    return hidden
