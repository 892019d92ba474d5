"""What the arms of a validation depend on, and where in its folder they lie. Knows no numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from assay import __version__
from assay.errors import ModelError
from assay.fingerprint import digest, fingerprint
from assay.models.folders import find_weights
from assay.models.loading import load_config, resolve_device
from assay.models.weights import content_digest
from assay.runs.inputs import Part, part_digest_fields
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.inputs import Ready
from assay.runs.validation.training import Row

ARMS = "arms"


def model_names(base_models: Sequence[str]) -> dict[str, str]:
    """By name: where a base model is. A folder is called after itself where no other is called so."""
    short = [Path(one).resolve().name if Path(one).is_dir() else one for one in base_models]
    return {one if short.count(name) > 1 else name: one for name, one in zip(short, base_models, strict=True)}


def settings_of(
    config: ValidateConfig,
    models: Mapping[str, str],
    ready: Mapping[str, Ready],
    benchmarks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that every arm depends on; which arms and seeds there are is not among it, so that more of
    them may come later. `benchmarks` are the settings of what arms are asked beside the queries."""

    def sets(of: Mapping[str, Mapping[str, Part]]) -> dict[str, str]:
        names = next(iter(of.values()))
        return {
            name: digest(*(field for one in of.values() for field in part_digest_fields(one[name])))
            for name in names
        }

    return {
        "assay": __version__,
        "base_model": {name: _weights_of(source) for name, source in models.items()},
        "queries": sets({name: one.queries for name, one in ready.items()}),
        "sets": sets({name: one.sets for name, one in ready.items()}),
        "loss_on": config.loss_on,
        "query_loss_on": config.query_loss_on,
        "match": config.match,
        "weigh": config.weigh,
        "recipe": _plain(config, continues=False),
        "continue_recipe": _plain(config, continues=True),
        "answers": config.answers,
        "max_new_tokens": config.max_new_tokens,
        "undesired": sorted(config.undesired),
        "device": resolve_device(config.device).type,
        "versions": {
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
        **({} if benchmarks is None else {"benchmarks": dict(benchmarks)}),
    }


def arm_fingerprint(
    settings: Mapping[str, Any],
    model: str,
    arm: str,
    seed: int,
    steps: Sequence[Sequence[Row]],
    start: str | None,
) -> str:
    """Digest of all that decides an arm; `start` is that of the arm it goes on from."""
    rows = digest(*(f"{number}\0{name}\0{row}" for number, step in enumerate(steps) for name, row in step))
    return fingerprint({**settings, "model": model, "arm": arm, "seed": seed, "steps": rows, "start": start})


def arm_folder(out: Path, model: str, arm: str, seed: int) -> Path:
    """Where an arm's answers and state lie; names are shortened to what every file system takes."""
    return out / ARMS / _as_folder(model) / _as_folder(arm) / f"seed-{seed}"


def _as_folder(name: str) -> str:
    words = re.sub(r"[^\w.+-]+", "_", name.replace("->", "then")).strip("_.")
    return f"{words[:60]}-{digest(name)[:4]}"


def _weights_of(source: str) -> str:
    folder = Path(source)
    if not folder.is_dir():
        return fingerprint({"model": source, "commit": getattr(load_config(source), "_commit_hash", None)})
    weights = find_weights(folder)
    if weights is None or weights.kind != "full":
        raise ModelError(f"The folder {source} has no weights of a model in it.")
    return content_digest(weights.files)


def _plain(config: ValidateConfig, *, continues: bool) -> dict[str, Any]:
    recipe = asdict(config.recipe_of(continues=continues))
    return {**recipe, "target_modules": list(recipe["target_modules"])}
