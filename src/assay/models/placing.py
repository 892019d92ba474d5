"""Moving stored tensors onto the live tensors of a model, in place, all of them or none.

Knows nothing of files' whereabouts, adapters or checkpoints.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from assay.errors import ModelError
from assay.models.weights import Shape


def require_same_tensors(source: str, stored: Mapping[str, Shape], targets: Mapping[str, Tensor]) -> None:
    """Raise ModelError naming what is missing, unexpected or of another shape in the checkpoint `source`.

    Strict up to tied weights: a name that is not stored must share its memory with one that is.
    """
    filled = {targets[name].data_ptr() for name in stored if name in targets}
    missing = [
        name for name, target in targets.items() if name not in stored and target.data_ptr() not in filled
    ]
    unexpected = [name for name in stored if name not in targets]
    for verb, names in (("lacks weights", missing), ("holds unexpected weights", unexpected)):
        if names:
            raise ModelError(f"The checkpoint {source} {verb}: {listed(names)}.")
    for name, shape in stored.items():
        if shape != tuple(targets[name].shape):
            raise ModelError(
                f"{name} has shape {shape} in {source}, but {tuple(targets[name].shape)} in the model; "
                "the checkpoints of a trajectory must be of one model."
            )


@torch.no_grad()
def copy_tensors(stored: Iterable[tuple[str, Tensor]], targets: Mapping[str, Tensor]) -> None:
    """Copy each stored tensor into the target of its name, cast to its dtype and moved to its device."""
    for name, tensor in stored:
        targets[name].copy_(tensor)


def listed(names: Iterable[str]) -> str:
    """The first three names in sorted order, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - 3
    return ", ".join(ordered[:3]) + (f" and {more} more" if more > 0 else "")
