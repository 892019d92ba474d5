"""The loss at the end of a language model, without logits for prompts and without a whole batch of them.

Knows nothing of layers below. The loss of an example is Σ_t weight_t · (−log p(token_t | earlier)), summed
over its completion tokens; the softmax runs over chunks of rows, and where the output matrix is frozen its
gradient is written down by hand rather than by autograd.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor, nn

from assay.errors import ModelError

CHUNK_BYTES = 256 * 2**20


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

    With z the logits and p their softmax: ∂ℓ/∂z = w (p − e_target), ∂ℓ/∂h = Wᵀ ∂ℓ/∂z.
    """
    assert isinstance(head.projection, nn.Linear)
    weight, bias = head.projection.weight, head.projection.bias
    precision = torch.promote_types(hidden.dtype, torch.float32)
    losses = torch.empty(len(hidden), dtype=precision, device=hidden.device)
    hidden_grads = torch.empty_like(hidden) if gradient else None
    rows = max(16, CHUNK_BYTES // (weight.shape[0] * precision.itemsize))
    for start in range(0, len(hidden), rows):
        part = slice(start, start + rows)
        logits = torch.nn.functional.linear(hidden[part].to(weight.dtype), weight, bias).to(precision)
        if head.scale != 1.0:
            logits *= head.scale
        if head.softcap is not None:
            logits.div_(head.softcap).tanh_().mul_(head.softcap)
        wanted = targets[part, None]
        at_target = logits.gather(1, wanted)
        slope = None if head.softcap is None else 1 - (logits / head.softcap) ** 2
        largest = logits.amax(1, keepdim=True)
        logits.sub_(largest).exp_()
        total = logits.sum(1, keepdim=True)
        losses[part] = (weights[part, None] * (total.log() + largest - at_target)).squeeze(1)
        if hidden_grads is None:
            continue
        # Rows are scaled by w / Σexp(z) behind the product with W, where they are short.
        logits.scatter_add_(1, wanted, -total)
        if slope is not None:
            logits.mul_(slope)
        at_hidden = (logits.to(weight.dtype) @ weight).to(precision)
        hidden_grads[part] = (at_hidden * (head.scale * weights[part, None] / total)).to(hidden.dtype)
    return losses, hidden_grads


def trained_loss(
    head: Head, hidden: Float[Tensor, "c h"], targets: Int[Tensor, "c"], weights: Float[Tensor, "c"]
) -> Float[Tensor, "c"]:
    """The same loss through autograd, for one example at a time, where the head itself is trained."""
    logits = head.projection(hidden.unsqueeze(0)).squeeze(0)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) * head.scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights


def last_hidden(head: Head, input_ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t h"]:
    """Hidden states before the head. Right padding under causal attention needs no mask: nothing a real
    token sees comes after it, and padded positions carry no loss."""
    hidden: Tensor = head.backbone(input_ids=input_ids, use_cache=False)[0]
    return hidden
