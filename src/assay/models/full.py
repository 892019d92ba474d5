"""Moving full weights from files onto a model that is already there, in place and strictly."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.models.weights import tensor_shapes


def names_match(model: nn.Module, files: Sequence[Path]) -> bool:
    """Whether every tensor stored in `files` has a place of the same name in the model.

    False where transformers renames or fuses weights on loading, as for experts or a missing prefix.
    """
    return all(name in model.state_dict() for path in files for name in tensor_shapes(path))


@torch.no_grad()
def copy_weights(model: nn.Module, stored: Iterable[tuple[str, Tensor]], source: str) -> None:
    """Copy every stored tensor into the parameter or buffer of its name, cast to the model's dtype.

    Strict up to tied weights: a name that is not stored must share its memory with one that is. Raises
    ModelError that names what is missing, unexpected or of another shape; the model is then part old, part new.
    """
    targets = model.state_dict()
    filled: set[int] = set()
    missing = set(targets)
    unexpected: list[str] = []
    for name, tensor in stored:
        if name not in targets:
            unexpected.append(name)
            continue
        require_shape(source, name, tensor, targets[name])
        targets[name].copy_(tensor)
        filled.add(targets[name].data_ptr())
        missing.discard(name)
    missing = {name for name in missing if targets[name].data_ptr() not in filled}
    require_same_names(source, missing, unexpected)


def require_shape(source: str, name: str, stored: Tensor, target: Tensor) -> None:
    if stored.shape != target.shape:
        raise ModelError(
            f"{name} in {source} has shape {tuple(stored.shape)}, but the model that is loaded has "
            f"{tuple(target.shape)}; the checkpoints of a trajectory must be of one model."
        )


def require_same_names(source: str, missing: set[str], unexpected: Sequence[str]) -> None:
    for word, names in (("lacks", sorted(missing)), ("holds unexpected", sorted(unexpected))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelError(f"The checkpoint {source} {word} weights: {', '.join(names[:3])}{more}.")
