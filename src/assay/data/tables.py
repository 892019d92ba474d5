"""Rows out of a source: JSON, JSONL, CSV, TSV, Parquet, Arrow, a folder, the hub; plain or gzipped.

Knows nothing of what a row means. A row that cannot be read is a `BadRow`; a file that cannot be read
is a `DataError`. Nothing in a file is ever executed: no pickles, no dataset scripts.

Rows count from 1: lines in JSONL, data rows (the header not counted) in CSV and TSV.
"""

import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa

from assay.data.arrow_rows import arrow_records, folder_records, parquet_records
from assay.data.hub import HUB_PREFIX, hub_rows
from assay.data.rows import BROKEN_JSON, BadRow, Record, Row, first_line
from assay.data.text_rows import json_rows, jsonl_rows, table_rows
from assay.errors import DataError

__all__ = ["BadRow", "Record", "Row", "first_rows", "kind_of", "read_rows", "seekable"]

GZIP_MAGIC = b"\x1f\x8b"
Bytes = IO[bytes] | gzip.GzipFile
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
ARROW = (".arrow", ".feather", ".ipc")


def read_rows(
    source: str | Path, *, names: Sequence[str] = (), quoted: bool | None = None
) -> Iterator[tuple[int, Record | BadRow]]:
    """Yield (row number, record or `BadRow`) of a file, a `save_to_disk` folder, or a dataset on the hub.

    `names` are the columns of a CSV or TSV without a header line. `quoted` says whether cells may be
    quoted; by default they may in CSV, while TSV is taken literally.
    """
    if str(source).startswith(HUB_PREFIX):
        return _numbered(hub_rows(str(source)))
    path = Path(source)
    if path.is_dir():
        return _guarded(path, _numbered(folder_records(path)))
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    return _guarded(path, _file_rows(path, names, quoted))


def first_rows(rows: Iterable[Row], count: int) -> tuple[list[Row], Iterator[Row]]:
    """The first `count` rows, and an iterator over all of them."""
    rest = iter(rows)
    head = list(itertools.islice(rest, count))
    return head, itertools.chain(head, rest)


def _file_rows(path: Path, names: Sequence[str], quoted: bool | None) -> Iterator[Row]:
    kind = kind_of(path)
    with path.open("rb") as raw:
        start = raw.read(len(GZIP_MAGIC))
        raw.seek(0)
        if not start:
            raise DataError(f"{path} is empty.")
        handle: Bytes = gzip.GzipFile(fileobj=raw) if start == GZIP_MAGIC else raw
        if kind == ".json":
            yield from json_rows(handle)
        elif kind in JSON_LINES:
            yield from jsonl_rows(handle)
        elif kind in DELIMITERS:
            cells_are_quoted = kind == ".csv" if quoted is None else quoted
            yield from table_rows(handle, names, DELIMITERS[kind], quoted=cells_are_quoted)
        elif kind == ".parquet":
            yield from _numbered(parquet_records(seekable(handle)))
        elif kind in ARROW:
            yield from _numbered(arrow_records(seekable(handle)))
        else:
            raise DataError(
                f"{path}: cannot tell the kind of file from its name; "
                "use .json, .jsonl, .csv, .tsv, .parquet or .arrow, each also with .gz."
            )


def kind_of(path: Path) -> str:
    """The lower-case suffix that tells the kind of file, `.gz` left aside."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _guarded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Turn what damaged files raise into a `DataError` that says after which row."""
    last = 0
    try:
        for row, record in rows:
            last = row
            yield row, record
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip file is damaged or cut off after row {last} ({error}).") from error
    except (pa.ArrowException, OSError, *BROKEN_JSON) as error:
        raise DataError(f"{path}: cannot be read after row {last}: {first_line(error)}.") from error


def _numbered(records: Iterable[Record | BadRow]) -> Iterator[Row]:
    return enumerate(records, start=1)


def seekable(handle: Bytes) -> IO[bytes]:
    """The handle, or what is in it where going back is slow."""
    return io.BytesIO(handle.read()) if isinstance(handle, gzip.GzipFile) else handle
