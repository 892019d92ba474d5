"""Rows of one source copied to a file of the same kind: which kind it is, and what may go wrong on the way.

Knows the readers' kinds of files, and nothing of what is done with the copy.
"""

import gzip
import os
import zlib
from pathlib import Path
from typing import IO

import pyarrow as pa

from assay.data.arrow_rows import folder_records
from assay.data.columns import ColumnMapping
from assay.data.copying import Bytes, Copied, Wanted, copy_json, copy_jsonl, copy_table
from assay.data.copying_arrow import copy_arrow, copy_parquet, copy_records
from assay.data.hub import HUB_PREFIX, hub_rows
from assay.data.rows import BROKEN_JSON, first_line
from assay.data.tables import ARROW, DELIMITERS, GZIP_MAGIC, JSON_LINES, kind_of, seekable
from assay.errors import AssayError, ConfigError, DataError


def is_file(source: str) -> bool:
    """Whether a source is one file; what is not is copied as JSONL."""
    return not source.startswith(HUB_PREFIX) and not Path(source).is_dir()


def copy_rows(source: str, target: Path, wanted: Wanted, mapping: ColumnMapping, changed: set[str]) -> Copied:
    """Write the wanted rows of a file, a folder of `datasets` or a dataset on the hub, flushed to disk.

    `mapping` says how a table was read. `changed` gets the names of fields that JSONL cannot hold as they
    are. Raises ConfigError for a column of weights that is there already, DataError for whatever else goes
    wrong.
    """
    try:
        with target.open("wb") as raw:
            if is_file(source):
                copied = _copy_file(Path(source), raw, wanted, mapping)
            elif source.startswith(HUB_PREFIX):
                copied = copy_records(hub_rows(source), raw, wanted, changed)
            else:
                copied = copy_records(folder_records(Path(source)), raw, wanted, changed)
            raw.flush()
            os.fsync(raw.fileno())
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}.") from error
    except AssayError:
        raise
    except (OSError, EOFError, zlib.error, pa.ArrowException, *BROKEN_JSON) as error:
        raise DataError(f"{source}: its rows cannot be copied: {first_line(error)}.") from error
    return copied


def _copy_file(path: Path, raw: IO[bytes], wanted: Wanted, mapping: ColumnMapping) -> Copied:
    """Copy as the kind that the readers take the file for; gzipped where it is."""
    with path.open("rb") as plain:
        zipped = plain.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        plain.seek(0)
        if not zipped:
            return _copy_kind(kind_of(path), plain, raw, wanted, mapping)
        with (
            gzip.GzipFile(fileobj=plain) as source,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as sink,
        ):
            return _copy_kind(kind_of(path), source, sink, wanted, mapping)


def _copy_kind(kind: str, source: Bytes, sink: Bytes, wanted: Wanted, mapping: ColumnMapping) -> Copied:
    if kind == ".json":
        return copy_json(source, sink, wanted)
    if kind in JSON_LINES:
        return copy_jsonl(source, sink, wanted)
    if kind in DELIMITERS:
        quoted = kind == ".csv" if mapping.quoted is None else mapping.quoted
        return copy_table(source, sink, wanted, DELIMITERS[kind], quoted=quoted, header=not mapping.names)
    if kind == ".parquet":
        return copy_parquet(seekable(source), sink, wanted)
    if kind in ARROW:
        return copy_arrow(seekable(source), sink, wanted)
    raise ValueError(f"files of the kind {kind!r} cannot be read")
