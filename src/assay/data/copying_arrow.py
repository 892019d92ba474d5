"""Rows copied from Parquet to Parquet, from Arrow to Arrow, and from records to JSONL. Knows no paths.

Schemas keep their metadata. Rows are copied a batch at a time.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from assay.data.copying import Bytes, Copied, Wanted
from assay.data.rows import BadRow, Record

GROUP_ROWS = 2**16
GROUP_BYTES = 2**26
CODECS = ("snappy", "gzip", "brotli", "zstd", "lz4")


def copy_parquet(source: IO[bytes], sink: Bytes, wanted: Wanted) -> Copied:
    """Copy rows with the schema and compression of the source, in row groups of about 64 MiB at most."""
    file = pq.ParquetFile(source)
    schema = _schema(file.schema_arrow, wanted)
    codec = "none"
    if file.metadata.num_row_groups and file.metadata.num_columns:
        codec = file.metadata.row_group(0).column(0).compression.lower()
    with pq.ParquetWriter(sink, schema, compression=codec if codec in CODECS else "none") as writer:
        held: list[Any] = []
        read = written = 0
        for batch in file.iter_batches(batch_size=1024):
            kept = _kept(batch, read, wanted, schema)
            read += batch.num_rows
            written += kept.num_rows
            held += [kept] if kept.num_rows else []
            if sum(b.num_rows for b in held) >= GROUP_ROWS or sum(b.nbytes for b in held) >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held, schema))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held, schema))
    return Copied(read, written)


def copy_arrow(source: IO[bytes], sink: Bytes, wanted: Wanted) -> Copied:
    """Copy rows as a file or a stream, whichever the source is."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    reader = ipc.open_file(source) if is_file else ipc.open_stream(source)
    batches: Iterable[Any] = (
        (reader.get_batch(index) for index in range(reader.num_record_batches)) if is_file else reader
    )
    schema = _schema(reader.schema, wanted)
    read = written = 0
    with (ipc.new_file if is_file else ipc.new_stream)(sink, schema) as writer:
        for batch in batches:
            kept = _kept(batch, read, wanted, schema)
            read += batch.num_rows
            written += kept.num_rows
            if kept.num_rows:
                writer.write_batch(kept)
    return Copied(read, written)


def copy_records(
    records: Iterable[Record | BadRow], sink: Bytes, wanted: Wanted, changed: set[str]
) -> Copied:
    """Write records as JSONL, the names of fields that JSON cannot hold as they are into `changed`."""
    read = written = 0
    for read, record in enumerate(records, start=1):
        if read not in wanted or isinstance(record, BadRow):
            continue
        wanted.require_new(record)
        value = {str(name): _plain(item, str(name), changed) for name, item in record.items()}
        if wanted.weighted:
            value[wanted.column] = wanted.weight(read)
        sink.write(_line(value))
        written += 1
    return Copied(read, written)


def _schema(schema: Any, wanted: Wanted) -> Any:
    wanted.require_new(schema.names)
    return schema.append(pa.field(wanted.column, pa.float64())) if wanted.weighted else schema


def _kept(batch: Any, before: int, wanted: Wanted, schema: Any) -> Any:
    """The wanted rows of a batch that `before` rows stand in front of, with weights where they are wanted."""
    rows = [row for row in range(before + 1, before + batch.num_rows + 1) if row in wanted]
    kept = batch.take(pa.array(np.asarray(rows, dtype=np.int64) - before - 1))
    if not wanted.weighted:
        return kept
    weights = pa.array([wanted.weight(row) for row in rows], pa.float64())
    return pa.RecordBatch.from_arrays([*kept.columns, weights], schema=schema)


def _line(value: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(value) + "\n").encode("ascii")


def _plain(value: Any, name: str, changed: set[str]) -> Any:
    """A value as JSON holds it: dates and bytes as text, what is not a finite number as null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, name, changed) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, name, changed) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return value
    changed.add(name)
    return None if isinstance(value, float) else str(value)
