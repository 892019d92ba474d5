"""Records out of Parquet, Arrow and folders written by `datasets.save_to_disk`. Knows no formats.

Only plain values come out; extension types are never rebuilt, and no code in a file is run.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from assay.data.rows import BadRow, Record, first_line
from assay.errors import DataError

UNREADABLE = (ValueError, OverflowError, pa.ArrowException)
"""What pyarrow raises for values that Python cannot hold, such as text that is not UTF-8."""
AT_ONCE = 1024
"""Rows that become Python values at a time, whatever the size of a batch."""


def parquet_records(handle: IO[bytes]) -> Iterator[Record | BadRow]:
    """Rows of a seekable Parquet file, a thousand in memory at a time."""
    file = pq.ParquetFile(handle)
    for batch in file.iter_batches(batch_size=AT_ONCE):
        yield from _records(batch)


def arrow_records(handle: IO[bytes]) -> Iterator[Record | BadRow]:
    """Rows of a seekable Arrow IPC file or stream (what `datasets` writes), each batch validated."""
    is_file = handle.read(6) == b"ARROW1"
    handle.seek(0)
    if is_file:
        reader = ipc.open_file(handle)
        batches: Iterable[Any] = (reader.get_batch(index) for index in range(reader.num_record_batches))
    else:
        batches = ipc.open_stream(handle)
    for batch in batches:
        batch.validate(full=True)
        yield from _records(batch)


def folder_records(folder: Path) -> Iterator[Record | BadRow]:
    """Rows of a folder written by `datasets.save_to_disk`; of several splits, the one named `train`."""
    if (folder / "dataset_dict.json").exists():
        splits = _described(folder / "dataset_dict.json", "splits")
        if "train" not in splits:
            raise DataError(f"{folder} holds the splits {', '.join(map(str, splits))}; name {folder}/SPLIT.")
        folder = folder / "train"
    if not (folder / "state.json").exists():
        raise DataError(f"{folder} is a folder that `datasets` did not write; name a data file in it.")
    for part in _described(folder / "state.json", "_data_files"):
        if not isinstance(part, dict) or "filename" not in part:
            raise DataError(f"{folder}/state.json does not name its data files.")
        with (folder / Path(str(part["filename"])).name).open("rb") as handle:
            yield from arrow_records(handle)


def _described(path: Path, key: str) -> list[Any]:
    description = json.loads(path.read_text(encoding="utf-8"))
    value = description.get(key) if isinstance(description, dict) else None
    if not isinstance(value, list):
        raise DataError(f"{path} does not list its {key.strip('_').replace('_', ' ')}.")
    return value


def _records(batch: Any) -> Iterator[Record | BadRow]:
    for start in range(0, batch.num_rows, AT_ONCE):
        yield from _some_records(batch.slice(start, AT_ONCE))


def _some_records(batch: Any) -> list[Record | BadRow]:
    try:
        records: list[Record | BadRow] = batch.to_pylist()
    except UNREADABLE:
        records = [_record(batch, index) for index in range(batch.num_rows)]
    return records


def _record(batch: Any, index: int) -> Record | BadRow:
    try:
        record: Record = batch.slice(index, 1).to_pylist()[0]
    except UNREADABLE as error:
        return BadRow(f"a value cannot be read ({first_line(error)})", "")
    return record
