"""Kept rows back out in the format in which they came: the same bytes wherever the format allows.

One file for every source, under the source's name. Knows which row is which as the readers count them, and
nothing of scores or of why a row is kept. All files are written, or none.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.data.coded import Coded
from assay.data.columns import ColumnMapping
from assay.data.copying import Copied, Wanted
from assay.data.copying_files import copy_rows, is_file
from assay.data.dataset_info import registration
from assay.data.hub import HUB_PREFIX
from assay.data.texts import counted
from assay.errors import ConfigError, DataError

WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What is kept of one source: rows as `Source.row` counts them, rising, and a weight for each or None.

    `partial` counts rows of which some examples are dropped: a row is written whole.
    """

    source: str
    rows: Sequence[int]
    weights: Sequence[float] | None = None
    partial: int = 0


@dataclass(frozen=True, slots=True)
class SourceState:
    """A file as it was when it was read; what is None is not compared. `rows` counts bad ones, too."""

    bytes: int | None = None
    sha256: str | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written, in the order of their sources, and sentences about them."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One source and the name of its file; `changed` collects fields that JSONL cannot hold as they are."""

    kept: KeptRows
    name: str
    mapping: ColumnMapping
    state: SourceState
    changed: set[str] = field(default_factory=set)

    @property
    def source(self) -> str:
        return self.kept.source


class _Weights(Mapping[int, float]):
    """The weight of each row; 1 where none is given. As large as the rows themselves."""

    def __init__(self, rows: Sequence[int], weights: Sequence[float] | None) -> None:
        self._rows, self._weights = rows, weights

    def __getitem__(self, row: int) -> float:
        at = bisect_left(self._rows, row)
        if at == len(self._rows) or self._rows[at] != row:
            raise KeyError(row)
        return 1.0 if self._weights is None else self._weights[at]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def kept_rows(
    files: Sequence[str],
    rows: Int[np.ndarray, "n"],
    kept: Bool[np.ndarray, "n"],
    weights: Float[np.ndarray, "n"] | None = None,
) -> tuple[KeptRows, ...]:
    """The rows of n candidates that are kept, source by source in the order of first mention.

    A row that gave several examples is kept where one of them is; its weight is the mean of theirs. Sources
    of which nothing is kept are there, too.
    """
    sources = Coded.of(files)
    return tuple(
        _kept_of(source, rows[mine], kept[mine], None if weights is None else weights[mine])
        for code, source in enumerate(sources.names)
        for mine in (sources.codes == code,)
    )


def _kept_of(
    source: str,
    rows: Int[np.ndarray, "m"],
    kept: Bool[np.ndarray, "m"],
    weights: Float[np.ndarray, "m"] | None,
) -> KeptRows:
    """The same of the candidates of one source."""
    found, which = np.unique(rows[kept], return_inverse=True)
    partial = len(np.intersect1d(found, rows[~kept]))
    means = None
    if weights is not None:
        means = array("d", np.bincount(which, weights[kept], len(found)) / np.bincount(which))
    return KeptRows(source, array("q", found.astype(np.int64)), means, partial)


def write_back(
    kept: Sequence[KeptRows],
    folder: Path,
    *,
    weight_column: str = WEIGHT,
    mappings: Mapping[str, ColumnMapping] | None = None,
    states: Mapping[str, SourceState] | None = None,
    entries: Mapping[str, str] | None = None,
    replace: bool = False,
) -> Written:
    """Write the kept rows of every source into `folder`, in the order of the source.

    JSONL, JSON, CSV and TSV keep every byte of a row (with weights, all but the added field), Parquet and
    Arrow the schema; what was gzipped is gzipped. A folder of `datasets` or a dataset on the hub becomes
    JSONL. Names that clash are numbered (`data-2.jsonl`). By source, `mappings` say how tables were read,
    `states` what they were, and `entries` the `dataset_info.json:NAME` that named them.

    Raises DataError for a source that is gone or has changed, ConfigError for a file that is there already
    (unless `replace`), for a folder that holds a source of that name, and for a weight column that rows have
    already; then no file is written.
    """
    jobs = _jobs(kept, mappings or {}, states or {})
    targets = [folder / job.name for job in jobs]
    _require_free(targets, [job.source for job in jobs], replace)
    for one in kept:
        _require_unchanged(one, (states or {}).get(one.source, SourceState()))
    notes: list[str] = []
    with _staged(folder) as stage:
        for job, target in zip(jobs, targets, strict=True):
            wanted = _wanted(job.kept, weight_column)
            copied = copy_rows(job.source, stage / job.name, wanted, job.mapping, job.changed)
            _require_all(job, copied)
            notes += _notes(job, copied, target)
        notes += [
            _registering(entries[job.source], target)
            for job, target in zip(jobs, targets, strict=True)
            if entries and job.source in entries
        ]
        for job, target in zip(jobs, targets, strict=True):
            (stage / job.name).replace(target)
    notes += [f"{one.source}: nothing is kept, so it has no file." for one in kept if not one.rows]
    return Written(tuple(targets), tuple(notes))


