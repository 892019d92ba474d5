"""Which base model lies under a checkpoint, and where it is now. Loads nothing."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.errors import ModelError
from assay.files import read_json
from assay.models.folders import ADAPTER_CONFIG, FULL_CONFIG
from assay.models.hub import is_hub_id


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """PEFT's `adapter_config.json` as it stands; ModelError when it cannot be read."""
    return _read_object(folder / ADAPTER_CONFIG)


def base_of_adapter(folder: Path, run: Path) -> str:
    """The local folder or hub id of the base that the adapter in `folder` names.

    A relative path is looked for from the current folder, the run's folder and the folders above it; what is
    found nowhere and can be a hub id is taken for one. Raises ModelError for a base that has moved.
    """
    recorded = read_adapter_config(folder).get("base_model_name_or_path")
    if not isinstance(recorded, str) or not recorded:
        raise ModelError(
            f"{folder / ADAPTER_CONFIG} does not name its base model; name it with --base-model."
        )
    for candidate in _candidates(recorded, run):
        if (candidate / FULL_CONFIG).is_file():
            return str(candidate)
    if is_hub_id(recorded):
        return recorded
    raise ModelError(
        f"The adapter in {folder} was trained on the base model '{recorded}', which is not there any more; "
        "say where it is now with --base-model."
    )


def base_of_full(folder: Path, run: Path) -> str | None:
    """The base that full weights were trained from, as far as ms-swift's `args.json` or `config.json` tells.

    None where nothing tells, or where what it tells is the folder itself or is gone.
    """
    recorded = _recorded_by_full(folder, run)
    if recorded is None:
        return None
    for candidate in _candidates(recorded, run):
        if (candidate / FULL_CONFIG).is_file():
            return None if candidate.resolve() == folder.resolve() else str(candidate)
    return recorded if is_hub_id(recorded) else None


def given_base(name: str) -> str:
    """A base that the user named: a folder with a model, or a hub id. ModelError when it can be neither."""
    path = Path(name).expanduser()
    if (path / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f"The base model '{name}' is an adapter itself; give the model that it was trained on."
        )
    if (path / FULL_CONFIG).is_file():
        return str(path)
    if path.exists():
        raise ModelError(f"The base model '{name}' has no {FULL_CONFIG}, so it is not a model's folder.")
    if is_hub_id(name):
        return name
    raise ModelError(f"The base model '{name}' is not there; give --base-model a model's folder or a hub id.")


def _candidates(recorded: str, run: Path) -> Iterator[Path]:
    path = Path(recorded).expanduser()
    yield path
    if not path.is_absolute():
        resolved = run.resolve()
        for root in (resolved, *resolved.parents):
            yield root / path


def _recorded_by_full(folder: Path, run: Path) -> str | None:
    for source, key in ((run / "args.json", "model"), (folder / FULL_CONFIG, "_name_or_path")):
        if source.is_file():
            recorded = _read_object(source).get(key)
            if isinstance(recorded, str) and recorded:
                return recorded
    return None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON.") from error
    if not isinstance(value, Mapping):
        raise ModelError(f"{path} does not hold a JSON object.")
    return dict(value)
