"""Inner products of per-example gradients of one parameter, dense or factored, whichever is cheaper.

Knows nothing of models. Dense: the gradient itself, (n, p). Factored: the token-wise outer products that it
is a sum of, never added up: ⟨Σ_t l_t r_tᵀ, Σ_s l'_s r'_sᵀ⟩ = Σ_ts (l_t·l'_s)(r_t·r'_s). Both are exact.
Everything is computed in fp32, or float64 where the model is, and summed over parameters in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.gradients.rules import Contribution, Dense, Outer, Rows

Form = Literal["dense", "factored"]
PAIR_CHUNK = 2**23


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Token-wise factors of many examples' gradients; `left` holds row numbers where it is one-hot (s,)."""

    left: Tensor
    right: Float[Tensor, "s i"]
    owner: Int[Tensor, "s"]

    def of(self, example: int) -> "Factors":
        mine = self.owner == example
        return Factors(self.left[mine], self.right[mine], self.owner[mine])


@dataclass(frozen=True, slots=True, eq=False)
class DenseGradients:
    values: Float[Tensor, "n p"]


@dataclass(frozen=True, slots=True, eq=False)
class FactoredGradients:
    parts: tuple[Factors, ...]
    examples: int


Gradients = DenseGradients | FactoredGradients


def form_for(shape: torch.Size, held: int, held_tokens: int, batch: int, batch_tokens: int) -> Form:
    """The form with fewer multiplications when a batch meets `held` gradients of a matrix of this shape.

    Dense: o·i for every token to add up the gradient and o·i for every pair; factored: (o + i) for every pair
    of tokens.
    """
    if len(shape) != 2:
        return "dense"
    dense = shape.numel() * (batch_tokens + batch * held)
    factored = batch_tokens * held_tokens * sum(shape)
    return "dense" if dense <= factored else "factored"


def bytes_per_example(shape: torch.Size, form: Form, tokens: float, itemsize: int = 4) -> float:
    """Memory that one held gradient takes."""
    return itemsize * (shape.numel() if form == "dense" else tokens * sum(shape))


def gather(contributions: Sequence[Contribution], form: Form, shape: torch.Size, examples: int) -> Gradients:
    """The gradients of a batch of `examples` in one form, from all contributions to one parameter."""
    if form == "factored":
        return FactoredGradients(tuple(_factors(part) for part in contributions), examples)
    first = contributions[0]
    if len(contributions) == 1 and first.example is None:
        return DenseGradients(_dense(first, shape))
    precise = _dense(first, shape)
    total = precise.new_zeros(examples, shape.numel())
    for part in contributions:
        rows = slice(None) if part.example is None else slice(part.example, part.example + 1)
        total[rows] += _dense(part, shape)
    return DenseGradients(total)


def dot(ours: Gradients, theirs: Gradients) -> Float[Tensor, "n m"]:
    """All inner products, float64. Where ours are dense, factored ones are added up one at a time."""
    if isinstance(ours, DenseGradients):
        if isinstance(theirs, DenseGradients):
            return (ours.values @ theirs.values.T).double()
        summed = (_summed(theirs, example, ours.values) for example in range(theirs.examples))
        return torch.stack([ours.values @ one for one in summed], dim=1).double()
    assert isinstance(theirs, FactoredGradients)
    total = torch.zeros(
        ours.examples, theirs.examples, dtype=torch.float64, device=ours.parts[0].right.device
    )
    for a in ours.parts:
        for b in theirs.parts:
            _add_pairs(total, a, b)
    return total


def squared_norms(gradients: Gradients) -> Float[Tensor, "n"]:
    """‖g‖² of every example, float64."""
    if isinstance(gradients, DenseGradients):
        lengths: Tensor = torch.linalg.vector_norm(gradients.values, dim=1)
        return lengths.double().square()
    norms = []
    for example in range(gradients.examples):
        alone = tuple(
            replace(part.of(example), owner=part.owner.new_zeros(int((part.owner == example).sum())))
            for part in gradients.parts
        )
        norms.append(dot(FactoredGradients(alone, 1), FactoredGradients(alone, 1)).squeeze())
    return torch.stack(norms)


def _dense(part: Contribution, shape: torch.Size) -> Float[Tensor, "n p"]:
    match part:
        case Dense(values):
            return _precise(values)
        case Outer(left, right):
            return torch.bmm(_precise(left).transpose(1, 2), _precise(right)).flatten(1)
        case Rows(ids, values):
            precise = _precise(values)
            total = precise.new_zeros(len(ids), *shape)
            for example, rows in enumerate(ids):
                total[example].index_add_(0, rows, precise[example])
            return total.flatten(1)


def _summed(gradients: FactoredGradients, example: int, like: Float[Tensor, "n p"]) -> Float[Tensor, "p"]:
    """One factored gradient added up, as wide as those of `like`."""
    width = gradients.parts[0].right.shape[1]
    total = like.new_zeros(like.shape[1] // width, width)
    for part in gradients.parts:
        mine = part.of(example)
        if mine.left.dim() == 1:
            total.index_add_(0, mine.left, mine.right)
        else:
            total.addmm_(mine.left.T, mine.right)
    return total.flatten()


def _factors(part: Contribution) -> Factors:
    """Without the tokens that add nothing, as one of their factors is zero: padding carries no gradient."""
    assert not isinstance(part, Dense)
    left, right = (part.left, part.right) if isinstance(part, Outer) else (part.ids, part.values)
    counts = right.any(-1) if left.dim() == 2 else left.any(-1) & right.any(-1)
    owner = counts.nonzero(as_tuple=True)[0]
    if part.example is not None:
        owner = torch.full_like(owner, part.example)
    return Factors(
        left[counts] if left.dim() == 2 else _precise(left[counts]), _precise(right[counts]), owner
    )


def _add_pairs(total: Float[Tensor, "n m"], a: Factors, b: Factors) -> None:
    """total[owner_a, owner_b] += (l_a·l_b)(r_a·r_b), over chunks of tokens."""
    rows = max(1, PAIR_CHUNK // max(1, len(b.owner)))
    for start in range(0, len(a.owner), rows):
        part = slice(start, start + rows)
        pairs = _left_products(a.left[part], b.left) * (a.right[part] @ b.right.T)
        by_theirs = pairs.new_zeros(len(pairs), total.shape[1]).index_add_(1, b.owner, pairs)
        total.index_add_(0, a.owner[part], by_theirs.double())


def _left_products(ours: Tensor, theirs: Tensor) -> Tensor:
    """l_a·l_b, where a vector of integers stands for one-hot rows."""
    match ours.dim(), theirs.dim():
        case 2, 2:
            return ours @ theirs.T
        case 2, 1:
            return ours[:, theirs]
        case 1, 2:
            return theirs[:, ours].T
        case _:
            return ours[:, None] == theirs[None, :]


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
