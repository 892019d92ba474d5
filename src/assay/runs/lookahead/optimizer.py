"""Which optimizer takes the steps of a lookahead, at which rate, and why. Knows no data.

The run's own Adam with its moments where a checkpoint holds it, else AdamW without history; at an eighth of
the run's peak learning rate (docs/decisions.md), for the rate at a checkpoint may be next to 0, or at a usual
rate where the run's is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.gradients.coverage import trained_parameters
from assay.lookahead.run import MakeOptimizer
from assay.models.optimizer_building import build_optimizer, fresh_optimizer
from assay.models.optimizer_mapping import verify_mapping
from assay.models.optimizer_state import OPTIMIZER, OptimizerState, has_optimizer, read_optimizer
from assay.models.rates import peak_learning_rate
from assay.models.session import Session
from assay.models.trajectory import Checkpoint, Trajectory
from assay.models.weights import content_digest

SHARE_OF_PEAK = 1 / 8
USUAL_RATE = {"adapter": 1e-4, "full": 2e-6, "base": 2e-6}
OWN = "own"


@dataclass(frozen=True, slots=True)
class Rate:
    """A learning rate and where it comes from, in words that follow "at a learning rate of"."""

    value: float
    why: str


def learning_rate(trajectory: Trajectory, given: float | None) -> Rate:
    """The rate of every step: as `given`, an eighth of the run's peak, or a usual one."""
    if given is not None:
        return Rate(given, f"{given:.3g}, as asked for")
    peak = peak_learning_rate(trajectory)
    if peak is not None:
        rate = SHARE_OF_PEAK * peak
        return Rate(rate, f"{rate:.3g}, an eighth of the run's peak of {peak:.3g}")
    kind = trajectory.checkpoints[-1].kind
    usual = USUAL_RATE[kind]
    return Rate(
        usual,
        f"{usual:g}, a usual one for {'LoRA' if kind == 'adapter' else 'full fine-tuning'} (the run's own is "
        "not known)",
    )


def optimizer_digest(checkpoint: Checkpoint) -> str | None:
    """Digest of the optimizer that a checkpoint holds; None where it holds none."""
    folder = Path(checkpoint.source)
    return content_digest([folder / OPTIMIZER]) if has_optimizer(folder) else None


@dataclass(frozen=True, slots=True)
class Chosen:
    """`make` builds the optimizer anew for every arm; `kind` is "own", or why it is one without history."""

    make: MakeOptimizer
    kind: str


def choose_optimizer(session: Session, checkpoint: Checkpoint, rate: float) -> Chosen:
    """The optimizer at `checkpoint`, to which the session's model is moved. Nothing of the user's changes."""

    def fresh(model: nn.Module) -> torch.optim.Optimizer:
        return fresh_optimizer(model, rate)

    folder = Path(checkpoint.source)
    model = session.at(checkpoint)
    if not has_optimizer(folder):
        return Chosen(fresh, f"the checkpoint has no {OPTIMIZER}")
    try:
        state = read_optimizer(folder, model)
    except ModelError as error:
        return Chosen(fresh, str(error).rstrip("."))
    if checkpoint.kind == "adapter" and misplaced(session, checkpoint, state):
        return Chosen(fresh, f"the moments in {folder / OPTIMIZER} belong to parameters in another order")
    at_rate = with_rate(state, rate)
    return Chosen(lambda model: build_optimizer(model, at_rate), OWN)


def with_rate(state: OptimizerState, rate: float) -> OptimizerState:
    """The state with its largest rate set to `rate`, and those of other groups in the same proportion.

    Where a schedule has ended all rates are 0, and all groups get `rate`.
    """
    largest = max((group.lr for group in state.groups if group.names), default=0.0)
    groups = tuple(
        replace(group, lr=rate if largest == 0 else rate * group.lr / largest) for group in state.groups
    )
    return replace(state, groups=groups, learning_rate=rate)


def misplaced(session: Session, checkpoint: Checkpoint, state: OptimizerState) -> bool:
    """Whether the adapter's change since the checkpoint before contradicts the order of the moments."""
    checkpoints = session.trajectory.checkpoints
    earlier = [one for one in checkpoints[: checkpoints.index(checkpoint)] if one.kind == "adapter"]
    if not earlier:
        return False
    before = _weights(session.at(earlier[-1]))
    after = _weights(session.at(checkpoint))
    try:
        return verify_mapping(state, before, after).verdict == "contradicted"
    except ModelError:  # nothing moved between the two, so nothing can be told
        return False


def _weights(model: nn.Module) -> Mapping[str, Tensor]:
    return {name: p.detach().to("cpu", copy=True) for name, p in trained_parameters(model).items()}
