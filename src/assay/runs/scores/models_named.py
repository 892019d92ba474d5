"""Models that an option names besides the one that is scored by. Loads none."""

from pathlib import Path

from assay.models.folders import find_weights
from assay.models.weights import content_digest
from assay.runs.scores.pool_sources import source_digest

NAMING_MODELS = ("embeddings", "complexity")
"""Settings that may name a model."""


def model_digest(name: str) -> str:
    """Of the weights behind a name, where they lie in a folder here; else the name itself."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    weights = find_weights(folder, allow_pickle=True)
    return str(source_digest(name)["sha256"]) if weights is None else content_digest(weights.files)
