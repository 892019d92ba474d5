"""The rule of each kind of layer: from what flowed through it to its per-example parameter gradients.

Knows nothing of models, losses or products. Adding a layer kind is one function and one row of `rule_for`.

Shapes: n examples, t tokens, i inputs, o outputs. Sums over tokens are left undone where the product of two
gradients is cheaper without them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True, slots=True)
class Outer:
    """Gradient Σ_t left_t right_tᵀ, shape (o, i), of each example.

    `example` is the row in the batch of a contribution that one example made alone (n = 1), None where the
    whole batch made it.
    """

    left: Float[Tensor, "n t o"]
    right: Float[Tensor, "n t i"]
    example: int | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Gradient Σ_t e_{ids_t} values_tᵀ, shape (rows, i): an embedding's, whose left factors are one-hot."""

    ids: Int[Tensor, "n t"]
    values: Float[Tensor, "n t i"]
    example: int | None = None


@dataclass(frozen=True, slots=True)
class Dense:
    """Gradient already summed over tokens."""

    values: Float[Tensor, "n p"]
    example: int | None = None


Contribution = Outer | Rows | Dense
Rule = Callable[[nn.Module, Tensor, Tensor, str], Contribution]


def cut(part: Contribution, rows: range) -> Contribution | None:
    """What `part` contributes to some rows of its batch, which are counted from 0 then; None for nothing."""
    if part.example is not None:
        return replace(part, example=part.example - rows.start) if part.example in rows else None
    mine = slice(rows.start, rows.stop)
    match part:
        case Dense(values):
            return Dense(values[mine])
        case Outer(left, right):
            return Outer(left[mine], right[mine])
        case Rows(ids, values):
            return Rows(ids[mine], values[mine])


def _linear(module: nn.Module, inputs: Tensor, output_grads: Tensor, parameter: str) -> Contribution:
    """y = W x + b: ∂ℓ/∂W = Σ_t δ_t x_tᵀ, ∂ℓ/∂b = Σ_t δ_t (Goodfellow 2015, arXiv 1510.01799)."""
    if parameter == "bias":
        return _summed(output_grads)
    return Outer(_tokens(output_grads), _tokens(inputs))


def _conv1d(module: nn.Module, inputs: Tensor, output_grads: Tensor, parameter: str) -> Contribution:
    """GPT-2's y = x W + b, whose weight is stored (i, o)."""
    if parameter == "bias":
        return _summed(output_grads)
    return Outer(_tokens(inputs), _tokens(output_grads))


def _embedding(module: nn.Module, inputs: Tensor, output_grads: Tensor, parameter: str) -> Contribution:
    """y = s · W[id]: row id receives s · δ (Gemma 3 scales its embeddings by s)."""
    scale = getattr(module, "embed_scale", None)
    return Rows(inputs, output_grads if scale is None else output_grads * scale.to(output_grads.dtype))


def _norm(module: nn.Module, inputs: Tensor, output_grads: Tensor, parameter: str) -> Contribution:
    """y = w ⊙ x̂ + b or (1 + w) ⊙ x̂: affine in w, so ∂y/∂w = y(w = 1) − y(w = 0), exactly x̂."""
    if parameter == "bias":
        return _summed(output_grads)
    weight = module.get_parameter("weight")
    at_one = {"weight": torch.ones_like(weight)}
    at_zero = {"weight": torch.zeros_like(weight)}
    if getattr(module, "bias", None) is not None:
        zero_bias = {"bias": torch.zeros_like(weight)}
        at_one, at_zero = at_one | zero_bias, at_zero | zero_bias
    call = torch.func.functional_call
    with torch.no_grad():
        normalised = call(module, at_one, (inputs,)) - call(module, at_zero, (inputs,))
    precision = torch.promote_types(output_grads.dtype, torch.float32)
    return _summed(output_grads.to(precision) * normalised.to(precision))


def rule_for(module: nn.Module) -> Rule | None:
    """The rule of a module, or None where none is known. A subclass with its own forward has none."""
    forward = type(module).forward
    if forward is nn.Linear.forward:
        return _linear
    if forward is Conv1D.forward:
        return _conv1d
    if forward is nn.Embedding.forward or hasattr(module, "embed_scale"):
        return _embedding if isinstance(module, nn.Embedding) and not module.sparse else None
    parameters = dict(module.named_parameters(recurse=False))
    is_norm = type(module).__name__.endswith("Norm") and set(parameters) <= {"weight", "bias"}
    if is_norm and "weight" in parameters and parameters["weight"].dim() == 1:
        return _norm
    return None


def is_linear(module: nn.Module) -> bool:
    """Whether the gradient of the module's `weight` is an `Outer`."""
    return rule_for(module) in (_linear, _conv1d)


def _tokens(values: Tensor) -> Tensor:
    """(n, …, d) → (n, t, d)."""
    return values.reshape(values.shape[0], -1, values.shape[-1])


def _summed(values: Tensor) -> Dense:
    """(n, …, d) → Σ over everything between, in fp32 or better."""
    precision = torch.promote_types(values.dtype, torch.float32)
    return Dense(_tokens(values).sum(1, dtype=precision))
