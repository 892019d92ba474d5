"""Adam's next step for one candidate: the candidate side of LESS (Xia et al. 2024, arXiv 2402.04333).

Knows nothing of files. Turns gradients g into the direction Γ in which Adam would go next if its batch were
this candidate alone, with the sign of the gradient: the parameters move by −lr · Γ, so a positive ⟨Γ, g_q⟩
lowers the query's loss. Weight decay moves the parameters for every candidate alike and is left out.

Γ is not linear in g: LESS takes the gradient of the token mean (`meeting.Side.mean`), and Γ(0) is not 0.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.errors import ModelError
from assay.gradients.views import Transform
from assay.models.optimizer_state import Group, Moments, OptimizerState


def adam_direction(state: OptimizerState, device: torch.device, *, exact: bool = False) -> Transform:
    """The transform that takes a candidate's gradient g to Γ, with m, v and t of the checkpoint.

    m' = β₁m + (1−β₁)g, v' = β₂v + (1−β₂)g², and at step t + 1 (Kingma and Ba 2015, arXiv 1412.6980)
    Γ = m'/(1 − β₁ᵗ⁺¹) / (√(v'/(1 − β₂ᵗ⁺¹)) + ε); under amsgrad the largest v so far stands for v'.

    With `exact` the arithmetic of LESS's own code instead, Γ = m' / √(v' + ε): no bias correction, ε inside
    the root. β₁, β₂ and ε are those of the checkpoint (LESS writes .9, .999 and 1e-8 into its code).

    The moments are kept on `device` in the dtype in which they were stored. The transform raises ModelError
    when asked for a parameter that the optimizer does not hold.
    """
    memories = {
        name: _memory(state.moments[name], group, device) for group in state.groups for name in group.names
    }

    def direction(name: str, gradients: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        if name not in memories:
            raise ModelError(
                f"{state.source} holds no moments of {name}, which is trained in the model: it belongs to "
                "another model or adapter."
            )
        return memories[name].exact(gradients) if exact else memories[name].corrected(gradients)

    return direction


@dataclass(frozen=True, slots=True)
class _Memory:
    """m, v and the settings of one parameter, flat."""

    group: Group
    step: int
    first: Float[Tensor, "p"]
    second: Float[Tensor, "p"]
    largest: Float[Tensor, "p"] | None

    def corrected(self, gradients: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        mean, square = self._next(gradients)
        if self.largest is not None:
            square = torch.maximum(square, self.largest.to(square.dtype))
        beta1, beta2 = self.group.betas
        scale = square.div_(1 - beta2 ** (self.step + 1)).sqrt_().add_(self.group.eps)
        return mean.div_(1 - beta1 ** (self.step + 1)).div_(scale)

    def exact(self, gradients: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
        mean, square = self._next(gradients)
        return mean.div_(square.add_(self.group.eps).sqrt_())

    def _next(self, gradients: Float[Tensor, "n p"]) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"]]:
        """m' and v'. An optimizer that maximizes has seen, and sees, −g."""
        beta1, beta2 = self.group.betas
        seen = -gradients if self.group.maximize else gradients
        mean = seen.mul(1 - beta1).add_(self.first.to(seen.dtype), alpha=beta1)
        square = seen.square().mul_(1 - beta2).add_(self.second.to(seen.dtype), alpha=beta2)
        return mean, square


def _memory(moments: Moments, group: Group, device: torch.device) -> _Memory:
    largest = moments.max_exp_avg_sq
    return _Memory(
        group,
        moments.step,
        moments.exp_avg.flatten().to(device),
        moments.exp_avg_sq.flatten().to(device),
        None if largest is None else largest.flatten().to(device),
    )
