"""Letting the layers whose formula is known run as one step each, for as long as a model is measured.

Knows which kinds there are, and nothing of how they compute: `lora`, `norms` and `rotary` do. What is fused
gives what it gave before, in fewer passes over memory.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from assay.gradients.capture import Receive
from assay.gradients.lora import fused_lora, plain_adapter
from assay.gradients.norms import fused_rms_norm
from assay.gradients.rotary import fused_rotary


@contextmanager
def fused(
    model: nn.Module,
    trained: Collection[nn.Parameter],
    receivers: Mapping[nn.Module, Receive],
    anchor: Tensor,
    batch_size: Callable[[], int],
) -> Iterator[None]:
    """Fuse plain LoRA layers, frozen RMSNorms and rotary embeddings of `model` while entered.

    A fused LoRA layer calls the `receivers` of its A and B itself, as `capture.watch` would with `anchor` and
    `batch_size`; it is left alone where one of the two has none, or its base is trained.
    """
    ids = {id(parameter) for parameter in trained}
    with ExitStack() as stack:
        for module in model.modules():
            adapter = plain_adapter(module)
            frozen = adapter.base if adapter else module
            if any(id(parameter) in ids for parameter in frozen.parameters()):
                continue
            forward: Callable[[Tensor], Tensor] | None = None
            if adapter is None:
                forward = fused_rms_norm(module)
            elif adapter.down in receivers and adapter.up in receivers:
                pair = receivers[adapter.down], receivers[adapter.up]
                forward = fused_lora(adapter, anchor, batch_size, *pair)
            if forward is not None:
                vars(module)["forward"] = forward
                stack.callback(vars(module).pop, "forward")
        stack.enter_context(fused_rotary(model))
        yield
