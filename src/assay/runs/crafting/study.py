"""The settings of the study that a craft was made for. Knows no models and runs nothing."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from assay.files import write_text
from assay.runs.crafting.config import CraftConfig
from assay.runs.crafting.layouts import Plan
from assay.runs.crafting.outputs import STUDY


def study_values(config: CraftConfig, plan: Plan, folder: Path) -> dict[str, Any]:
    """Settings that `assay study --config` takes; without `checkpoints` where none were given."""
    sets: dict[str, dict[str, Any]] = {"probes": {}, "control": {}, "queries": {}}
    for one in plan.sets:
        role = {"probe": "probes", "control": "control"}.get(one.role, "queries")
        sets[role][one.name] = str(folder / f"{one.file}.jsonl")
    for name, entry in config.queries.items():
        found = entry.model_dump(exclude_defaults=True)
        reading = config.reading.model_dump(exclude_defaults=True) if config.from_columns is None else {}
        if reading and "reading" not in found:
            found["reading"] = reading
        sets["queries"][name] = found["file"] if found.keys() == {"file"} else found
    undesired = [one.name for one in plan.sets if one.role == "undesired"]
    return {
        **({"checkpoints": config.checkpoints} if config.checkpoints else {}),
        **{key: value for key, value in sets.items() if value},
        **({"undesired": undesired} if undesired else {}),
        **({"design": plan.design} if plan.design else {}),
        **({"on_bad_rows": config.on_bad_rows} if config.queries and config.on_bad_rows != "error" else {}),
    }


def study_command(config: CraftConfig, folder: Path) -> str:
    """The command that runs the study, as it is typed where the craft was run."""
    given = [] if config.checkpoints else ["--checkpoints", "FOLDER"]
    out = folder / "study"
    return shlex.join(["assay", "study", "--config", str(folder / STUDY), *given, "--out", str(out)])


def write_study(config: CraftConfig, plan: Plan, folder: Path) -> None:
    """Write `study.yaml`; its first lines say how it is run."""
    values: Mapping[str, Any] = study_values(config, plan, folder)
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    command = study_command(config, folder)
    write_text(
        folder / STUDY,
        f"# {command}\n# Paths are relative to the folder that `assay craft` was run in.\n{text}",
    )
