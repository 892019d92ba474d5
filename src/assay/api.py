"""The Python door: a study in one call. Turns arguments into settings and calls the run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.config import study_config
from assay.runs.study import Study, run_study

Files = str | Path | Mapping[str, str | Path]


def study(
    trajectory: Trajectory | str | Path,
    *,
    probes: Files,
    queries: Files,
    control: Files | None = None,
    out: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Study:
    """Study data strategies on a fine-tuning run.

    `trajectory` is a trainer's folder, or what `Trajectory.discover` found in it. `probes`, `control` and
    `queries` are files, or files by set name; a bare control is named "control", bare probes "probes", bare
    queries by their file. With `out`, finished checkpoints are kept there and a second call goes on from
    them. `options` are the other fields of `assay.runs.config.StudyConfig`.

    Raises AssayError of the fitting kind for whatever a person can mend.
    """
    found = trajectory if isinstance(trajectory, Trajectory) else None
    where = {"checkpoints": str(trajectory)} if found is None else _place(found)
    config = study_config(
        {
            **where,
            "probes": _named(probes, "probes"),
            "control": {} if control is None else _named(control, "control"),
            "queries": _named(
                queries, Path(queries).name.split(".")[0] if not isinstance(queries, Mapping) else ""
            ),
            **options,
        }
    )
    return run_study(config, out=None if out is None else Path(out), trajectory=found, progress=progress)


def _place(trajectory: Trajectory) -> dict[str, Any]:
    """Settings that find the checkpoints of a trajectory again, as far as its sources tell."""
    sources = [checkpoint.source for checkpoint in trajectory.checkpoints if checkpoint.kind != "base"]
    base = {} if trajectory.base_model is None else {"base_model": trajectory.base_model}
    if len(sources) < 2:
        return {"checkpoints": trajectory.checkpoints[-1].source, **base}
    steps = [checkpoint.step for checkpoint in trajectory.checkpoints if checkpoint.kind != "base"]
    chosen = {"steps": steps} if None not in steps else {}
    return {"checkpoints": os.path.commonpath(sources), **base, **chosen}


def _named(files: Files, name: str) -> dict[str, Any]:
    if isinstance(files, Mapping):
        return {key: one if isinstance(one, Mapping) else str(one) for key, one in files.items()}
    return {name: str(files)}
