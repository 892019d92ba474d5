"""Second moments of what flows into and back out of linear layers: the two Kronecker factors of a curvature.

Knows nothing of models or eigenvectors. The gradient of one example is G = Σ_t l_t r_tᵀ over its tokens. For
a linear layer l is the gradient of the output and r the input; GPT-2's layers have them the other way round,
which makes no difference here. With
    L = Σ l lᵀ / N,    R = Σ r rᵀ / T,
both sums over the tokens that carry gradient (neither factor zero: no padding, no position that nothing
learned depends on), T their number and N that of all examples, L ⊗ R estimates the Fisher matrix of one
example, E[vec(G) vec(G)ᵀ], with tokens taken as independent of each other and l as independent of r
(Martens and Grosse 2015, arXiv 1503.05671; for sequences Grosse et al. 2023, arXiv 2308.03296).

A batch's products are fp32 (float64 where the model is) and are added up in float64: the addition costs one
operation where the product costs as many as there are tokens, and a long sum in fp32 loses digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.gradients.curvature.layout import Layout
from assay.gradients.rules import Contribution, Outer

NOISE = 1e-5
"""Share of an example's largest left factor below which a token has none. The query of the first token gets a
gradient of exactly 0, as it attends to itself alone: it comes out as 1e-7 in one batch and 0 in another."""

STRIPE = 256
"""Rows of a covariance that one product fills, from the diagonal on: the rest follows by symmetry."""


@dataclass(slots=True, eq=False)
class Pair:
    """Σ l lᵀ and Σ r rᵀ, float64, of which only what lies on and above the diagonal is meant."""

    left: Float[Tensor, "o o"]
    right: Float[Tensor, "i i"]
    tokens: Int[Tensor, ""]


class Covariances:
    """Running sums over examples, to be fed by `observe`. `examples` counts all that were seen."""

    def __init__(self, pairs: Mapping[str, Pair], examples: int) -> None:
        self._pairs = dict(pairs)
        self.examples = examples

    @classmethod
    def zeros(cls, layout: Layout, device: torch.device) -> "Covariances":
        """Nothing seen yet of the factored parameters of `layout`."""

        def pair(shape: tuple[int, ...]) -> Pair:
            left, right = (torch.zeros(side, side, dtype=torch.float64, device=device) for side in shape)
            return Pair(left, right, torch.zeros((), dtype=torch.int64, device=device))

        return cls({name: pair(shape) for name, shape in layout.factored.items()}, 0)

    def __contains__(self, name: object) -> bool:
        return name in self._pairs

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def take(self, name: str, parts: Sequence[Contribution], examples: int) -> Float[Tensor, ""]:
        """Add what a batch contributed to one parameter; finite exactly if all of it is."""
        pair = self._pairs[name]
        tokens = [_tokens(part) for part in parts if isinstance(part, Outer)]
        assert len(tokens) == len(parts)
        left, right = (torch.cat(side) if len(tokens) > 1 else side[0] for side in zip(*tokens, strict=True))
        pair.tokens += len(left)
        return _add_products(pair.left, left) + _add_products(pair.right, right)

    def pair(self, name: str) -> Pair:
        """L and R of one parameter as defined above, whole matrices, and T. Zero where no token was seen."""
        sums = self._pairs[name]
        return replace(
            sums,
            left=_mirrored(sums.left) / max(1, self.examples),
            right=_mirrored(sums.right) / sums.tokens.clamp(min=1),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All there is to know, for a file; `from_tensors` continues from it to the identical result."""
        found = {"examples": torch.tensor(self.examples)}
        for name, pair in self._pairs.items():
            found |= {f"left/{name}": pair.left, f"right/{name}": pair.right, f"tokens/{name}": pair.tokens}
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> "Covariances":
        names = [key.removeprefix("tokens/") for key in tensors if key.startswith("tokens/")]
        parts = ("left", "right", "tokens")
        pairs = {n: Pair(*(tensors[f"{part}/{n}"].to(device, copy=True) for part in parts)) for n in names}
        return cls(pairs, int(tensors["examples"]))


def _tokens(part: Outer) -> tuple[Float[Tensor, "s o"], Float[Tensor, "s i"]]:
    """Factors of the tokens that carry gradient, fp32 or better. NaN counts as gradient."""
    size = part.left.abs().amax(-1)
    nothing = (size <= NOISE * size.amax(1, keepdim=True)) | (part.right.abs().amax(-1) == 0)
    left, right = part.left.flatten(0, 1), part.right.flatten(0, 1)
    if nothing.any():
        carries = ~nothing.flatten()
        left, right = left[carries], right[carries]
    precision = torch.promote_types(left.dtype, torch.float32)
    return left.to(precision), right.to(precision)


def _add_products(total: Float[Tensor, "d d"], values: Float[Tensor, "s d"]) -> Float[Tensor, ""]:
    """total += valuesᵀ values on and above the diagonal; returns the trace of what was added."""
    trace = total.new_zeros(())
    for start in range(0, len(total), STRIPE):
        rows = slice(start, start + STRIPE)
        product = values[:, rows].T @ values[:, start:]
        total[rows, start:].add_(product)
        trace += product.diagonal().sum()
    return trace


def _mirrored(upper: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    return upper.triu() + upper.triu(1).T
