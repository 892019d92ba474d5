"""Rows out of JSON, JSONL, CSV and TSV in UTF-8. Knows no formats and no paths.

A line that cannot be read is a `BadRow`; a file that makes no sense as a whole raises ValueError.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from assay.data.rows import BROKEN_JSON, BadRow, Record, Row, first_line

CONTAINERS = ("data", "examples", "rows", "items", "records", "train", "validation", "test")
"""Keys under which a JSON object may hold its list of rows."""

Bytes = IO[bytes] | gzip.GzipFile

UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
LONGEST_CELL = 2**31 - 1
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}
LINES = object()
"""What `json_value` gives in place of a value for JSONL by another name."""


def json_rows(handle: Bytes) -> Iterator[Row]:
    """Rows of a list, of an object that holds a list, of a single object, or of JSONL by another name."""
    data = without_mark(handle.read())
    value = json_value(data.decode("utf-8"))
    if value is LINES:
        yield from jsonl_rows(io.BytesIO(data))
        return
    key = rows_key(value)
    rows = value if isinstance(value, list) else [value] if key is None else value[key]
    for row, record in enumerate(rows, start=1):
        yield row, _record(record)


def json_value(text: str) -> Any:
    """The value of a JSON text, or `LINES` for JSONL by another name."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not _is_object(text.lstrip().split("\n", 1)[0]):
            raise
        return LINES


def rows_key(value: Any) -> str | None:
    """The key under which an object holds its list of rows; None where the value itself is rows or a row."""
    if isinstance(value, list):
        return None
    if not isinstance(value, dict):
        raise ValueError("it holds neither a list nor an object")
    lists = [key for key in CONTAINERS if _is_list_of_objects(value.get(key))]
    if len(lists) > 1:
        raise ValueError(f"it holds several lists of rows ({', '.join(lists)}); keep one per file")
    return lists[0] if lists else None


def jsonl_rows(handle: Bytes) -> Iterator[Row]:
    """A row a line; blank lines are no rows, but are counted."""
    for row, line in enumerate(handle, start=1):
        data = without_mark(line) if row == 1 else line
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
    for cells, _ in table_lines(handle, delimiter, quoted=quoted):
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


def table_lines(handle: Bytes, delimiter: str, *, quoted: bool) -> Iterator[tuple[list[str] | BadRow, bytes]]:
    """Every line of a table as cells and as it stands there, the header like any other; blank lines are none.

    A byte order mark is left out. A quoted cell may run over several lines of text.
    """
    return _quoted_lines(handle, delimiter) if quoted else _literal_lines(handle, delimiter)


def _require_delimiter(handle: Bytes, delimiter: str) -> None:
    """Raise ValueError for a header line in which something else stands between the columns."""
    header = without_mark(handle.readline()).decode("utf-8", "replace")
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


def _literal_lines(handle: Bytes, delimiter: str) -> Iterator[tuple[list[str] | BadRow, bytes]]:
    for number, line in enumerate(handle):
        stands = without_mark(line) if number == 0 else line
        data = stands.rstrip(b"\r\n")
        if not data:
            continue
        try:
            yield data.decode("utf-8").split(delimiter), stands
        except UnicodeDecodeError as error:
            yield BadRow(_not_utf8(error), _shown(data)), stands


def _quoted_lines(handle: Bytes, delimiter: str) -> Iterator[tuple[list[str] | BadRow, bytes]]:
    """Cells as RFC 4180 has them."""
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="surrogateescape", newline="")
    read: list[str] = []
    reader = csv.reader(_noted(text, read), delimiter=delimiter, strict=True)
    while True:
        read.clear()
        try:
            cells: list[str] | BadRow = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = BadRow(f"broken quoting: {error}", "")
        if cells:
            stands = "".join(read).encode("utf-8", "surrogateescape")
            yield _utf8_cells(cells, delimiter) if isinstance(cells, list) else cells, stands


def _noted(lines: Iterable[str], read: list[str]) -> Iterator[str]:
    """The lines, each added to `read` when it is asked for."""
    for line in lines:
        read.append(line)
        yield line


def _utf8_cells(cells: list[str], delimiter: str) -> list[str] | BadRow:
    """The cells, unless bytes that are not UTF-8 were smuggled in as lone surrogates."""
    joined = delimiter.join(cells)
    try:
        joined.encode("utf-8")
    except UnicodeEncodeError as error:
        reason = f"not UTF-8 at character {error.start + 1}"
        return BadRow(reason, _shown(joined.encode("utf-8", "surrogateescape")))
    return cells


def without_mark(data: bytes) -> bytes:
    """Bytes without a UTF-8 byte order mark; ValueError for UTF-16."""
    if data.startswith(UTF16_MARKS):
        raise ValueError("it is UTF-16; save it as UTF-8")
    return data.removeprefix(UTF8_MARK)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start + 1}"


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").rstrip("\r\n")
