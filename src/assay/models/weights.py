"""Weight files as bytes on disk: is a file whole, what tensors does it name, what is its digest.

Reads safetensors, and pickles only through torch's weights-only loader. Builds no model and knows nothing of
runs, steps or adapters.
"""

import hashlib
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from assay.errors import ModelError

Shape = tuple[int, ...]

WHOLE_FILE_LIMIT = 256 * 2**20
SAMPLE_BYTES = 64 * 2**10
SAMPLES = 256


def tensor_shapes(path: Path) -> dict[str, Shape]:
    """Names and shapes of the tensors of a safetensors file, from its header alone.

    Raises ModelError when the file is cut short, as after a process was killed while saving.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > size - 8:
            raise ModelError(f"{path} is cut short: its header is not whole.")
        try:
            header = json.loads(handle.read(length))
        except ValueError as error:
            raise ModelError(f"{path} is not a safetensors file: its header cannot be read.") from error
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size < 8 + length + end:
        raise ModelError(f"{path} is cut short: {8 + length + end - size:,} bytes are missing.")
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def tensors(files: Sequence[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of the files on the CPU, one after another, so that a large model is never held twice.

    Files that do not end in `.safetensors` are pickles, loaded with `weights_only=True`, so that no code of
    theirs runs. Whether pickles are wanted at all is the caller's to decide.
    """
    for path in files:
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, framework="pt") as handle:
                    for name in handle.keys():  # noqa: SIM118 (not a mapping)
                        yield name, handle.get_tensor(name)
            except SafetensorError as error:
                raise ModelError(f"{path} cannot be read as safetensors: {error}.") from error
        else:
            yield from _pickled_tensors(path).items()


def stored_shapes(files: Sequence[Path]) -> dict[str, Shape]:
    """Names and shapes of all tensors of the files, without reading tensors where the format allows."""
    shapes: dict[str, Shape] = {}
    for path in files:
        if path.suffix == ".safetensors":
            shapes |= tensor_shapes(path)
        else:
            shapes |= {name: tuple(tensor.shape) for name, tensor in tensors([path])}
    return shapes


def content_digest(files: Sequence[Path]) -> str:
    """SHA-256 of what the files hold, 16 hex digits; names and times of files do not enter.

    Files up to 256 MiB together are read whole. Above that each file gives its size, its first MiB (the
    header, so every name, dtype and shape) and 256 evenly spaced pieces of 64 KiB: training moves every
    weight, so two saved states of one run differ in nearly every piece, but a change made by hand to a few
    numbers may go unseen.
    """
    sha = hashlib.sha256()
    whole = sum(path.stat().st_size for path in files) <= WHOLE_FILE_LIMIT
    for path in sorted(files):
        size = path.stat().st_size
        sha.update(size.to_bytes(8, "little"))
        with path.open("rb") as handle:
            if whole:
                for block in iter(lambda: handle.read(2**20), b""):
                    sha.update(block)
            else:
                sha.update(handle.read(2**20))
                for index in range(SAMPLES):
                    handle.seek(index * max(size - SAMPLE_BYTES, 0) // (SAMPLES - 1))
                    sha.update(handle.read(SAMPLE_BYTES))
    return sha.hexdigest()[:16]


def _pickled_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(
            f"{path} is a pickle that holds more than tensors, or is damaged, and was not loaded; "
            "save the weights as safetensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(
            f"{path} does not hold a plain dictionary of tensors; save the weights as safetensors."
        )
    return state
