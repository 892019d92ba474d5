"""Rows that could not be used as lines of a file: place, reason and the row itself. Knows no formats."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay.data.example import Reject
from assay.files import write_text


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write rejected rows as JSONL in UTF-8: file, row, reason and the record; whole or not at all."""
    write_text(path, "".join(reject_line(reject) for reject in rejects))


def reject_line(reject: Reject) -> str:
    """A reject as a line of strict JSON that UTF-8 can hold, its end included."""
    row = {"file": reject.source.file, "row": reject.source.row, "reason": reject.reason}
    value = {**row, "record": _jsonable(reject.record)}
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return (line if _encodes(line) else json.dumps(value, allow_nan=False)) + "\n"


def _jsonable(value: Any) -> Any:
    """The value with what strict JSON does not have (NaN, dates, bytes) as text."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if (
        value is None
        or isinstance(value, (str, bool, int))
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    return str(value)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
