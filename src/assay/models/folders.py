"""What one folder holds: an adapter, full weights, or weights in a form that needs converting first.

Looks at file names and headers only. Knows nothing of steps, of other folders, or of how weights are loaded.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.errors import ModelError
from assay.files import read_json
from assay.models.weights import tensor_shapes

ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_PICKLE = "adapter_model.bin"
FULL = "model.safetensors"
FULL_INDEX = "model.safetensors.index.json"
FULL_CONFIG = "config.json"
FULL_PICKLE = "pytorch_model.bin"
FULL_PICKLE_INDEX = "pytorch_model.bin.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
ZERO_STEP = re.compile(r"global_step\d+")


class IncompleteError(ModelError):
    """A folder whose weights are not all there, as after a process was killed while saving."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight files of one folder; `pickled` files are only ever loaded with `weights_only=True`."""

    kind: Literal["adapter", "full"]
    files: tuple[Path, ...]
    pickled: bool = False

    @property
    def folder(self) -> Path:
        return self.files[0].parent


def find_weights(folder: Path, *, allow_pickle: bool = False) -> Weights | None:
    """The weights in `folder`, None where nothing looks like weights.

    An adapter comes before full weights. Raises IncompleteError when something is missing or cut short, and
    ModelError for pickles that were not asked for and for FSDP or DeepSpeed state without usable weights.
    """
    names = {path.name for path in folder.iterdir()}
    if ADAPTER in names:
        return _whole(folder, "adapter", [ADAPTER], ADAPTER_CONFIG)
    if FULL in names:
        return _whole(folder, "full", [FULL], FULL_CONFIG)
    if FULL_INDEX in names:
        return _whole(folder, "full", _shards(folder, FULL_INDEX), FULL_CONFIG)
    if pickled := _pickles(folder, names):
        if allow_pickle:
            return pickled
        listed = pickled.files[0].name
        raise ModelError(
            f"The weights in {folder} are a pickle ({listed}), which can run code when it is loaded; "
            "save them as safetensors, or allow pickles (then nothing but tensors is read)."
        )
    _refuse_distributed(folder, names)
    if any(SHARD.fullmatch(name) for name in names):
        raise IncompleteError(f"{folder} has shards of a model but no {FULL_INDEX}.")
    if ADAPTER_CONFIG in names:
        raise IncompleteError(f"{folder} has an {ADAPTER_CONFIG} but no {ADAPTER}.")
    return None


def _whole(
    folder: Path,
    kind: Literal["adapter", "full"],
    names: Sequence[str],
    config: str,
    *,
    pickled: bool = False,
) -> Weights:
    for name in [*names, config]:
        if not (folder / name).is_file():
            raise IncompleteError(f"{folder} has no {name}.")
    files = tuple(folder / name for name in names)
    for path in files:
        if pickled:
            continue
        try:
            shapes = tensor_shapes(path)
        except ModelError as error:
            raise IncompleteError(str(error)) from error
        if any(0 in shape for shape in shapes.values()):
            _refuse_distributed(folder, {entry.name for entry in folder.iterdir()})
            raise IncompleteError(f"{path} holds empty tensors in place of weights.")
    return Weights(kind, files, pickled)


def _shards(folder: Path, index: str) -> list[str]:
    try:
        return sorted(set(read_json(folder / index)["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IncompleteError(f"{folder / index} cannot be read.") from error


def _pickles(folder: Path, names: set[str]) -> Weights | None:
    if ADAPTER_PICKLE in names:
        return _whole(folder, "adapter", [ADAPTER_PICKLE], ADAPTER_CONFIG, pickled=True)
    if FULL_PICKLE in names:
        return _whole(folder, "full", [FULL_PICKLE], FULL_CONFIG, pickled=True)
    if FULL_PICKLE_INDEX in names:
        return _whole(folder, "full", _shards(folder, FULL_PICKLE_INDEX), FULL_CONFIG, pickled=True)
    return None


def _refuse_distributed(folder: Path, names: set[str]) -> None:
    """Raise for state that is split over processes, with the command that makes weights of it."""
    if "pytorch_model_fsdp_0" in names:
        raise ModelError(
            f"{folder} holds FSDP shards; make weights of them with `accelerate merge-weights "
            f"{folder / 'pytorch_model_fsdp_0'} {folder}` and try again."
        )
    if "pytorch_model_fsdp.bin" in names:
        raise ModelError(
            f"{folder} holds a full FSDP state in a pickle (pytorch_model_fsdp.bin); load it with "
            "`torch.load(..., weights_only=True)` and save it by `model.save_pretrained(state_dict=...)`."
        )
    if "zero_to_fp32.py" in names or any(ZERO_STEP.fullmatch(name) for name in names):
        raise ModelError(
            f"{folder} holds DeepSpeed ZeRO shards; make weights of them with `python "
            f"{folder / 'zero_to_fp32.py'} {folder} {folder} --safe_serialization` and try again."
        )
