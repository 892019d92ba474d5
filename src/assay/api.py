"""The Python door: a study, a craft, a scoring, a selection or a validation in one call.

Turns arguments into settings and calls the run.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import ConfigError
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.config import study_config
from assay.runs.crafting.config import craft_config
from assay.runs.crafting.run import run_craft
from assay.runs.crafting.told import Craft
from assay.runs.names import named_files, own_name
from assay.runs.scores.config import score_config
from assay.runs.scores.run import Scores, run_scores
from assay.runs.selecting import Selection, run_selection
from assay.runs.selecting_config import select_config
from assay.runs.study import Study, run_study
from assay.runs.validation.config import validate_config
from assay.runs.validation.run import Validation, run_validation

Files = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


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
    `queries` are a file, a list of files, or files by set name. A bare control is named "control", bare
    probes "probes", bare queries and the files of a list after themselves (`eval.jsonl` is "eval"). With
    `out`, finished checkpoints are kept there and a second call goes on from them. `options` are the other
    fields of `assay.runs.config.StudyConfig`.

    Raises AssayError of the fitting kind for whatever a person can mend.
    """
    found = trajectory if isinstance(trajectory, Trajectory) else None
    where = {"checkpoints": str(trajectory)} if found is None else _place(found)
    config = study_config(
        {
            **where,
            "probes": _named(probes, "probes", bare="probes"),
            "control": {} if control is None else _named(control, "control", bare="control"),
            "queries": _named(queries, "queries"),
            **options,
        }
    )
    return run_study(config, out=None if out is None else Path(out), trajectory=found, progress=progress)


def craft(
    strategy: str | Path | Sequence[str | Path],
    *,
    references: Files,
    out: str | Path,
    queries: Files | None = None,
    cache: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Craft:
    """Turn reference examples into examples of a strategy, and a study of it, in the folder `out`.

    `strategy` is the name of a shipped one, a YAML file, or several of either. `references` are a file, a
    list of files, or files by task. Who is asked is among `options`, the other fields of
    `assay.runs.crafting.config.CraftConfig`: `endpoint` and `model`, or `local`, or `from_columns`. Replies
    are kept in `cache` (by default in `out`), so a second call asks nothing twice. Raises AssayError of the
    fitting kind for whatever a person can mend.
    """
    if isinstance(references, Mapping):
        files = [{"file": str(file), "task": task} for task, file in references.items()]
    else:
        files = [{"file": file} for file in _several(references)]
    config = craft_config(
        {
            "strategies": _several(strategy),
            "references": files,
            "queries": {} if queries is None else _named(queries, "queries"),
            **options,
        }
    )
    kept = None if cache is None else Path(cache)
    return run_craft(config, Path(out), cache=kept, progress=progress)


def score(
    trajectory: Trajectory | str | Path,
    *,
    method: str | Sequence[str],
    candidates: str | Path | Sequence[str | Path],
    out: str | Path,
    queries: Files | None = None,
    questions: str | Path | Sequence[str | Path] = (),
    progress: Progress = SILENT,
    **options: Any,
) -> Scores:
    """Score every candidate by one or several methods (`assay.methods.table.METHODS`) into the folder `out`.

    `trajectory` and `queries` are as in `study`, `candidates` and `questions` a file or a list of files.
    `options` are the other fields of `assay.runs.scores.config.ScoreConfig`. A second call goes on with what
    is in `out`. Raises AssayError of the fitting kind for whatever a person can mend.
    """
    found = trajectory if isinstance(trajectory, Trajectory) else None
    where = {"checkpoints": str(trajectory)} if found is None else _place(found)
    config = score_config(
        {
            **where,
            "candidates": _several(candidates),
            "queries": {} if queries is None else _named(queries, "queries"),
            "questions": _several(questions),
            "methods": [method] if isinstance(method, str) else list(method),
            **options,
        }
    )
    return run_scores(config, Path(out), trajectory=found, progress=progress)


def select(
    scores: Scores | str | Path,
    *,
    rule: str,
    budget: str | int,
    out: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Selection:
    """Choose among scored candidates and write the kept rows, the decisions and the report.

    `scores` is what `score` returned, or its folder; `out` is by default `selection` in it. `options` are the
    other fields of `assay.runs.selecting_config.SelectConfig`. Raises AssayError as `score` does.
    """
    folder = scores.folder if isinstance(scores, Scores) else Path(scores)
    config = select_config({"rule": rule, "budget": str(budget), **options})
    return run_selection(
        config, folder, folder / "selection" if out is None else Path(out), progress=progress
    )


def validate(
    base_model: str | Path | Sequence[str | Path],
    *,
    sets: Mapping[str, str | Path],
    arms: str | Sequence[str] = (),
    queries: Files,
    out: str | Path,
    study: str | Path | Sequence[str | Path] = (),
    progress: Progress = SILENT,
    **options: Any,
) -> Validation:
    """Train every arm on every base model with several seeds, and compare them on `queries`, in `out`.

    `sets` are training files by the names that `arms` ("base", "base+cot", "base -> clarify",
    "continue(base) -> pos") know them by; the first arm is what the others are held against. With `study`,
    the folder of a swift study (or one for each base model), its verdicts are held against the effects.
    `options` are the other fields of `assay.runs.validation.config.ValidateConfig`; `design` names the
    paper's arms. A second call goes on with what is in `out`. Raises AssayError of the fitting kind for
    whatever a person can mend.
    """
    config = validate_config(
        {
            "base_model": _several(base_model),
            "sets": _named(sets, "sets"),
            "arms": [arms] if isinstance(arms, str) else list(arms),
            "queries": _named(queries, "queries"),
            "study": _several(study or ()),
            **options,
        }
    )
    return run_validation(config, Path(out), progress=progress)


def _several(files: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(files)] if isinstance(files, str | Path) else [str(one) for one in files]


def _place(trajectory: Trajectory) -> dict[str, Any]:
    """Settings that find the checkpoints of a trajectory again, as far as its sources tell."""
    sources = [checkpoint.source for checkpoint in trajectory.checkpoints if checkpoint.kind != "base"]
    base = {} if trajectory.base_model is None else {"base_model": trajectory.base_model}
    if len(sources) < 2:
        return {"checkpoints": trajectory.checkpoints[-1].source, **base}
    steps = [checkpoint.step for checkpoint in trajectory.checkpoints if checkpoint.kind != "base"]
    chosen = {"steps": steps} if None not in steps else {}
    return {"checkpoints": os.path.commonpath(sources), **base, **chosen}


def _named(files: Files, what: str, *, bare: str | None = None) -> dict[str, Any]:
    """Files by set name; `bare` is the name of a file that stands alone, None to name it after itself."""
    if isinstance(files, Mapping):
        return {key: one if isinstance(one, Mapping) else str(one) for key, one in files.items()}
    if isinstance(files, str | Path):
        return {bare or own_name(str(files)): str(files)}
    if isinstance(files, list | tuple) and all(isinstance(one, str | Path) for one in files):
        return named_files(map(str, files), what)
    raise ConfigError(f"{what}: give a file, a list of files, or a mapping of set names to files.")
