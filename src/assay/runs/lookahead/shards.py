"""What one probe set (or the base alone) did at one checkpoint with one seed, in one file of safetensors.

The file carries the fingerprint of everything it depends on, and what it cost. Knows no steps.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from assay.errors import ResumeError
from assay.files import write_atomically
from assay.fingerprint import digest
from assay.studies.lookahead import Arm

BASE = ""
"""The name under which the arm without probes is kept; no probe set is called so."""


@dataclass(frozen=True, slots=True)
class Item:
    """One shard's work: a probe set on both halves of the tasks, or the base alone."""

    checkpoint: str
    seed: int
    probe_set: str

    @property
    def file(self) -> str:
        """A name that no other item of a study has."""
        what = (
            "base" if self.probe_set == BASE else f"{_readable(self.probe_set)}-{digest(self.probe_set)[:8]}"
        )
        return f"{self.checkpoint}.seed-{self.seed}.{what}.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Arms of one item, the seconds they took, and which optimizer took their steps ("own", or why not)."""

    arms: tuple[Arm, ...]
    seconds: float
    optimizer: str


def write_shard(path: Path, shard: Shard, fingerprint: str) -> None:
    """Write one shard, whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    arms = []
    for arm in shard.arms:
        keys = {name: f"losses.{len(arrays) + i}" for i, name in enumerate(arm.losses)}
        arrays |= {keys[name]: np.ascontiguousarray(values) for name, values in arm.losses.items()}
        arms.append(
            {"probe_set": arm.probe_set, "half": arm.half, "trained": sorted(arm.trained), "losses": keys}
        )
    about = {
        "fingerprint": fingerprint,
        "arms": json.dumps(arms),
        "seconds": json.dumps(shard.seconds),
        "optimizer": shard.optimizer,
    }
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata=about))


def read_shard(path: Path, fingerprint: str) -> Shard | None:
    """The shard in a file, or None where there is none or it is broken.

    Raises ResumeError for a whole shard of something else.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            if about.get("fingerprint") != fingerprint:
                raise ResumeError(
                    f"{path} was measured on other weights or another optimizer; give another --out, or "
                    "delete it."
                )
            arms = tuple(
                Arm(
                    arm["probe_set"],
                    arm["half"],
                    frozenset(arm["trained"]),
                    {name: file.get_tensor(key) for name, key in arm["losses"].items()},
                )
                for arm in json.loads(about["arms"])
            )
            return Shard(arms, float(json.loads(about["seconds"])), about["optimizer"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40]
