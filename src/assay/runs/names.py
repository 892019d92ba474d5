"""Sets by name: how `NAME=FILE` is read, and what a bare file is called. Opens no file."""

from collections.abc import Iterable
from pathlib import Path

from assay.errors import ConfigError


def named_files(values: Iterable[str], what: str) -> dict[str, str]:
    """`NAME=FILE` pairs as a mapping. A bare FILE is named after itself.

    A value that is the path of a file stays whole, whatever `=` it holds. Raises ConfigError for an empty
    part or a name given twice, beginning with `what`: the option or argument that they were given as.
    """
    files: dict[str, str] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or "/" in name or Path(value).exists():
            name, file = own_name(value), value
        if not name or not file:
            raise ConfigError(f"{what} {value}: give it as NAME=FILE.")
        if name in files:
            raise ConfigError(f"{what}: the name {name!r} is given twice; name them apart with NAME=FILE.")
        files[name] = str(Path(file).expanduser()) if file.startswith("~") else file
    return files


def own_name(file: str) -> str:
    """What a set is called that was given no name: `runs/eval.jsonl.gz` is "eval",
    `data/dataset_info.json:alpaca` is "alpaca"."""
    _, described, entry = file.partition(".json:")
    return entry if described else Path(file).name.split(".")[0]
