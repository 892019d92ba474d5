"""One arm of a lookahead: steps on base examples with or without probes, then the queries' losses.

Arms of one checkpoint and seed share the base batches and their order, and probe sets share the positions
of the probes drawn, so that their differences are not those of chance. Knows nothing of tasks or studies.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from assay.data.example import Tokens
from assay.lookahead.losses import answers
from assay.lookahead.plan import Plan, positions
from assay.lookahead.steps import Step, added, mean_loss, restored, take_steps

MakeOptimizer = Callable[[nn.Module], torch.optim.Optimizer]


def arm_steps(plan: Plan, seed: int, base: Sequence[Tokens], probes: Sequence[Tokens]) -> list[Step]:
    """The steps of an arm; without base examples the probes are learned from alone, and vice versa."""
    of_base = positions(len(base), plan.steps * plan.base, "base", seed) if base else []
    of_probes = positions(len(probes), plan.steps * plan.added, "probes", seed) if probes else []
    steps = []
    for step in range(plan.steps):
        batch = [base[i] for i in of_base[step * plan.base : (step + 1) * plan.base]]
        extra = [probes[i] for i in of_probes[step * plan.added : (step + 1) * plan.added]]
        steps.append(added(batch, extra, plan.weight) if batch and extra else mean_loss([*batch, *extra]))
    return steps


def arm_losses(
    model: nn.Module,
    make_optimizer: MakeOptimizer,
    plan: Plan,
    seed: int,
    base: Sequence[Tokens],
    probes: Sequence[Tokens],
    queries: Sequence[Tokens],
    *,
    token_budget: int = 8192,
) -> Float[np.ndarray, "q"]:
    """Losses of the queries after the steps, in nats summed over completion tokens, float64.

    The model comes back to the bit. With neither base nor probes no step is taken.
    """
    with restored(model):
        if base or probes:
            steps = arm_steps(plan, seed, base, probes)
            take_steps(model, make_optimizer(model), steps, token_budget=token_budget)
        return answers(model, queries, token_budget).losses
