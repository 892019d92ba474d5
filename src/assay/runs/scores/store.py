"""What was measured of one shard of the pool at one checkpoint: a file of arrays, whole or absent.

Knows nothing of what the arrays mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from assay.errors import ResumeError
from assay.files import write_atomically

QUERIES = "queries"
PROMPTS = "prompts"
"""Folder beside the store, with where the prompts of the whole pool lie: an array in .npy by checkpoint."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Store:
    """Measures in `folder/<checkpoint>/<measure>/<shard>.safetensors`, each with a fingerprint."""

    folder: Path

    def path(self, checkpoint: str, measure: str, shard: int | str) -> Path:
        name = shard if isinstance(shard, str) else f"{shard:05d}"
        return self.folder / checkpoint / measure / f"{name}.safetensors"

    def has(self, checkpoint: str, measure: str, shard: int | str, fingerprint: str) -> bool:
        """Whether the file is there and whole. Raises ResumeError for one with another fingerprint."""
        return self.read(checkpoint, measure, shard, fingerprint, only=()) is not None

    def write(
        self, checkpoint: str, measure: str, shard: int | str, fingerprint: str, arrays: Arrays
    ) -> None:
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomically(
            self.path(checkpoint, measure, shard),
            lambda path: save_file(whole, path, metadata={"fingerprint": fingerprint}),
        )

    def read(
        self,
        checkpoint: str,
        measure: str,
        shard: int | str,
        fingerprint: str,
        only: tuple[str, ...] | None = None,
    ) -> dict[str, np.ndarray] | None:
        """The arrays of a file (`only` some of them), or None where there is none or it is broken."""
        path = self.path(checkpoint, measure, shard)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                if (file.metadata() or {}).get("fingerprint") != fingerprint:
                    raise ResumeError(
                        f"{path} was measured on other weights, candidates, queries or settings; give "
                        "another --out, or delete it."
                    )
                stored = list(file.keys())
                return {name: file.get_tensor(name) for name in (stored if only is None else only)}
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
