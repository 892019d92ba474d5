"""From a source to examples: rows read, format found and said aloud, labels and ids given.

Knows the room's other readers, but no tokenizer. Every row either becomes examples or is reported with its
file, row and reason; nothing is lost or silently changed.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from assay.data.columns import ColumnMapping
from assay.data.dataset_info import DatasetEntry, entry_named
from assay.data.drafts import Options, Response, checked
from assay.data.example import Example, Reject, Source
from assay.data.fields import RowError, Tags, label
from assay.data.formats import COLUMNS, NAMES, Format, detect, named
from assay.data.tables import BadRow, Record, Row, first_rows, read_rows
from assay.data.texts import content_hash, content_key, counted, prompt_key
from assay.errors import ConfigError, DataError
from assay.files import write_text

__all__ = ["ExampleSet", "OnBadRows", "content_key", "prompt_key", "read_examples", "write_rejects"]

OnBadRows = Literal["error", "skip"]

LOOKED_AT = 20
"""How many first rows decide the format."""


@dataclass(frozen=True)
class ExampleSet:
    """What a source holds: usable examples, unusable rows, and what a person should know of the reading."""

    examples: tuple[Example, ...]
    rejects: tuple[Reject, ...]
    format: str
    notes: tuple[str, ...]
    source: str


def read_examples(
    source: str | Path,
    *,
    format: str | None = None,
    columns: ColumnMapping | None = None,
    task: str | None = None,
    task_column: str = "task",
    pair_column: str = "pair",
    id_column: str = "id",
    on_bad_rows: OnBadRows = "error",
    response: Response = "chosen",
    limit: int | None = None,
) -> ExampleSet:
    """Read examples from a file, a folder of `datasets`, `hub:owner/name` or `dataset_info.json:NAME`.

    `format` overrides the detection (names in `formats.NAMES`); `task` labels the whole source and goes
    before `task_column`. Users' ids are kept, else ids are content hashes; a repeated id becomes `id#2`,
    `id#3`, … and is noted. `limit` stops after that many examples.
    Raises `DataError` for the first bad row, or with `on_bad_rows="skip"` collects it as a `Reject`; also
    for a source with no usable row. Raises `ConfigError` for options that cannot be.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; it must be at least 1.")
    entry = entry_named(str(source)) if _may_be_entry(source) else None
    place = str(source) if entry is None else entry.source
    mapping = columns or ColumnMapping()
    rows = read_rows(place, names=mapping.names, quoted=mapping.quoted)
    head, rows = first_rows(rows, LOOKED_AT)
    if not head:
        raise DataError(f"{place} has no rows.")
    chosen, note = _format_of(place, head, format, mapping, entry)
    options = Options(response, entry.tags if entry else Tags(), mapping)
    reading = _Reading(place, chosen, options, entry, task, task_column, pair_column, id_column)

    examples: list[Example] = []
    rejects: list[Reject] = []
    for outcome in _outcomes(rows, reading):
        if isinstance(outcome, Example):
            examples.append(outcome)
            if len(examples) == limit:
                break
        elif on_bad_rows == "error":
            raise DataError(
                f"{outcome.source}: {outcome.reason}. To set such rows aside, use --on-bad-rows skip."
            )
        else:
            rejects.append(outcome)
    if not examples:
        first = rejects[0]
        raise DataError(f"{place}: no row can be used; row {first.source.row}: {first.reason}.")
    unique, repeated = _numbered(examples)
    notes = [f"{place}: read {counted(len(unique), 'example')} as {chosen.name} ({note})."]
    if rejects:
        first = rejects[0]
        notes.append(
            f"{place}: {counted(len(rejects), 'row')} set aside; row {first.source.row}: {first.reason}."
        )
    if repeated:
        notes.append(f"{place}: {counted(repeated, 'repeated id')} (or content) numbered id#2, id#3, …")
    return ExampleSet(unique, tuple(rejects), chosen.name, tuple(notes), str(source))


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write rejected rows as JSONL in UTF-8: file, row, reason and the record; whole or not at all."""
    write_text(path, "".join(_reject_line(reject) + "\n" for reject in rejects))


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the rows of one source are read."""

    place: str
    format: Format
    options: Options
    entry: DatasetEntry | None
    task: str | None
    task_column: str
    pair_column: str
    id_column: str


