"""How precisely a model computes, and computing more precisely for a while. Knows nothing of what for.

Quantised layers unpack their weights into a dtype of their own, `compute_dtype`, whatever they are stored in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def is_precise(model: nn.Module) -> bool:
    """Whether all floating-point weights are held, and all quantised layers compute, in 32 bits or more."""
    return not _narrow_parameters(model) and not _narrow_layers(model)


@contextmanager
def in_fp32(model: nn.Module) -> Iterator[None]:
    """Hold floating-point weights, and compute with quantised ones, in fp32 at least.

    Widening loses nothing, so the weights come back exactly. Quantised weights stay as they are stored.
    """
    parameters = {parameter: parameter.dtype for parameter in _narrow_parameters(model)}
    layers = {layer: layer.compute_dtype for layer in _narrow_layers(model)}
    for parameter in parameters:
        parameter.data = parameter.data.float()
    for layer in layers:
        layer.compute_dtype = torch.float32
    try:
        yield
    finally:
        for parameter, dtype in parameters.items():
            parameter.data = parameter.data.to(dtype)
        for layer, dtype in layers.items():
            layer.compute_dtype = dtype


def _narrow_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Those in 16 bits or fewer; the dtype of quantised ones is only that of their storage."""
    return [
        parameter
        for parameter in model.parameters()
        if parameter.is_floating_point()
        and torch.finfo(parameter.dtype).bits < 32
        and not hasattr(parameter, "quant_state")
    ]


def _narrow_layers(model: nn.Module) -> list[Any]:
    """Quantised layers that compute in 16 bits."""
    layers: list[Any] = [module for module in model.modules() if hasattr(module, "compute_dtype")]
    return [
        layer
        for layer in layers
        if isinstance(layer.compute_dtype, torch.dtype) and torch.finfo(layer.compute_dtype).bits < 32
    ]
