"""Leaving out what nobody reads: the last layer's MLP at positions that predict nothing learned.

Knows nothing of gradients. An MLP and all that follows it work on each token alone, so what the last one
gives at a position reaches the loss only if that position predicts a learned token. Elsewhere its output is
set to zero without being computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn


def last_mlp(backbone: nn.Module) -> nn.Module | None:
    """The MLP of the last decoder layer, None where the backbone does not name it as most families do."""
    layers = getattr(backbone, "layers", getattr(backbone, "h", None))
    mlp = getattr(layers[-1], "mlp", None) if isinstance(layers, nn.ModuleList) and len(layers) else None
    return mlp if isinstance(mlp, nn.Module) else None


@contextmanager
def only_needed(mlp: nn.Module | None, needed: Bool[Tensor, "n t"]) -> Iterator[None]:
    """Run `mlp` on the needed positions of its input (n, t, h) alone, as (n, c, h), c the most of a row."""
    most = int(needed.sum(1).max())
    if mlp is None or not 0 < most < needed.shape[1]:
        yield
        return
    flat = _positions(needed, most)

    def narrow(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        if not _is_plain(args, kwargs, needed):
            return None
        rows, _, width = args[0].shape
        return (args[0].flatten(0, 1).index_select(0, flat).view(rows, most, width),), kwargs

    def widen(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        if first.shape[:2] != (len(needed), most):
            return None
        whole = first.new_zeros(needed.numel(), first.shape[-1]).index_copy(0, flat, first.flatten(0, 1))
        whole = whole.view(*needed.shape, -1)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    with (
        mlp.register_forward_pre_hook(narrow, with_kwargs=True),
        mlp.register_forward_hook(widen),
    ):
        yield


def _positions(needed: Bool[Tensor, "n t"], most: int) -> Int[Tensor, "n*c"]:
    """Of every row its needed positions, and as many others as make `most`, in the flattened batch."""
    first = needed.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    starts = torch.arange(len(needed), device=needed.device)[:, None] * needed.shape[1]
    return (starts + first).flatten()


def _is_plain(args: tuple[Any, ...], kwargs: dict[str, Any], needed: Bool[Tensor, "n t"]) -> bool:
    """Whether the MLP is given the hidden states of the whole batch and nothing else."""
    return len(args) == 1 and not kwargs and args[0].dim() == 3 and args[0].shape[:2] == needed.shape