def _may_be_entry(source: str | Path) -> bool:
    return not Path(source).exists() and ".json:" in str(source)


def _format_of(
    place: str, head: Sequence[Row], wanted: str | None, mapping: ColumnMapping, entry: DatasetEntry | None
) -> tuple[Format, str]:
    """The format and a few words on how it was found."""
    if wanted is not None:
        chosen = named(wanted)
        if chosen is None:
            raise ConfigError(f"Unknown format {wanted!r}; known are {', '.join(NAMES)}.")
        return chosen, "as asked"
    if mapping.maps:
        return COLUMNS, f"by the mapping prompt={mapping.prompt!r}, completion={mapping.completion!r}"
    if entry is not None:
        chosen = named(entry.format)
        assert chosen is not None
        return chosen, "by dataset_info.json"
    records = [row for _, row in head if not isinstance(row, BadRow)]
    found = detect(records)
    if found is not None:
        return found, f"detected on the first {len(records)} rows"
    if not records:
        row, bad = next((row, bad) for row, bad in head if isinstance(bad, BadRow))
        raise DataError(f"{place}: none of the first {len(head)} rows can be read; row {row}: {bad.reason}.")
    if Path(place).name == "dataset_info.json":
        raise DataError(f"{place} describes datasets; name one of them: dataset_info.json:NAME.")
    raise DataError(
        f"{place}: no known format fits; the first row has {_names(records[0])}. Name the format "
        "(--format), or map its columns to prompt and completion (--prompt, --completion; without a header "
        "name them with --columns first)."
    )


def _names(record: Record) -> str:
    names = [str(name)[:40] for name in record]
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return _printable(shown) or "no fields"


def _outcomes(rows: Iterable[Row], reading: _Reading) -> Iterator[Example | Reject]:
    for number, row in rows:
        source = Source(reading.place, number)
        if isinstance(row, BadRow):
            yield Reject(source, _printable(row.reason), row.text)
            continue
        try:
            yield from _examples_of(row, source, reading)
        except RowError as problem:
            yield Reject(source, _printable(str(problem)), row)


def _examples_of(record: Record, source: Source, reading: _Reading) -> list[Example]:
    """The examples of one row: all of them, or none and a `RowError`."""
    fields = record if reading.entry is None else reading.entry.renamed(record)
    drafts = [checked(draft) for draft in reading.format.read(fields, reading.options)]
    own_id, pair = label(record, reading.id_column), label(record, reading.pair_column)
    task = reading.task if reading.task is not None else label(record, reading.task_column)
    examples = []
    for draft in drafts:
        example = Example(
            id=own_id or "",
            messages=draft.messages,
            source=source,
            task=task,
            pair=pair,
            rendering=draft.rendering,
            tools=draft.tools,
            template_kwargs=draft.template_kwargs,
            input_ids=draft.input_ids,
            labels=draft.labels,
            record=record,
        )
        examples.append(example if own_id else replace(example, id=content_hash(example)))
    return examples


def _numbered(examples: Sequence[Example]) -> tuple[tuple[Example, ...], int]:
    """Ids made unique (`id#2`, …), and how many had to be numbered."""
    taken = {example.id for example in examples}
    seen: Counter[str] = Counter()
    unique = []
    for example in examples:
        seen[example.id] += 1
        if seen[example.id] == 1:
            unique.append(example)
            continue
        fresh = f"{example.id}#{seen[example.id]}"
        while fresh in taken:
            seen[example.id] += 1
            fresh = f"{example.id}#{seen[example.id]}"
        taken.add(fresh)
        unique.append(replace(example, id=fresh))
    return tuple(unique), sum(before.id != after.id for before, after in zip(examples, unique, strict=True))


def _reject_line(reject: Reject) -> str:
    row = {"file": reject.source.file, "row": reject.source.row, "reason": reject.reason}
    value = {**row, "record": _jsonable(reject.record)}
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return line if _encodes(line) else json.dumps(value, allow_nan=False)


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


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")[:500]
