"""Which parameter gets which curvature, and what that takes in memory. Runs nothing.

The matrices of linear layers get a Kronecker-factored curvature (all kinds but "diagonal"). Everything else
gets a diagonal one in its own basis: norms, biases, embeddings, matrices that an embedding shares, what takes
the slow path, and matrices with a side so long that its covariance would not be worth holding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch

from assay.gradients.engine import Engine

Kind = Literal["ekfac", "kfac", "diagonal"]
Shape = tuple[int, ...]

LARGEST_SIDE = 16_384
"""Rows of the largest covariance: 2 GiB in float64. Output matrices of large vocabularies lie beyond."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Names and shapes of the trained parameters, by the form of their curvature."""

    kind: Kind
    factored: Mapping[str, Shape]
    diagonal: Mapping[str, Shape]
    precision: torch.dtype = torch.float32

    @property
    def shapes(self) -> dict[str, Shape]:
        return {**self.factored, **self.diagonal}

    @property
    def factored_fraction(self) -> float:
        """Share of the trained parameters, by size, whose curvature is Kronecker-factored."""
        sizes = [sum(map(prod, part.values())) for part in (self.factored, self.diagonal)]
        return sizes[0] / sum(sizes)

    @property
    def bytes(self) -> int:
        """Memory of the covariances, their eigenvectors and all eigenvalues, when all are held at once."""
        sides = sum(side**2 for shape in self.factored.values() for side in shape)
        return sides * (8 + self.precision.itemsize) + 8 * sum(map(prod, self.shapes.values()))

    def sentence(self) -> str:
        if self.kind == "diagonal" or not self.diagonal:
            return f"every trained parameter has {NAMES[self.kind]} curvature"
        names = ", ".join(sorted(self.diagonal)[:3]) + (" …" if len(self.diagonal) > 3 else "")
        return (
            f"{self.factored_fraction:.2%} of the trained parameters have {NAMES[self.kind]} curvature; "
            f"the others ({names}) have a diagonal one"
        )


NAMES: dict[Kind, str] = {"ekfac": "an EK-FAC", "kfac": "a K-FAC", "diagonal": "a diagonal"}


def layout(engine: Engine, kind: Kind, largest_side: int = LARGEST_SIDE) -> Layout:
    """How the trained parameters are treated. Ask after `engine.check`, which may find slow ones."""
    shapes = {name: tuple(parameter.shape) for name, parameter in engine.trained.items()}
    factored = {
        name: shape
        for name, shape in shapes.items()
        if kind != "diagonal" and name in engine.matrices and max(shape) <= largest_side
    }
    diagonal = {name: shape for name, shape in shapes.items() if name not in factored}
    precision = torch.float32
    for parameter in engine.trained.values():
        precision = torch.promote_types(precision, parameter.dtype)
    return Layout(kind, factored, diagonal, precision)
