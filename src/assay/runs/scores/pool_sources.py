"""The files of a pool as they lie on disk: sizes, digests, about how many rows. Knows no formats."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.data.dataset_info import entry_named
from assay.data.hub import HUB_PREFIX
from assay.errors import DataError

ROW_A_LINE = (".jsonl", ".ndjson", ".csv", ".tsv")
CHUNK = 2**20
WORTH_SAYING = 64 * CHUNK
"""Bytes from which a file that has to be read whole is worth a word."""

Stamps = tuple[tuple[str, int, int], ...]


def source_files(source: str) -> list[Path]:
    """The files that a source is read from, sorted; those of a dataset on the hub are not known.

    Raises DataError for a file that is not there.
    """
    entry = None if Path(source).exists() else entry_named(source)
    place = source if entry is None else entry.source
    files = [] if entry is None else [Path(source.rpartition(":")[0])]
    if place.startswith(HUB_PREFIX):
        return files
    path = Path(place)
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return files + inside


def source_digest(source: str) -> dict[str, Any]:
    """`bytes` and `sha256` of what a source is read from; of several files, over their names and digests."""
    files = source_files(source)
    try:
        digests = {str(path): _sha256(path) for path in files}
        size = sum(path.stat().st_size for path in files)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from error
    return {"bytes": size, "sha256": _over(digests)}


def stamps(source: str) -> Stamps:
    """Name, size and time of every file, to notice one that is written to while it is read."""
    return tuple((str(path), *_size_and_time(path)) for path in source_files(source))


def rows_about(source: str) -> int | None:
    """How many rows a source has, near enough for a bar of progress; None where that is not cheap to know."""
    files = source_files(source)
    if len(files) != 1:
        return None
    kind = files[0].suffix.lower()
    try:
        if kind == ".parquet":
            return int(pq.read_metadata(files[0]).num_rows)
        return _lines(files[0]) if kind in ROW_A_LINE else None
    except (OSError, pa.ArrowException):
        return None


def read_whole(source: str) -> bool:
    """Whether a source is a large file that its reader cannot read row by row."""
    kinds = [path.name.lower() for path in source_files(source) if path.stat().st_size >= WORTH_SAYING]
    zipped = tuple(f"{kind}.gz" for kind in (".parquet", ".arrow", ".feather", ".ipc"))
    return any(kind.endswith((".json", ".json.gz", *zipped)) for kind in kinds)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _over(digests: Mapping[str, str]) -> str | None:
    if len(digests) < 2:
        return next(iter(digests.values()), None)
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _lines(path: Path) -> int:
    with path.open("rb") as handle:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: handle.read(CHUNK), b""))
