"""An AdamW over a model's trained parameters: with the history of a checkpoint, or with none.

Knows nothing of files, batches or losses.
"""

import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.models.optimizer_groups import decay_groups, trained
from assay.models.optimizer_state import Moments, OptimizerState
from assay.models.placing import listed


def build_optimizer(model: nn.Module, state: OptimizerState) -> torch.optim.AdamW:
    """The optimizer with which the trainer would have gone on from `state`, over `model`'s own parameters.

    Groups, rates, betas, ε and weight decay are those stored; the moments are copies on the parameters'
    devices, in the parameters' dtypes, as torch keeps them. torch chooses the implementation, so a step may
    differ from the trainer's in the last digits. The rates are those of the next step and may be 0 where a
    schedule has ended. Raises ModelError when the model trains other parameters than `state` holds.
    """
    parameters = trained(model)
    if differing := parameters.keys() ^ state.moments.keys():
        raise ModelError(
            f"{state.source} and the model do not train the same parameters; only one of them has "
            f"{listed(differing)}."
        )
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [parameters[name] for name in group.names],
                "lr": group.lr,
                "betas": group.betas,
                "eps": group.eps,
                "weight_decay": group.weight_decay,
                "amsgrad": group.amsgrad,
                "maximize": group.maximize,
            }
            for group in state.groups
        ]
    )
    for name, moments in state.moments.items():
        if moments.step > 0:
            optimizer.state[parameters[name]] = _entry(parameters[name], moments)
    return optimizer


def fresh_optimizer(
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> torch.optim.AdamW:
    """An AdamW without history over `model`'s trained parameters, grouped as transformers' Trainer does.

    Biases and norms are spared `weight_decay`. The defaults are the Trainer's.
    """
    parameters = trained(model)
    decayed, spared = decay_groups(model)
    return torch.optim.AdamW(
        [
            {"params": [parameters[name] for name in decayed], "weight_decay": weight_decay},
            {"params": [parameters[name] for name in spared], "weight_decay": 0.0},
        ],
        lr=lr,
        betas=betas,
        eps=eps,
    )


def _entry(parameter: nn.Parameter, moments: Moments) -> dict[str, Tensor]:
    """What torch's Adam keeps for a parameter; the step is an fp32 scalar on the CPU."""
    tensors = {
        "exp_avg": moments.exp_avg,
        "exp_avg_sq": moments.exp_avg_sq,
        "max_exp_avg_sq": moments.max_exp_avg_sq,
    }
    return {"step": torch.tensor(float(moments.step))} | {
        key: tensor.to(device=parameter.device, dtype=parameter.dtype, copy=True)
        for key, tensor in tensors.items()
        if tensor is not None
    }