def _jobs(
    kept: Sequence[KeptRows], mappings: Mapping[str, ColumnMapping], states: Mapping[str, SourceState]
) -> list[_Job]:
    """The sources of which something is kept, each with a name of its own."""
    taken: set[str] = set()
    jobs = []
    for one in kept:
        if not one.rows:
            continue
        stem, suffix = _name(one.source)
        names = (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}" for number in count(1))
        name = next(name for name in names if name.lower() not in taken)
        taken.add(name.lower())
        mapping = mappings.get(one.source, ColumnMapping())
        jobs.append(_Job(one, name, mapping, states.get(one.source, SourceState())))
    return jobs


def _name(source: str) -> tuple[str, str]:
    """The name of a source's file before and from its suffix."""
    if source.startswith(HUB_PREFIX):
        return re.sub(r"[^\w.]+", "-", source.removeprefix(HUB_PREFIX)).strip("-."), ".jsonl"
    path = Path(source)
    if path.is_dir():
        return path.resolve().name or "rows", ".jsonl"
    zipped = path.suffix if path.suffix.lower() == ".gz" else ""
    suffix = Path(path.name.removesuffix(zipped)).suffix + zipped
    return path.name.removesuffix(suffix), suffix


def _wanted(kept: KeptRows, column: str) -> Wanted:
    return Wanted(_Weights(kept.rows, kept.weights), column, kept.weights is not None)


def _require_free(targets: Sequence[Path], sources: Sequence[str], replace: bool) -> None:
    for target in targets:
        if not target.exists():
            continue
        if any(Path(source).exists() and target.samefile(source) for source in sources):
            raise ConfigError(f"{target} is itself a source of what is kept; name another folder.")
        if not replace or not target.is_file():
            raise ConfigError(f"{target} is there already; name another folder, or remove it.")


def _require_unchanged(kept: KeptRows, state: SourceState) -> None:
    """Raise DataError for a source whose size or digest differs, or that is gone with rows to keep."""
    if kept.source.startswith(HUB_PREFIX):
        return
    path = Path(kept.source)
    if not path.exists() and kept.rows:
        place = (
            "" if path.is_absolute() else f"; its path is from where it was scored, and this is {Path.cwd()}"
        )
        raise DataError(f"{path} is not there any more, so its kept rows cannot be written{place}.")
    if not path.is_file():
        return
    size = path.stat().st_size
    if state.bytes not in (None, size):
        raise _changed(kept.source, f"it has {size:,} bytes and had {state.bytes:,}")
    if state.sha256 is not None:
        with path.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() != state.sha256:
                raise _changed(kept.source, "its content differs")


def _require_all(job: _Job, copied: Copied) -> None:
    """Raise DataError where rows are not there, or there are more or fewer than there were."""
    if job.state.rows not in (None, copied.read):
        raise _changed(job.source, f"it has {counted(copied.read, 'row')} and had {job.state.rows:,}")
    missing = len(job.kept.rows) - copied.written
    if missing:
        raise _changed(job.source, f"{counted(missing, 'row')} of those to keep cannot be found in it")


def _changed(source: str, what: str) -> DataError:
    return DataError(f"{source} has changed since it was scored: {what}; score it again.")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder within `folder` to write in; it goes, and so does `folder` where it was made for nothing."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".kept-", dir=folder))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to: {error.strerror or error}.") from error
    try:
        yield stage
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()
        raise
    shutil.rmtree(stage, ignore_errors=True)


def _notes(job: _Job, copied: Copied, target: Path) -> Iterator[str]:
    how = "" if is_file(job.source) else " as JSONL"
    yield f"{target}: {copied.written:,} of {counted(copied.read, 'row')} of {job.source}{how}."
    if job.changed:
        yield (
            f"{target}: JSON has no values like those in {', '.join(sorted(job.changed))}; dates and bytes "
            "are written as text, what is not a finite number as null."
        )
    if job.kept.partial:
        yield (
            f"{target}: {counted(job.kept.partial, 'row')} with several examples of which some are dropped; "
            "a row is written whole."
        )


def _registering(entry: str, target: Path) -> str:
    info = Path(entry.rpartition(":")[0])
    file_name = os.path.relpath(target, info.parent)
    text = json.dumps(registration(entry, file_name), ensure_ascii=False)[1:-1]
    return f"To train on {target} with LLaMA-Factory, add to {info}: {text}"
