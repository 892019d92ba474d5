"""Where the shipped base models of worlds 0 and 1 lie. Knows nothing of how they are read."""

from importlib.resources import files
from pathlib import Path

from assay.errors import ConfigError, ModelError

FOLDERS = {0: "base", 1: "base1"}
"""By the world's seed. World 1 is for reporting alone: no choice is made on it."""


def base_model_path(world: int = 0) -> Path:
    """The folder of a world's shipped base model and tokenizer, as `from_pretrained` takes it.

    Raises ConfigError for a world whose base model is not shipped, ModelError when the installation left it
    out.
    """
    if world not in FOLDERS:
        raise ConfigError(
            f"No base model of world {world} is shipped, only those of {' and '.join(map(str, FOLDERS))}; "
            f"make one with `python -m assay.world.pretrain --out DIR --seed {world}`."
        )
    folder = Path(str(files("assay.world"))) / FOLDERS[world]
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"The embedded world's base model is missing from {folder}; reinstall assay or rebuild it with "
            f"`python -m assay.world.pretrain --out {folder} --seed {world}`."
        )
    return folder
