"""Rows out of JSON, JSONL, CSV and TSV in UTF-8. Knows no formats and no paths.

A line that cannot be read is a `BadRow`; a file that makes no sense as a whole raises ValueError.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

from assay.data.rows import BROKEN_JSON, BadRow, Record, Row, first_line

CONTAINERS = ("data", "examples", "rows", "items", "records", "train", "validation", "test")
"""Keys under which a JSON object may hold its list of rows."""

Bytes = IO[bytes] | gzip.GzipFile

UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
LONGEST_CELL = 2**31 - 1
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}


def json_rows(handle: Bytes) -> Iterator[Row]:
    """Rows of a list, of an object that holds a list, of a single object, or of JSONL by another name."""
    data = _without_mark(handle.read())
    text = data.decode("utf-8")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not _is_object(text.lstrip().split("\n", 1)[0]):
            raise
        yield from jsonl_rows(io.BytesIO(data))
        return
    for row, record in enumerate(_list_of_rows(value), start=1):
        yield row, _record(record)


def jsonl_rows(handle: Bytes) -> Iterator[Row]:
    """A row a line; blank lines are no rows, but are counted."""
    for row, line in enumerate(handle, start=1):
        data = _without_mark(line) if row == 1 else line
        if not data.strip():
            continue
        try:
            yield row, _record(json.loads(data.decode("utf-8")))
        except UnicodeDecodeError as error:
            yield row, BadRow(_not_utf8(error), _shown(data))
        except json.JSONDecodeError as error:
            yield (
                row,
                BadRow(
                    f"broken JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}", _shown(data)
                ),
            )
        except BROKEN_JSON as error:
            yield row, BadRow(f"broken JSON: {first_line(error)}", _shown(data))


def table_rows(handle: Bytes, names: Sequence[str], delimiter: str, *, quoted: bool) -> Iterator[Row]:
    """Rows of a table with a header line, or with columns `names` and none."""
    columns = tuple(names)
    if not columns:
        _require_delimiter(handle, delimiter)
    row = 0
    for cells in _quoted_cells(handle, delimiter) if quoted else _literal_cells(handle, delimiter):
        if not columns:
            columns = _header(cells)
            continue
        row += 1
        if isinstance(cells, BadRow):
            yield row, cells
        elif len(cells) != len(columns):
            expected = f"{len(columns)} columns ({', '.join(columns)})"
            found = _other_separator(cells[0], delimiter) if len(cells) == 1 else None
            hint = f"; they seem to be separated by {found}" if found else ""
            reason = f"has {len(cells)} cells where {expected} are expected{hint}"
            yield row, BadRow(reason, delimiter.join(cells))
        else:
            yield row, dict(zip(columns, cells, strict=True))


def _require_delimiter(handle: Bytes, delimiter: str) -> None:
    """Raise ValueError for a header line in which something else stands between the columns."""
    header = _without_mark(handle.readline()).decode("utf-8", "replace")
    handle.seek(0)
    found = _other_separator(header, delimiter)
    if found:
        raise ValueError(
            f"its columns are separated by {found}; save it with {SEPARATORS[delimiter]} between them "
            "(.csv takes commas, .tsv tabs)"
        )


def _other_separator(line: str, delimiter: str) -> str | None:
    """What separates the cells of a line in which `delimiter` does not occur, in words."""
    found = max(SEPARATORS, key=line.count)
    return None if delimiter in line or found not in line else SEPARATORS[found]


def _list_of_rows(value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise ValueError("it holds neither a list nor an object")
    lists = [key for key in CONTAINERS if _is_list_of_objects(value.get(key))]
    if len(lists) > 1:
        raise ValueError(f"it holds several lists of rows ({', '.join(lists)}); keep one per file")
    return list(value[lists[0]]) if lists else [value]


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except BROKEN_JSON:
        return False


def _record(value: Any) -> Record | BadRow:
    if isinstance(value, dict):
        return value
    return BadRow(f"a row must be an object, this is {type(value).__name__}", repr(value)[:2000])


def _header(cells: list[str] | BadRow) -> tuple[str, ...]:
    if isinstance(cells, BadRow):
        raise ValueError(f"the header line cannot be read: {cells.reason}")
    columns = tuple(cell.strip() for cell in cells)
    if len(set(columns)) < len(columns):
        raise ValueError(
            f"the header line {', '.join(columns)[:80]!r} repeats a name; "
            "if there is no header, name the columns (columns='question,answer')"
        )
    return columns


def _literal_cells(handle: Bytes, delimiter: str) -> Iterator[list[str] | BadRow]:
    for number, line in enumerate(handle):
        data = (_without_mark(line) if number == 0 else line).rstrip(b"\r\n")
        if not data:
            continue
        try:
            yield data.decode("utf-8").split(delimiter)
        except UnicodeDecodeError as error:
            yield BadRow(_not_utf8(error), _shown(data))


def _quoted_cells(handle: Bytes, delimiter: str) -> Iterator[list[str] | BadRow]:
    """Cells as RFC 4180 has them; a quoted cell may run over several lines."""
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(f"broken quoting: {error}", "")
            continue
        if cells:
            yield _utf8_cells(cells, delimiter)


def _utf8_cells(cells: list[str], delimiter: str) -> list[str] | BadRow:
    """The cells, unless bytes that are not UTF-8 were smuggled in as lone surrogates."""
    joined = delimiter.join(cells)
    try:
        joined.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"not UTF-8 at character {error.start + 1}"
        return BadRow(reason, _shown(joined.encode("utf-8", "surrogateescape")))
    return cells


def _without_mark(data: bytes) -> bytes:
    if data.startswith(UTF16_MARKS):
        raise ValueError("it is UTF-16; save it as UTF-8")
    return data.removeprefix(UTF8_MARK)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start + 1}"


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").rstrip("\r\n")
