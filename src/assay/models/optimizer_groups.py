"""Which trained parameters decay and which do not, in the order in which a trainer's optimizer counts them.

The rule is that of transformers' `Trainer.get_decay_parameter_names` (the same from 4.55 to 5.23). Knows
nothing of files or of optimizers' states.
"""

import re

from torch import nn

NOT_DECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that require gradients, each once, in the order of `named_parameters()`."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def decay_groups(model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the trained parameters with weight decay, then of those without; either may be empty.

    Without: biases, everything in an `nn.LayerNorm`, and what is named like a norm. Each in the order of
    `named_parameters()`. The optimizer of transformers' Trainer counts its parameters through both in turn.
    """
    in_layer_norms = {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
        for name, _ in module.named_parameters()
    }
    names = trained(model)
    spared = {name for name in names if name in in_layer_norms or NOT_DECAYED.search(name.lower())}
    return tuple(name for name in names if name not in spared), tuple(
        name for name in names if name in spared
    )
