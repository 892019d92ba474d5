"""Bases in 4 bits as QLoRA holds them (Dettmers et al. 2023, arXiv 2305.14314), with gradients that pass.

Knows bitsandbytes' layer and nothing of checkpoints or adapters. A frozen 4-bit layer computes y = W x with W
unpacked for the moment; adapters below it are trained through it, so ∂y/∂x must be Wᵀ.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from assay.errors import ConfigError, ModelError

TOLERANCE = 0.05
"""How far a gradient may be from the slope of its layer; bf16 is within 0.001, a missing one is 1 away."""


def four_bits(source: str, device: torch.device, dtype: torch.dtype | None) -> Any:
    """transformers' configuration for a base as QLoRA loads it: nf4 with doubly quantised scales.

    It computes in `dtype`, fp32 or bf16, by default in bf16. Raises ModelError where bitsandbytes is missing
    or cannot do this on `device`, ConfigError for another dtype.
    """
    if find_spec("bitsandbytes") is None:
        raise ModelError(without_bitsandbytes(source))
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise ConfigError("A base in 4 bits computes in fp32 or bf16; leave out another dtype.")
    import bitsandbytes
    from transformers import BitsAndBytesConfig

    if device.type not in getattr(bitsandbytes, "supported_torch_devices", {"cuda"}):
        raise ModelError(
            f"bitsandbytes {bitsandbytes.__version__} does not hold weights in 4 bits on the device "
            f"'{device}'; use another device, a newer bitsandbytes, or leave out `quantize`."
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype or torch.bfloat16,
    )


def without_bitsandbytes(source: str) -> str:
    return (
        f"The model {source} is to be loaded in 4 bits, which needs bitsandbytes; "
        "install it with `pip install 'assay[qlora]'`."
    )


def let_gradients_pass(model: nn.Module, source: str) -> None:
    """Keep the 4-bit layers of `model`, in eval mode, on the path that has a gradient.

    On CPUs with AVX512-BF16 bitsandbytes repacks the weights for inference at the first pass of a layer in
    eval mode, and what it computes from then on gives no gradient to the layer's input. Raises ModelError
    where, with that switched off, the gradient of a layer still is not its slope.
    """
    layers = _layers(model)
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    if layers and not _passes_gradients(layers[0]):
        raise ModelError(
            f"The model {source} is in 4 bits, and on the device '{layers[0].weight.device}' this version of "
            "bitsandbytes gives no gradient through them; use another of either, or leave 4 bits out."
        )


def has_four_bits(model: nn.Module) -> bool:
    """Whether a layer of `model` is held in 4 bits."""
    return bool(_layers(model))


def count(parameter: nn.Parameter) -> int:
    """How many numbers a parameter stands for: 4-bit weights are stored two to a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def _layers(model: nn.Module) -> list[Any]:
    """bitsandbytes' own layers, not PEFT's around them, which have the same name."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and isinstance(getattr(module, "quant_storage", None), torch.dtype)
    ]


def _passes_gradients(layer: Any) -> bool:
    """Whether Σ y climbs by ‖g‖² along its gradient g, as a layer linear in x must; tried after a pass
    without gradients, which is what may repack the weights."""
    zero = torch.zeros(1, layer.in_features, device=layer.weight.device, dtype=layer.compute_dtype)
    with torch.no_grad():
        before = layer(zero).double().sum()
    point = zero.clone().requires_grad_(True)
    with torch.enable_grad():
        total = layer(point).sum()
        slope = torch.autograd.grad(total, point, allow_unused=True)[0] if total.requires_grad else None
    if slope is None:
        return False
    with torch.no_grad():
        climbed = layer(slope.to(zero.dtype)).double().sum() - before
    expected = slope.double().square().sum()
    return bool((climbed - expected).abs() <= TOLERANCE * expected)
