"""Where the shipped base model of world 0 lies. Knows nothing of how it is read."""

from importlib.resources import files
from pathlib import Path

from assay.errors import ModelError


def base_model_path() -> Path:
    """The folder of the shipped base model and tokenizer, as `from_pretrained` takes it.

    Raises ModelError when the installation left it out.
    """
    folder = Path(str(files("assay.world"))) / "base"
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"The embedded world's base model is missing from {folder}; reinstall assay or rebuild it with "
            f"`python -m assay.world.pretrain --out {folder}`."
        )
    return folder
