"""The curvature of a model's loss in factors, and what it makes of a gradient: H⁻¹ g and H^(−1/2) g.

Knows nothing of models or of how the factors were measured. H is the mean over examples of the Fisher matrix
of one example's loss (summed over its tokens), parameter by parameter: H = (Q_L ⊗ Q_R) diag(Λ) (Q_L ⊗ Q_R)ᵀ
with Λ = E[(Q_Lᵀ G Q_R)²] for "ekfac" and Λ = λ_L λ_Rᵀ for "kfac"; without a basis Q = 1 and Λ = E[G²].
Damped by λ = damping · mean Λ of the parameter, its eigenvalues are Λ + λ.

Removing example z from N that a model was trained on raises the loss of q by ⟨g_z, H⁻¹ g_q⟩ / N, to first
order. The 1/N is not in here: N belongs to the training, not to the examples that H was estimated from.
Labels drawn from the model make the Fisher matrix the Gauss-Newton matrix of losses whose weights are 0 or 1;
other loss weights enter it squared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor

from assay.errors import ConfigError, ModelError
from assay.gradients.curvature.eigen import Basis
from assay.gradients.curvature.layout import Layout
from assay.gradients.curvature.moments import Moments, rotate, rotate_back
from assay.gradients.views import Transform

DAMPING = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """`eigenvalues[name]` is Λ, float64, of the parameter's shape; `bases[name]` Q_L and Q_R, if it has them.

    `examples` says how many examples it was measured on.
    """

    layout: Layout
    eigenvalues: Mapping[str, Float[Tensor, "..."]]
    bases: Mapping[str, Basis]
    examples: int

    @property
    def flat(self) -> tuple[str, ...]:
        """Parameters without any gradient (A of a fresh LoRA), whose curvature is 0 and inverse undefined.

        They contribute 0 to every product.
        """
        return tuple(name for name, values in self.eigenvalues.items() if not values.any())

    def sentence(self) -> str:
        if not self.flat:
            return self.layout.sentence()
        names = ", ".join(self.flat[:3]) + (" …" if len(self.flat) > 3 else "")
        return f"{self.layout.sentence()}; {names} had no gradient at all and count as 0"

    def inverse(self, damping: float = DAMPING) -> Transform:
        """g ↦ (H + λ)⁻¹ g, in the gradients' precision.

        Raises ConfigError for a damping below 0; the transform raises ModelError for an unknown parameter.
        """
        return self._transform(damping, torch.reciprocal, back=True)

    def inverse_root(self, damping: float = DAMPING) -> Transform:
        """g ↦ (H + λ)^(−1/2) g, the symmetric root: ⟨g, H⁻¹ g'⟩ is the inner product of what it gives.

        Raises as `inverse` does.
        """
        return self._transform(damping, torch.rsqrt, back=True)

    def whitening(self, damping: float = DAMPING) -> Transform:
        """g ↦ (Λ + λ)^(−1/2) Qᵀ g: the inner products and norms of `inverse_root` at half its cost, but in
        the eigenvectors' coordinates.

        Raises as `inverse` does.
        """
        return self._transform(damping, torch.rsqrt, back=False)

    def _transform(self, damping: float, power: Callable[[Tensor], Tensor], back: bool) -> Transform:
        if not (isfinite(damping) and damping >= 0):
            raise ConfigError(f"The damping is {damping}; it must be a number of 0 or more.")

        def transform(name: str, gradients: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
            if name not in self.eigenvalues:
                raise ModelError(f"The curvature was measured without {name}; measure it on this model.")
            values, basis = self.eigenvalues[name], self.bases.get(name)
            damped = values + damping * values.mean()
            scales = power(damped).masked_fill_(damped == 0, 0.0).to(gradients)
            if basis is None:
                return gradients * scales.flatten()
            scaled = rotate(gradients.reshape(-1, *values.shape), basis).mul_(scales)
            return (rotate_back(scaled, basis) if back else scaled).flatten(1)

        return transform


def curvature(layout: Layout, bases: Mapping[str, Basis], moments: Moments) -> Curvature:
    """Put together what the passes found; for "kfac" `moments` need hold the diagonal parameters only."""
    eigenvalues = {
        name: torch.outer(bases[name].left_values, bases[name].right_values)
        if layout.kind == "kfac" and name in layout.factored
        else moments.mean(name)
        for name in layout.shapes
    }
    return Curvature(layout, eigenvalues, bases, moments.examples)
