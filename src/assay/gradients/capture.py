"""Seeing what flows through a module: its inputs going forward, its output gradients coming back.

Knows nothing of what is done with them. Parameters stay frozen while this is in use, so autograd forms no
weight gradient; the graph starts at the first watched module, and nothing before it is differentiated.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Receive = Callable[[Tensor, Tensor], None]


class _Watch(torch.autograd.Function):
    """Identity on a module's output; on the way back hands (inputs, output gradients) to `receive`.

    The inputs are saved through autograd, so that activation checkpointing recomputes them like any other
    saved tensor. `anchor` is a scalar that requires gradients and makes the graph start here.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, inputs: Tensor, anchor: Tensor, receive: Receive) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.receive = receive
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:
        (inputs,) = ctx.saved_tensors
        ctx.receive(inputs, grads[0])
        return grads[0], None, None, None


class PerExampleLostError(Exception):
    """A module saw tensors without a batch dimension, so its gradient cannot be told apart by example."""


def watch(
    module: nn.Module, anchor: Tensor, batch_size: Callable[[], int], receive: Receive
) -> torch.utils.hooks.RemovableHandle:
    """Call `receive(inputs, output_grads)` whenever gradients come back through `module`.

    Both keep the batch as their first dimension. A module fed with one row for the whole batch (a position
    embedding, say) is expanded, so that every example has its own gradient.

    Raises PerExampleLostError in the forward pass where examples are flattened together (some mixtures of
    experts); a batch of one always passes.
    """

    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        inputs: Tensor = args[0].detach()
        least = 3 if inputs.is_floating_point() else 2
        rows = batch_size()
        if rows == 1:
            flat = inputs.dim() < least
            watched = _watched(
                output.unsqueeze(0) if flat else output,
                inputs.unsqueeze(0) if flat else inputs,
                anchor,
                receive,
            )
            return watched.squeeze(0) if flat else watched
        if inputs.dim() < least or inputs.shape[0] not in (1, rows):
            raise PerExampleLostError
        if inputs.shape[0] == 1:
            inputs = inputs.expand(rows, *inputs.shape[1:])
            output = output.expand(rows, *output.shape[1:])
        return _watched(output, inputs, anchor, receive)

    return module.register_forward_hook(hook)


def _watched(output: Tensor, inputs: Tensor, anchor: Tensor, receive: Receive) -> Tensor:
    watched: Tensor = _Watch.apply(output, inputs, anchor, receive)  # type: ignore[no-untyped-call]
    return watched
