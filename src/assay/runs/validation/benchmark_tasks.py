"""Benchmark tasks as local files: which there are, whether all that they read lies here, what it holds.

A task is a YAML file as lm-eval has them. Those that would fetch anything are refused. Knows no lm-eval.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from assay.errors import ConfigError
from assay.models.weights import content_digest

LOCAL = ("arrow", "csv", "json", "parquet", "text", "xml")
"""What `dataset_path` may be called where `data_files` says which files these are."""


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """A task by the name that it gives itself; `digest` is of its YAML, its Python and its data."""

    name: str
    file: Path
    digest: str


def read_benchmarks(places: Sequence[str]) -> tuple[BenchmarkTask, ...]:
    """The tasks of YAML files, and of folders of them (files there that name no single task are parts of
    others, or groups, and are passed over).

    Raises ConfigError for a place without a task, a name that is there twice, a file that is missing, and a
    task that would reach the network or cannot be followed to its data.
    """
    found: dict[str, BenchmarkTask] = {}
    for place in places:
        for path, task, files in _tasks_at(Path(place)):
            name = str(task["task"])
            if name in found:
                raise ConfigError(
                    f"--benchmarks: the task {name!r} is there twice, in {found[name].file} and {path}."
                )
            files += _data_of(task, path)
            found[name] = BenchmarkTask(name, path, content_digest(list(dict.fromkeys(files))))
    return tuple(found.values())


def _tasks_at(place: Path) -> Iterator[tuple[Path, dict[str, Any], list[Path]]]:
    if not place.exists():
        raise ConfigError(f"--benchmarks {place}: there is no such file or folder.")
    several = place.is_dir()
    paths = sorted(place.rglob("*.yaml")) if several else [place]
    some = False
    for path in paths:
        task, files = _read(path)
        if isinstance(task.get("task"), str) and "group" not in task:
            some = True
            yield path, task, files
        elif not several:
            raise ConfigError(f"--benchmarks {place}: it names no single task (`task: NAME`); name its file.")
    if not some:
        raise ConfigError(f"--benchmarks {place}: no .yaml file in it names a task (`task: NAME`).")


def _read(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], list[Path]]:
    """What a YAML file says with what it includes (its own words go first), and every file it takes."""
    files = [path]

    class Loader(yaml.SafeLoader):
        """Functions stay their names; a module beside the file is one of its files."""

    def function(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
        name = str(loader.construct_scalar(node))
        module = path.parent / f"{name.rpartition('.')[0].replace('.', '/')}.py"
        if module.is_file():
            files.append(module)
        return name

    Loader.add_constructor("!function", function)
    if path in above:
        raise ConfigError(f"--benchmarks: {path} includes itself.")
    try:
        own = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--benchmarks: {path} cannot be read as YAML: {reason}") from error
    if not isinstance(own, dict):
        raise ConfigError(f"--benchmarks: {path} holds no settings of a task.")
    includes = own.pop("include", [])
    whole: dict[str, Any] = {}
    for one in [includes] if isinstance(includes, str) else includes:
        included, more = _read(path.parent / str(one), (*above, path))
        whole |= included
        files += more
    return whole | own, files


def _data_of(task: Mapping[str, Any], path: Path) -> list[Path]:
    """The data files of a task."""
    lead = f"--benchmarks {path}: the task {task['task']!r}"
    for key in ("class", "custom_dataset"):
        if key in task:
            raise ConfigError(f"{lead} makes its data by Python code (`{key}`); give them as files.")
    if named := _fetched_metric(task):
        raise ConfigError(
            f"{lead} fetches the metric {named!r} from the network (`hf_evaluate`); leave it out."
        )
    source = task.get("dataset_path")
    kwargs = task.get("dataset_kwargs") or {}
    mend = "download it and write `dataset_path: json` with `dataset_kwargs: {data_files: FILE}`"
    if source is None:
        raise ConfigError(f"{lead} names no data; {mend}.")
    if source not in LOCAL:
        if not Path(str(source)).is_dir():
            raise ConfigError(f"{lead} takes its data from {str(source)!r}, which is no folder here; {mend}.")
        return _inside(Path(str(source)))
    folder, patterns = kwargs.get("data_dir"), list(_strings(kwargs.get("data_files")))
    if any("://" in pattern for pattern in (*patterns, str(folder or ""))):
        raise ConfigError(f"{lead} takes its data from an address of the network; {mend}.")
    if not patterns:
        if folder is None or not Path(str(folder)).is_dir():
            raise ConfigError(f"{lead} names no data files; {mend}.")
        return _inside(Path(str(folder)))
    files: list[Path] = []
    for pattern in patterns:
        matching = _matching(Path(str(folder or "")) / pattern)
        if not matching:
            raise ConfigError(
                f"{lead} reads {pattern}, which is not there (names are taken from the folder the command "
                "runs in)."
            )
        files += matching
    return files


def _fetched_metric(task: Mapping[str, Any]) -> str | None:
    metrics = task.get("metric_list")
    for one in metrics if isinstance(metrics, list) else []:
        if isinstance(one, dict) and one.get("hf_evaluate"):
            return str(one.get("metric"))
    return None


def _matching(pattern: Path) -> list[Path]:
    """The file itself, or the files of a pattern such as `data/*.jsonl`."""
    if pattern.is_file():
        return [pattern]
    start = Path(pattern.anchor or ".")
    inside = str(pattern.relative_to(pattern.anchor))
    return sorted(one for one in start.glob(inside) if one.is_file())


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _strings(value: Any) -> Iterator[str]:
    """All texts in lists and mappings of them."""
    if isinstance(value, Mapping):
        value = list(value.values())
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        yield from _strings(one) if isinstance(one, list | Mapping) else (str(one),)
