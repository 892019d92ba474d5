"""The measurements of one checkpoint in one file of safetensors, with the fingerprint of what they depend
on.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from assay.errors import ResumeError
from assay.files import write_atomically
from assay.studies.measurements import CheckpointMeasurements

EACH = ("probe_sqnorm", "query_sqnorm", "probe_loss", "query_loss", "probe_gram", "query_gram")


def write_shard(
    path: Path, measured: CheckpointMeasurements, fingerprint: str, seconds: float | None = None
) -> None:
    """Write one checkpoint, whole or not at all; `seconds` is what it took."""
    arrays: dict[str, np.ndarray] = {}
    names: dict[str, list[Any]] = {}
    for (probe_set, query_set), values in measured.dot.items():
        key = f"dot.{len(names)}"
        arrays[key], names[key] = np.ascontiguousarray(values), [probe_set, query_set]
    for kind in EACH:
        for name, values in getattr(measured, kind).items():
            key = f"{kind}.{len(names)}"
            arrays[key], names[key] = np.ascontiguousarray(values), [name]
    position = {
        key: getattr(measured, key)
        for key in ("name", "step", "epoch", "learning_rate", "gram_of_task_means")
    }
    about = {"fingerprint": fingerprint, "position": json.dumps(position), "names": json.dumps(names)}
    about["seconds"] = json.dumps(seconds)
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata=about))


def read_shard(path: Path, fingerprint: str) -> CheckpointMeasurements | None:
    """The measurements in a shard, or None where there is none or it is broken.

    Raises ResumeError for a whole shard that was measured on something else.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            if about.get("fingerprint") != fingerprint:
                raise ResumeError(
                    f"{path} was measured on other weights of {path.stem}; give another --out, or delete it."
                )
            names = json.loads(about["names"])
            found: dict[str, dict[Any, np.ndarray]] = {kind: {} for kind in ("dot", *EACH)}
            for key, labels in names.items():
                kind = key.split(".")[0]
                label = tuple(labels) if kind == "dot" else labels[0]
                found[kind][label] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    fields: dict[str, Any] = {**json.loads(about["position"]), **found}
    return CheckpointMeasurements(**fields)


def seconds_of_shard(path: Path) -> float | None:
    """What a whole shard took; None where it does not tell."""
    with safe_open(path, framework="numpy") as file:
        seconds = json.loads((file.metadata() or {}).get("seconds", "null"))
    return None if seconds is None else float(seconds)
