"""From a source to examples: rows read, format found and said aloud, labels and ids given.

Knows the room's other readers, but no tokenizer. Every row either becomes examples or is reported with its
file, row and reason; nothing is lost or silently changed. `stream_examples` keeps no example,
`read_examples` collects what it gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from assay.data.columns import ColumnMapping
from assay.data.dataset_info import DatasetEntry, entry_named
from assay.data.drafts import Options, Response
from assay.data.example import Example, Reject
from assay.data.example_stream import ExampleStream, OnBadRows, Reading, printable
from assay.data.fields import Tags
from assay.data.formats import COLUMNS, NAMES, Format, detect, named
from assay.data.numbering import Numbering
from assay.data.rejects import write_rejects
from assay.data.tables import BadRow, Record, Row, first_rows, read_rows
from assay.data.texts import content_key, prompt_key
from assay.errors import ConfigError, DataError

__all__ = [
    "ExampleSet",
    "ExampleStream",
    "OnBadRows",
    "ReadOptions",
    "content_key",
    "prompt_key",
    "read_examples",
    "stream_examples",
    "write_rejects",
]

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


class ReadOptions(TypedDict, total=False):
    """How a source is read, but for `numbering`; defaults and meanings are those of `stream_examples`."""

    format: str | None
    columns: ColumnMapping | None
    task: str | None
    task_column: str
    pair_column: str
    id_column: str
    on_bad_rows: OnBadRows
    response: Response
    limit: int | None


def read_examples(source: str | Path, **options: Unpack[ReadOptions]) -> ExampleSet:
    """All of `stream_examples` at once; a repeated id needs no second reading of the source."""
    kept: list[Example] = []
    numbering = Numbering(lambda: (example.id for example in kept))
    stream = stream_examples(source, **options, numbering=numbering)
    rejects: list[Reject] = []
    for outcome in stream.unnumbered():
        if isinstance(outcome, Example):
            kept.append(outcome)
        else:
            rejects.append(outcome)
    unique = tuple(numbering.unique(example) for example in kept)
    return ExampleSet(unique, tuple(rejects), stream.format, stream.notes, str(source))


def stream_examples(
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
    numbering: Numbering | None = None,
) -> ExampleStream:
    """The examples of a file, a folder of `datasets`, `hub:owner/name` or `dataset_info.json:NAME`, in turn.

    `format` overrides the detection (names in `formats.NAMES`); `task` labels the whole source and goes
    before `task_column`. Users' ids are kept, else ids are content hashes; a repeated id becomes `id#2`,
    `id#3`, … and is noted. `limit` stops after that many examples. `numbering` makes ids unique over several
    sources that share it.

    What is kept in memory are the ids so far. Rows come a line at a time from JSONL, CSV and TSV, a
    thousand at a time from Parquet (of a row group), a batch at a time from Arrow; a `.json` file and a
    gzipped Parquet or Arrow file are read whole. At the first repeated id the source is read once more for
    the ids to come.

    Raises `DataError` for the first bad row, or with `on_bad_rows="skip"` gives it as a `Reject`; also for a
    source with no usable row. Raises `ConfigError` for options that cannot be. What the first rows show is
    raised here, the rest on the way.
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
    reading = Reading(place, chosen, options, entry, task, task_column, pair_column, id_column)

    def ahead() -> Iterator[str]:
        again = read_rows(place, names=mapping.names, quoted=mapping.quoted)
        return ExampleStream(again, reading, note, "skip", limit, Numbering(lambda: ())).ids()

    return ExampleStream(rows, reading, note, on_bad_rows, limit, numbering or Numbering(ahead))


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
    return printable(shown) or "no fields"
