"""A LoRA layer as one step: the same output and gradients as PEFT's, in fewer passes over wide activations.

Knows nothing of what is done with the gradients. PEFT computes y = W x + s · B(A x) in five steps, three of
which write a tensor as wide as y; here B(A x) is added into y by the matrix product that forms it, and the
backward pass does the same for the gradient of x.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn.functional import linear

from assay.gradients.capture import PerExampleLostError, Receive


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a plain LoRA layer consists of: y = base(x) + scaling · up(down(x))."""

    base: nn.Linear
    down: nn.Linear
    up: nn.Linear
    scaling: float


def plain_adapter(module: nn.Module) -> Adapter | None:
    """The parts of a LoRA layer that does what its formula says and no more, else None.

    One active adapter, not merged, without variants (DoRA and others), bias or dropout, on a dense linear
    layer; nothing else has replaced or watches how its parts are called.
    """
    layer: Any = module
    if type(module) is not LoraLinear or layer.disable_adapters or layer.merged or _is_touched(module, False):
        return None
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if len(active) != 1 or active[0] in layer.lora_variant or layer.use_dora.get(active[0]):
        return None
    base, down, up = layer.base_layer, layer.lora_A[active[0]], layer.lora_B[active[0]]
    dropout = layer.lora_dropout[active[0]]
    drops = dropout.training and not isinstance(dropout, nn.Identity)
    if drops or any(type(part) is not nn.Linear or _is_touched(part) for part in (base, down, up)):
        return None
    if down.bias is not None or up.bias is not None:
        return None
    return Adapter(base, down, up, float(layer.scaling[active[0]]))


def fused_lora(
    adapter: Adapter,
    anchor: Tensor,
    batch_size: Callable[[], int],
    receive_down: Receive,
    receive_up: Receive,
) -> Callable[[Tensor], Tensor]:
    """A forward for the layer that hands (inputs, output gradients) of A and of B to the receivers.

    What B receives as inputs is s · A x, and as output gradients those of y. As with `capture.watch`, both
    keep the batch as first dimension, and PerExampleLostError is raised where examples are flattened.
    """

    def forward(inputs: Tensor) -> Tensor:
        rows = batch_size()
        if rows > 1:
            if inputs.dim() < 3 or inputs.shape[0] not in (1, rows):
                raise PerExampleLostError
            inputs = inputs.expand(rows, *inputs.shape[1:])
        output: Tensor = _FusedLora.apply(inputs, anchor, adapter, rows, receive_down, receive_up)  # type: ignore[no-untyped-call]
        return output

    return forward


class _FusedLora(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        anchor: Tensor,
        adapter: Adapter,
        rows: int,
        receive_down: Receive,
        receive_up: Receive,
    ) -> Tensor:
        low = linear(inputs.to(adapter.down.weight.dtype), adapter.down.weight).mul_(adapter.scaling)
        output = _plus(linear(inputs, adapter.base.weight, adapter.base.bias), low, adapter.up.weight.T)
        ctx.save_for_backward(inputs, low)
        ctx.adapter, ctx.rows, ctx.receivers = adapter, rows, (receive_down, receive_up)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, None, None, None, None]:
        inputs, low = ctx.saved_tensors
        adapter, (receive_down, receive_up) = ctx.adapter, ctx.receivers
        precise = grads[0].to(adapter.up.weight.dtype)
        low_grads = (precise @ adapter.up.weight).mul_(adapter.scaling)
        receive_up(_by_row(low, ctx.rows), _by_row(precise, ctx.rows))
        receive_down(_by_row(inputs.to(low.dtype), ctx.rows), _by_row(low_grads, ctx.rows))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None, None
        input_grads = _plus(grads[0] @ adapter.base.weight, low_grads, adapter.down.weight)
        return input_grads, None, None, None, None, None


def _plus(wide: Tensor, low: Tensor, matrix: Tensor) -> Tensor:
    """wide + low @ matrix, into `wide` where both have one dtype, else rounded once to that of `wide`."""
    if wide.dtype == low.dtype == matrix.dtype:
        wide.flatten(0, -2).addmm_(low.flatten(0, -2), matrix)
        return wide
    return (wide + low @ matrix).to(wide.dtype)


def _by_row(values: Tensor, rows: int) -> Tensor:
    return values.reshape(rows, -1, values.shape[-1])


def _is_touched(module: nn.Module, by_hooks: bool = True) -> bool:
    """Whether someone replaced its forward, or `by_hooks` watches its calls."""
    hooks = by_hooks and (module._forward_hooks or module._forward_pre_hooks)
    return bool(hooks or "forward" in vars(module))
