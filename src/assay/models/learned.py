"""What of each conversation a trainer learned, where its folder tells: "assistant", "last" or "all".

Reads ms-swift's `args.json` and the YAML files that LLaMA-Factory and Axolotl leave beside a run. TRL keeps
this only in a pickle, which is never opened. Knows nothing of weights.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from assay.files import read_json

SWIFT_LOSS_SCALES = {"default": "assistant", "last_round": "last", "all": "all"}


def read_loss_on(folders: Iterable[Path]) -> str | None:
    """The first answer found in `folders`, None when none tells."""
    for folder in folders:
        for path in [folder / "args.json", *sorted(folder.glob("*.y*ml"))]:
            settings = _settings(path)
            answer = _swift(settings) or _llama_factory(settings) or _axolotl(settings)
            if answer:
                return answer
    return None


def _settings(path: Path) -> Mapping[str, Any]:
    """A file's top-level mapping; empty when it is absent or not ours to understand."""
    try:
        value = (
            read_json(path) if path.suffix == ".json" else yaml.safe_load(path.read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _swift(settings: Mapping[str, Any]) -> str | None:
    scale = settings.get("loss_scale")
    return SWIFT_LOSS_SCALES.get(scale.split("+")[0]) if isinstance(scale, str) else None


def _llama_factory(settings: Mapping[str, Any]) -> str | None:
    if "finetuning_type" not in settings or settings.get("stage") != "sft":
        return None
    if settings.get("train_on_prompt"):
        return "all"
    return "last" if settings.get("mask_history") else "assistant"


def _axolotl(settings: Mapping[str, Any]) -> str | None:
    datasets = settings.get("datasets")
    if "base_model" not in settings or not isinstance(datasets, list):
        return None
    if settings.get("train_on_inputs"):
        return "all"
    roles = [entry.get("roles_to_train") for entry in datasets if isinstance(entry, Mapping)]
    return "assistant" if all(role in (None, ["assistant"], ["gpt"]) for role in roles) else None
