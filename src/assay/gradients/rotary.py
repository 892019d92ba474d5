"""Rotary position embeddings as one step: the same queries and keys, in a third of the passes over memory.

Knows nothing of models but where transformers keeps the function: each modelling file has its own
`apply_rotary_pos_emb(q, k, cos, sin)`. It is replaced while in use and put back. Rotating halves (Su et al.
2021, arXiv 2104.09864): (a, b) → (a cos₁ − b sin₁, b cos₂ + a sin₂).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

NAME = "apply_rotary_pos_emb"


@contextmanager
def fused_rotary(model: nn.Module) -> Iterator[None]:
    """While this is entered, files that hold classes of `model` rotate in one step, if they rotate halves."""
    files = {sys.modules[type(module).__module__] for module in model.modules()}
    replaced: list[tuple[ModuleType, Any]] = []
    for file in files:
        own = getattr(file, NAME, None)
        if own is not None and _rotates_halves(own):
            replaced.append((file, own))
            setattr(file, NAME, _or_else(own))
    try:
        yield
    finally:
        for file, own in replaced:
            setattr(file, NAME, own)


def _or_else(own: Callable[..., Any]) -> Callable[..., Any]:
    """One step for queries and keys (n, heads, t, d) with angles (n, t, d) of their dtype, else `own`."""

    def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *more: Any, **named: Any) -> Any:
        plain = not more and not named and not cos.requires_grad and not sin.requires_grad
        if not plain or cos.dim() != 3 or any(x.dtype != cos.dtype or x.dim() != 4 for x in (q, k)):
            return own(q, k, cos, sin, *more, **named)
        if any(x.shape[-1] != cos.shape[-1] for x in (q, k)):
            return own(q, k, cos, sin)
        angles = cos.unsqueeze(1), sin.unsqueeze(1)
        return _Rotate.apply(q, *angles), _Rotate.apply(k, *angles)  # type: ignore[no-untyped-call]

    return rotate


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        output = x * cos
        (a, b), (left, right), (sin_1, sin_2) = _halves(x), _halves(output), _halves(sin)
        left.addcmul_(b, sin_1, value=-1)
        right.addcmul_(a, sin_2)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        output = grads[0] * cos
        (a, b), (left, right), (sin_1, sin_2) = _halves(grads[0]), _halves(output), _halves(sin)
        left.addcmul_(b, sin_2)
        right.addcmul_(a, sin_1, value=-1)
        return output, None, None


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def _rotates_halves(own: Callable[..., Any]) -> bool:
    """Whether a function gives what `_Rotate` does, on numbers that tell other conventions apart."""
    with torch.no_grad():
        q, k = torch.linspace(-1, 2, 16).view(1, 1, 2, 8), torch.linspace(3, -2, 16).view(1, 1, 2, 8)
        cos, sin = torch.linspace(0.1, 0.9, 16).view(1, 2, 8), torch.linspace(0.8, -0.7, 16).view(1, 2, 8)
        try:
            expected = own(q, k, cos, sin)
        except (TypeError, ValueError, RuntimeError, IndexError):
            return False
        found = (_Rotate.apply(x, cos[:, None], sin[:, None]) for x in (q, k))  # type: ignore[no-untyped-call]
        return all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
