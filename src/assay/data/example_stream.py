"""One pass over the rows of a source: an example or a reject at a time, and sentences on what was read.

Knows how rows become examples, but not how their format is found.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from assay.data.dataset_info import DatasetEntry
from assay.data.drafts import Options, checked
from assay.data.example import Example, Reject, Source
from assay.data.fields import RowError, label
from assay.data.formats import Format
from assay.data.numbering import Numbering
from assay.data.tables import BadRow, Record, Row
from assay.data.texts import content_hash, counted
from assay.errors import DataError

OnBadRows = Literal["error", "skip"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of one source are read."""

    place: str
    format: Format
    options: Options
    entry: DatasetEntry | None
    task: str | None
    task_column: str
    pair_column: str
    id_column: str


class ExampleStream:
    """One pass over a source, to be gone through once.

    `format` is known at once, `notes` are complete behind the last row. Raises `DataError` on the way for a
    bad row (with `on_bad_rows="error"`) or a damaged file, and at the end where no row could be used.
    """

    def __init__(
        self,
        rows: Iterator[Row],
        reading: Reading,
        found: str,
        on_bad_rows: OnBadRows,
        limit: int | None,
        numbering: Numbering,
    ) -> None:
        self.format = reading.format.name
        self._rows, self._reading, self._found = rows, reading, found
        self._on_bad_rows, self._limit = on_bad_rows, limit
        self._numbering, self._repeated_before = numbering, numbering.repeated
        self._examples, self._rejects = 0, 0
        self._first_reject: Reject | None = None

    def __iter__(self) -> Iterator[Example | Reject]:
        for outcome in self.unnumbered():
            yield self._numbering.unique(outcome) if isinstance(outcome, Example) else outcome

    def ids(self) -> Iterator[str]:
        """The ids as they stand in the source, repeats and all."""
        return (outcome.id for outcome in self.unnumbered() if isinstance(outcome, Example))

    def unnumbered(self) -> Iterator[Example | Reject]:
        """Examples with the ids that stand in the source, and rejects."""
        for outcome in _outcomes(self._rows, self._reading):
            if isinstance(outcome, Example):
                self._examples += 1
            elif self._on_bad_rows == "error":
                raise DataError(
                    f"{outcome.source}: {outcome.reason}. To set such rows aside, use --on-bad-rows skip."
                )
            else:
                self._rejects += 1
                self._first_reject = self._first_reject or outcome
            yield outcome
            if self._examples == self._limit:
                return
        if not self._examples:
            assert self._first_reject is not None
            raise DataError(f"{self._reading.place}: no row can be used; {_row(self._first_reject)}.")

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was read so far."""
        place = self._reading.place
        notes = [f"{place}: read {counted(self._examples, 'example')} as {self.format} ({self._found})."]
        if self._first_reject is not None:
            notes.append(f"{place}: {counted(self._rejects, 'row')} set aside; {_row(self._first_reject)}.")
        if repeated := self._numbering.repeated - self._repeated_before:
            notes.append(f"{place}: {counted(repeated, 'repeated id')} (or content) numbered id#2, id#3, …")
        return tuple(notes)


def _outcomes(rows: Iterable[Row], reading: Reading) -> Iterator[Example | Reject]:
    for number, row in rows:
        source = Source(reading.place, number)
        if isinstance(row, BadRow):
            yield Reject(source, printable(row.reason), row.text)
            continue
        try:
            yield from _examples_of(row, source, reading)
        except RowError as problem:
            yield Reject(source, printable(str(problem)), row)


def _examples_of(record: Record, source: Source, reading: Reading) -> list[Example]:
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


def printable(text: str) -> str:
    """Text that UTF-8 can hold, at most 500 characters of it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")[:500]


def _row(reject: Reject) -> str:
    return f"row {reject.source.row}: {reject.reason}"
