"""Prompts embedded by a sentence-transformers model, by name or from a folder. Knows no language model.

The library is an extra: nothing else of the package imports it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.errors import ConfigError, ModelError
from assay.models.hub import cache_only
from assay.models.loading import quiet, resolve_device

WITHOUT = (
    "Embeddings by a sentence-transformers model take that library, which is not installed; "
    "pip install 'assay[sentences]', or use --embeddings hidden."
)


class Sentences:
    """A sentence-transformers model that turns texts into vectors.

    `name` is a folder or a hub id; no code of theirs is run. `device` as in `resolve_device`. Raises
    ConfigError where the library is not installed, ModelError where the model cannot be loaded.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        library = _library()
        self.name = name
        place = str(resolve_device(device))
        try:
            with quiet():
                self._model: Any = library.SentenceTransformer(
                    name, device=place, trust_remote_code=False, local_files_only=cache_only(name)
                )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
            first = str(error).strip().split("\n")[0][:300].rstrip(".:") or type(error).__name__
            raise ModelError(
                f"The sentence-transformers model '{name}' could not be loaded: {first}."
            ) from error
        self.longest: int | None = self._model.max_seq_length

    def states(self, texts: Sequence[str], *, batch_size: int = 32) -> Float[np.ndarray, "n h"]:
        """A vector for each text, float32, as the model gives it; NaN where it is not finite.

        A text beyond `longest` tokens is embedded by its beginning, as these models do.
        """
        found = self._model.encode(
            list(texts), batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        states = np.array(found, dtype=np.float32)
        states[~np.isfinite(states).all(axis=1)] = np.nan
        return states

    def cut(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than the model reads."""
        if self.longest is None:
            return 0
        ids = self._model.tokenizer(list(texts), add_special_tokens=True, truncation=False)["input_ids"]
        return sum(len(one) > self.longest for one in ids)


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError as error:
        raise ConfigError(WITHOUT) from error
    return sentence_transformers
