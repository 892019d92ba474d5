"""Paths in a configuration file that were meant from the file's own folder. Opens no file."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.runs.config import StudyConfig


def require_here(config: "StudyConfig", file: Path, options: Collection[str] = ()) -> None:
    """Raise ConfigError for a path that is found from `file`'s folder and not from the current one.

    Settings that are among `options` do not come from `file`.
    """
    for setting, path in _paths(config):
        beside = file.parent / path
        if setting.partition(".")[0] not in options and not Path(path).exists() and beside.exists():
            raise ConfigError(
                f"{file}: {setting}: there is no {path} here; paths in a config are relative to the folder "
                f"the command runs in. Did you mean {beside}?"
            )


def _paths(config: "StudyConfig") -> Iterator[tuple[str, str]]:
    """Settings that can name a file or folder, with what they name."""
    for setting in ("checkpoints", "base_model", "tasks", "chat_template"):
        path = getattr(config, setting)
        if path is not None:
            yield setting, path
    for role in ("probes", "control", "queries"):
        for name, entry in getattr(config, role).items():
            yield f"{role}.{name}", _file(entry.file)
    for number, entry in enumerate(config.train_data):
        yield f"train_data.{number}", _file(entry.file)


def _file(source: str) -> str:
    """The file of `dataset_info.json:NAME`; every other source as it is."""
    file, described, _ = source.partition(".json:")
    return f"{file}.json" if described else source
