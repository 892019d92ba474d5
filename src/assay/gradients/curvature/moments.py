"""Mean squares of per-example gradients, each parameter's in a basis of eigenvectors or in its own.

Knows nothing of models. In the basis of `eigen` these are the eigenvalues of EK-FAC,
    Λ = E[(Q_Lᵀ G Q_R)²],
the best diagonal there is in that basis (George et al. 2018, arXiv 1806.03884); without one they are the
diagonal of the Fisher matrix. Squares are added up in fp32 (float64 where the model is) within a batch and in
float64 across batches.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from assay.gradients.curvature.eigen import Basis
from assay.gradients.curvature.layout import Shape
from assay.gradients.inner import DenseGradients, gather
from assay.gradients.rules import Contribution, Outer, Rows, cut

CHUNK = 2**26
"""Numbers of dense gradients held at a time: 256 MiB in fp32."""


class Moments:
    """Running sums over examples, to be fed by `observe`. `examples` counts all that were seen."""

    def __init__(self, sums: Mapping[str, Tensor], bases: Mapping[str, Basis], examples: int) -> None:
        self._sums = dict(sums)
        self._bases = bases
        self.examples = examples

    @classmethod
    def zeros(
        cls, shapes: Mapping[str, Shape], bases: Mapping[str, Basis], device: torch.device
    ) -> "Moments":
        """Nothing seen yet of parameters of these `shapes`; those without a basis keep their own."""
        sums = {n: torch.zeros(s, dtype=torch.float64, device=device) for n, s in shapes.items()}
        return cls(sums, bases, 0)

    def __contains__(self, name: object) -> bool:
        return name in self._sums

    def take(self, name: str, parts: Sequence[Contribution], examples: int) -> Float[Tensor, ""]:
        """Add what a batch contributed to one parameter; finite exactly if all of it is."""
        total, basis = self._sums[name], self._bases.get(name)
        added = total.new_zeros(())
        if basis is None and len(parts) == 1 and isinstance(parts[0], Rows):
            squares = _squared_rows(parts[0], total.shape)
            total += squares
            return added + squares.sum()
        step = max(1, CHUNK // max(1, total.numel()))
        for some, count in _by_examples(parts, examples, step):
            squares = _gradients(some, basis, total.shape, count).square().sum(0)
            total += squares
            added += squares.sum()
        return added

    def mean(self, name: str) -> Float[Tensor, "..."]:
        """The mean square of one parameter's gradient, float64, in its basis; 0 where nothing was seen."""
        return self._sums[name] / max(1, self.examples)

    def tensors(self) -> dict[str, Tensor]:
        """All there is to know but the bases; `from_tensors` continues from it to the identical result."""
        squares = {f"squares/{name}": values for name, values in self._sums.items()}
        return {"examples": torch.tensor(self.examples), **squares}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], bases: Mapping[str, Basis], device: torch.device
    ) -> "Moments":
        sums = {
            key.removeprefix("squares/"): values.to(device, copy=True)
            for key, values in tensors.items()
            if key.startswith("squares/")
        }
        return cls(sums, bases, int(tensors["examples"]))


def rotate(gradients: Float[Tensor, "n o i"], basis: Basis) -> Float[Tensor, "n o i"]:
    """Q_Lᵀ G Q_R of every example, in the gradients' precision."""
    left, right = basis.left.to(gradients), basis.right.to(gradients)
    return ((gradients @ right).mT @ left).mT


def rotate_back(gradients: Float[Tensor, "n o i"], basis: Basis) -> Float[Tensor, "n o i"]:
    """Q_L G Q_Rᵀ of every example, in the gradients' precision."""
    left, right = basis.left.to(gradients), basis.right.to(gradients)
    return ((gradients @ right.T).mT @ left.T).mT


def rotate_outer(part: Outer, basis: Basis) -> Float[Tensor, "n o i"]:
    """Q_Lᵀ (Σ_t l_t r_tᵀ) Q_R, each side rotated before or after the sum, whichever costs less.

    Before it the left side takes o² products for each of t tokens, after it o² for each of i columns; the
    right side likewise.
    """
    precision = torch.promote_types(part.left.dtype, torch.float32)
    left, right = part.left.to(precision), part.right.to(precision)
    tokens, rows, columns = left.shape[1], left.shape[2], right.shape[2]
    q_left, q_right = basis.left.to(left), basis.right.to(right)
    if tokens <= columns:
        left = left @ q_left
    if tokens <= rows:
        right = right @ q_right
    summed = torch.bmm(left.mT, right)
    if tokens > rows:
        summed = summed @ q_right
    return summed if tokens <= columns else (summed.mT @ q_left).mT


def _gradients(
    parts: Sequence[Contribution], basis: Basis | None, shape: torch.Size, examples: int
) -> Float[Tensor, "n ..."]:
    """Dense gradients of a few examples in their basis."""
    first = parts[0]
    if basis is not None and len(parts) == 1 and isinstance(first, Outer) and first.example is None:
        return rotate_outer(first, basis)
    dense = gather(parts, "dense", shape, examples)
    assert isinstance(dense, DenseGradients)
    values = dense.values.reshape(examples, *shape)
    return values if basis is None else rotate(values, basis)


def _by_examples(
    parts: Sequence[Contribution], examples: int, step: int
) -> Iterator[tuple[list[Contribution], int]]:
    """The contributions of `step` examples after another, and how many examples these are."""
    if step >= examples:
        yield list(parts), examples
        return
    for start in range(0, examples, step):
        rows = range(start, min(start + step, examples))
        some = [own for part in parts if (own := cut(part, rows))]
        if some:
            yield some, len(rows)


def _squared_rows(part: Rows, shape: torch.Size) -> Float[Tensor, "v h"]:
    """Σ_n (Σ_t e_{ids_t} values_tᵀ)², without a dense gradient of any example."""
    values = part.values.to(torch.promote_types(part.values.dtype, torch.float32))
    ids = part.ids + shape[0] * torch.arange(len(part.ids), device=values.device)[:, None]
    places, where = torch.unique(ids, return_inverse=True)
    sums = values.new_zeros(len(places), shape[1]).index_add_(0, where.flatten(), values.flatten(0, 1))
    return values.new_zeros(shape).index_add_(0, places % shape[0], sums.square_())
