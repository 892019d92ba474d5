"""Eigenvectors of the two covariances of a parameter. Knows nothing of where these come from.

Always in float64: a covariance spans more digits than fp32 has, and the decomposition is made once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.errors import NumericsError
from assay.gradients.curvature.covariances import Covariances

JITTER = 1e-10
"""Added to the diagonal where a decomposition fails, as a share of the mean eigenvalue."""


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Columns are eigenvectors of L and R; the eigenvalues, float64 and not negative, in the same order."""

    left: Float[Tensor, "o o"]
    right: Float[Tensor, "i i"]
    left_values: Float[Tensor, "o"]
    right_values: Float[Tensor, "i"]


def eigenbases(covariances: Covariances, precision: torch.dtype = torch.float32) -> Mapping[str, Basis]:
    """The basis of every parameter, its vectors rounded to `precision`.

    Raises NumericsError naming a parameter whose covariance cannot be decomposed.
    """
    return {name: _basis(covariances, name, precision) for name in covariances}


def _basis(covariances: Covariances, name: str, precision: torch.dtype) -> Basis:
    pair = covariances.pair(name)
    left_values, left = eigh(pair.left, name)
    right_values, right = eigh(pair.right, name)
    return Basis(left.to(precision).contiguous(), right.to(precision).contiguous(), left_values, right_values)


def eigh(matrix: Float[Tensor, "d d"], name: str) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
    """Eigenvalues (at least 0) and eigenvectors of a covariance, float64, on its own device.

    Where the decomposition fails it is tried again with `JITTER` on the diagonal, then so on the processor.

    Raises NumericsError naming the parameter.
    """
    precise = matrix.double()
    if precise.isfinite().all():
        jitter = JITTER * precise.diagonal().mean()
        shifted = precise + jitter * torch.eye(len(precise), dtype=torch.float64, device=precise.device)
        for attempt, shift in ((precise, 0.0), (shifted, float(jitter)), (shifted.cpu(), float(jitter))):
            try:
                values, vectors = torch.linalg.eigh(attempt)
            except RuntimeError:  # LinAlgError is one, and so are the failures of GPU libraries
                continue
            if values.isfinite().all() and vectors.isfinite().all():
                return (values - shift).clamp_(min=0).to(matrix.device), vectors.to(matrix.device)
    raise NumericsError(
        f"The covariances of {name} cannot be decomposed: they are not finite or badly scaled; "
        "measure the diagonal curvature instead, or in a wider --dtype."
    )
