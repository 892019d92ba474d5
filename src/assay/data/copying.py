"""Rows copied from one text file to another of the same kind, byte for byte. Knows no paths.

Reads with the same functions as `text_rows` does, so that a row has the number it had when it was read.
"""

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from assay.data.json_spans import Span, array_spans, field_spans, first_value, with_field
from assay.data.rows import BadRow
from assay.data.text_rows import LINES, UTF8_MARK, json_value, rows_key, table_lines, without_mark
from assay.errors import ConfigError

Bytes = IO[bytes] | gzip.GzipFile


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows to copy, numbered from 1, and where they are `weighted` the weight of each for `column`."""

    rows: Mapping[int, float]
    column: str
    weighted: bool

    def __contains__(self, row: int) -> bool:
        return row in self.rows

    def weight(self, row: int) -> float:
        """The weight of a row, to six decimals."""
        return round(self.rows[row], 6)

    def require_new(self, names: Sequence[str] | Mapping[str, Any]) -> None:
        """Raise ConfigError where rows have a field or column of that name already."""
        if self.weighted and self.column in names:
            raise ConfigError(
                f"its rows have {self.column!r} already; rename it there, or leave the weights out"
            )


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows were read, and how many of them written."""

    read: int
    written: int


def copy_jsonl(source: Bytes, sink: Bytes, wanted: Wanted) -> Copied:
    """Copy lines; a byte order mark stays, blank lines go."""
    read = written = 0
    for row, line in enumerate(source, start=1):
        stands = without_mark(line) if row == 1 else line
        if len(stands) < len(line):
            sink.write(UTF8_MARK)
        if not stands.strip():
            continue
        read += 1
        if row in wanted:
            sink.write(
                _weighted_object(stands.decode("utf-8"), row, wanted).encode("utf-8")
                if wanted.weighted
                else stands
            )
            written += 1
    return Copied(read, written)


def copy_json(source: Bytes, sink: Bytes, wanted: Wanted) -> Copied:
    """Copy the items of a list, of the list in an object (with all else in it), or a single object.

    What stands between items stays with the item behind it. JSONL by another name is copied by lines; a
    single line that would then be read as a list of rows becomes a list of one.
    """
    data = source.read()
    bare = without_mark(data)
    text = bare.decode("utf-8")
    value = json_value(text)
    if value is LINES:
        lines = io.BytesIO()
        copied = copy_jsonl(io.BytesIO(bare), lines, wanted)
        taken = lines.getvalue()
        alone = copied.written == 1 and rows_key(json.loads(taken)) is not None
        sink.write(data[: len(data) - len(bare)] + (b"[" + taken.rstrip() + b"]\n" if alone else taken))
        return copied
    spans = _row_spans(text, value)
    kept = [row for row in range(1, len(spans) + 1) if row in wanted]
    parts = [text[: spans[0][0]]] if spans else []
    for number, row in enumerate(kept):
        start, end = spans[row - 1]
        if number:
            parts.append(text[spans[row - 2][1] : start])
        item = text[start:end]
        parts.append(_weighted_object(item, row, wanted) if wanted.weighted else item)
    parts.append(text[spans[-1][1] :] if spans else text)
    sink.write(data[: len(data) - len(bare)] + "".join(parts).encode("utf-8"))
    return Copied(len(spans), len(kept))


def copy_table(
    source: Bytes, sink: Bytes, wanted: Wanted, delimiter: str, *, quoted: bool, header: bool
) -> Copied:
    """Copy the header line, where there is one, and records with their quoting and line ends."""
    start = source.read(len(UTF8_MARK))
    source.seek(0)
    if start == UTF8_MARK:
        sink.write(UTF8_MARK)
    row, written = -1 if header else 0, 0
    for cells, stands in table_lines(source, delimiter, quoted=quoted):
        row += 1
        if row == 0:
            if isinstance(cells, BadRow):
                raise ValueError(f"the header line cannot be read: {cells.reason}")
            wanted.require_new([cell.strip() for cell in cells])
            sink.write(_with_cell(stands, delimiter, wanted.column) if wanted.weighted else stands)
        elif row in wanted:
            sink.write(_with_cell(stands, delimiter, str(wanted.weight(row))) if wanted.weighted else stands)
            written += 1
    return Copied(max(0, row), written)


def _row_spans(text: str, value: Any) -> list[Span]:
    """Where the rows of a JSON text stand."""
    start = first_value(text)
    if isinstance(value, list):
        return array_spans(text, start)
    key = rows_key(value)
    if key is None:
        return [(start, len(text.rstrip(" \t\n\r")))]
    return array_spans(text, field_spans(text, start)[key][0])


def _weighted_object(text: str, row: int, wanted: Wanted) -> str:
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError(f"row {row} is not an object")
    wanted.require_new(record)
    return with_field(text, wanted.column, wanted.weight(row))


def _with_cell(line: bytes, delimiter: str, cell: str) -> bytes:
    """A line with one more cell before its end."""
    body = line.rstrip(b"\r\n")
    return body + (delimiter + cell).encode("utf-8") + line[len(body) :]
