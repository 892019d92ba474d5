"""A frozen RMSNorm as one step: the same output and input gradient, in half the passes over memory.

Knows nothing of models. y = s ⊙ x̂ with x̂ = x / √(mean x² + ε) (Zhang and Sennrich 2019, arXiv 1910.07467),
where s is the weight, or one more than it in Gemma.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def fused_rms_norm(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """A forward for an RMSNorm in fp32, None for anything else: what counts is what it gives on a trial.

    Its weight must not be trained. Inputs of another dtype go through the module's own forward.
    """
    weight = dict(module.named_parameters()).get("weight")
    eps: Any = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    named = type(module).__name__.endswith("RMSNorm") and isinstance(eps, float)
    if not named or weight is None or weight.dim() != 1 or weight.dtype != torch.float32:
        return None
    if "forward" in vars(module):
        return None
    own = module.forward
    with torch.no_grad():
        trial = torch.linspace(-2, 3, 2 * len(weight), device=weight.device).view(2, -1)
        expected = own(trial)
        for scale in (weight.detach(), 1 + weight.detach()):
            if torch.allclose(_normalised(trial, eps)[0] * scale, expected, rtol=1e-5, atol=1e-6):
                return lambda inputs: (
                    _apply(inputs, scale, eps) if inputs.dtype == torch.float32 else own(inputs)
                )
    return None


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, scale: Tensor, eps: float) -> Tensor:
        normalised, inverse = _normalised(inputs, eps)
        ctx.save_for_backward(normalised, inverse, scale)
        return normalised * scale

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        """∂ℓ/∂x = (g − x̂ mean(g ⊙ x̂)) / √(mean x² + ε) with g = s ⊙ ∂ℓ/∂y."""
        normalised, inverse, scale = ctx.saved_tensors
        scaled = grads[0] * scale
        mean = torch.linalg.vecdot(scaled, normalised).div_(normalised.shape[-1]).unsqueeze(-1)
        return scaled.addcmul_(normalised, mean, value=-1).mul_(inverse), None, None


def _normalised(
    inputs: Float[Tensor, "*n d"], eps: float
) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n 1"]]:
    """x̂, and what x was multiplied with."""
    norm = torch.linalg.vector_norm(inputs, dim=-1, keepdim=True)
    inverse = norm.square_().div_(inputs.shape[-1]).add_(eps).rsqrt_()
    return inputs * inverse, inverse


def _apply(inputs: Tensor, scale: Tensor, eps: float) -> Tensor:
    output: Tensor = _RmsNorm.apply(inputs, scale, eps)  # type: ignore[no-untyped-call]
    return output
