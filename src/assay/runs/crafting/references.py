"""The references of a craft out of their files, twice: once to check and count them, once to work on them.

A row is checked before any model is asked, so that a bad one costs nothing. Keeps no reference; what grows
with the files are ids, and digests of prompts where siblings are among the rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from assay.crafting.reference import Reference, reference_of
from assay.data.columns import ColumnMapping
from assay.data.example import Example, Reject
from assay.data.numbering import Numbering
from assay.data.readers import stream_examples
from assay.data.render import Render
from assay.data.tables import BadRow, first_rows, kind_of, read_rows
from assay.data.texts import counted, folded
from assay.errors import ConfigError, DataError
from assay.fingerprint import digest
from assay.runs.config import Reading, SetConfig
from assay.runs.crafting.config import CraftConfig
from assay.runs.inputs import columns_of

SAMPLE = 200
"""How many first references of a task decide how its answers are compared."""
SAMPLED_TASKS = 100
"""Of how many tasks; later ones are compared as free text."""

WITHOUT_HEADER = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Taken:
    """A reference, and the row that is its sibling where rows are siblings."""

    reference: Reference
    sibling: Reference | None = None


@dataclass(slots=True)
class Survey:
    """What a first look at all references found.

    `samples` are the first of each task, `tasks` how many each task has, `prompts` digests of their queries
    (where they are wanted).
    """

    count: int = 0
    samples: dict[str | None, list[Reference]] = field(default_factory=dict)
    tasks: Counter[str | None] = field(default_factory=Counter)
    prompts: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def render(self) -> Render:
        """ "plain" where every sample is two strings, which a trainer joins without a chat template."""
        samples = [one for of_task in self.samples.values() for one in of_task]
        return "plain" if samples and all(one.rendering == "plain" for one in samples) else "auto"

    def keep(self, reference: Reference) -> None:
        """Put a reference among the samples, where there is room for it."""
        if reference.task in self.samples or len(self.samples) < SAMPLED_TASKS:
            of_task = self.samples.setdefault(reference.task, [])
            if len(of_task) < SAMPLE:
                of_task.append(reference)


def take(config: CraftConfig, *, rows_are_siblings: bool, survey: Survey | None = None) -> Iterator[Taken]:
    """The references that are asked for, in the order of files and rows.

    Where rows are siblings, every second row of a task with another query is the sibling of the one before.
    `survey` is told of rejects and notes. Raises DataError for a row that cannot be used unless such rows
    are set aside, and where nothing is left.
    """
    waiting: dict[str | None, Reference] = {}
    seen: set[str] = set()
    taken: Counter[str | None] = Counter()
    for reference in _all(config, survey or Survey()):
        task = reference.task
        if config.per_task is not None and taken[task] >= config.per_task:
            continue
        if rows_are_siblings:
            key = query_key(reference)
            if key in seen:
                continue
            seen.add(key)
            first = waiting.pop(task, None)
            if first is None:
                waiting[task] = reference
                continue
            yield Taken(first, reference)
        else:
            yield Taken(reference)
        taken[task] += 1
        if sum(taken.values()) == config.limit:
            return


def look(
    config: CraftConfig,
    *,
    rows_are_siblings: bool,
    prompts: bool = True,
    watch: Callable[[Taken], None] = lambda taken: None,
) -> Survey:
    """Go through all references once, and tell `watch` of each.

    Raises DataError as `take` does, and where there is none.
    """
    survey = Survey()
    for taken in take(config, rows_are_siblings=rows_are_siblings, survey=survey):
        watch(taken)
        survey.count += 1
        survey.tasks[taken.reference.task] += 1
        if prompts:
            survey.prompts.add(query_key(taken.reference))
        survey.keep(taken.reference)
    if not survey.count:
        raise DataError(
            f"{config.references[0].file}: no two rows of a task have different queries, so there are no "
            "siblings among the rows; give --queries FILE, or a model that writes siblings."
            if rows_are_siblings
            else f"{config.references[0].file}: there is no reference in it."
        )
    return survey


def query_key(reference: Reference) -> str:
    """Digest of what is asked, white space folded."""
    asked = f"{reference.earlier}\0{folded(reference.query)}"
    return digest(asked.encode("utf-8", "surrogatepass"))


def _all(config: CraftConfig, survey: Survey) -> Iterator[Reference]:
    """Every usable reference of every file; ids are unique over all files."""
    numbering = Numbering(lambda: _ids(config))
    for entry in config.references:
        reading = entry.reading or config.reading
        mapping, note = mapping_of(entry, reading, config)
        stream = stream_examples(
            entry.file,
            format=reading.format,
            columns=mapping,
            task=entry.task,
            task_column=reading.task_column,
            pair_column=reading.pair_column,
            id_column=reading.id_column,
            on_bad_rows=config.on_bad_rows,
            response=reading.response,
            numbering=numbering,
        )
        survey.notes += note
        try:
            yield from _usable(stream, reading, config, survey)
        finally:
            survey.notes += stream.notes


def _usable(
    stream: Iterable[Example | Reject], reading: Reading, config: CraftConfig, survey: Survey
) -> Iterator[Reference]:
    for found in stream:
        if isinstance(found, Reject):
            survey.rejects.append(found)
            continue
        try:
            reference = _renamed(reference_of(found, unescape=reading.unescape), config)
        except DataError as error:
            if config.on_bad_rows == "error":
                raise DataError(f"{error} To set such rows aside, use --on-bad-rows skip.") from None
            survey.rejects.append(Reject(found.source, str(error), found.record))
            continue
        yield reference


def _ids(config: CraftConfig) -> Iterator[str]:
    """The ids of all files as they stand there, for `Numbering` to look ahead."""
    for entry in config.references:
        reading = entry.reading or config.reading
        mapping, _ = mapping_of(entry, reading, config)
        yield from stream_examples(
            entry.file,
            format=reading.format,
            columns=mapping,
            id_column=reading.id_column,
            on_bad_rows="skip",
            response=reading.response,
        ).ids()


def mapping_of(
    entry: SetConfig, reading: Reading, config: CraftConfig
) -> tuple[ColumnMapping | None, Sequence[str]]:
    """How the columns of a file are read, and a sentence where that had to be found out."""
    if config.from_columns is None:
        return columns_of(reading), ()
    columns = list(config.reference_columns.values())
    names, note = _header(entry.file, columns) if reading.columns is None else ((), ())
    if reading.columns is not None:
        names = tuple(name.strip() for name in reading.columns.split(","))
        if missing := [name for name in columns if name not in names]:
            raise ConfigError(f"--from-columns: {missing[0]!r} is none of --columns {reading.columns}.")
    return ColumnMapping(names, prompt=columns[0], completion=columns[1], unescape=reading.unescape), note


def _header(file: str, columns: Sequence[str]) -> tuple[tuple[str, ...], Sequence[str]]:
    """Names for a table without a header line; none for a file whose rows have names."""
    if kind_of(Path(file)) not in WITHOUT_HEADER:
        return (), ()
    record = _first_row(file)
    known = [name for name in columns if name in record]
    if len(known) == len(columns):
        return (), ()
    if known:
        missing = next(name for name in columns if name not in known)
        header = ", ".join(map(str, record))
        raise ConfigError(f"--from-columns: {file} has no column {missing!r}; it has {header}.")
    return tuple(columns), (f"{file}: no header line, so its columns are {', '.join(columns)}.",)


def _first_row(file: str) -> Mapping[str, object]:
    """The first row under the names of the first line; nothing where that cannot be a header."""
    try:
        head, _ = first_rows(read_rows(file), 1)
    except DataError:
        if not Path(file).is_file() or not Path(file).stat().st_size:
            raise
        return {}
    row = head[0][1] if head else {}
    return {} if isinstance(row, BadRow) else row


def _renamed(reference: Reference, config: CraftConfig) -> Reference:
    """The reference with columns under the names that templates know them by."""
    if config.from_columns is None:
        return reference
    cells: Mapping[str, str] = reference.columns
    named = {name: cells[column] for name, column in config.reference_columns.items() if column in cells}
    return replace(reference, columns={**cells, **named})


def survey_sentence(survey: Survey, siblings: bool) -> str:
    """How many references there are, of how many tasks."""
    tasks = [task for task in survey.tasks if task is not None]
    of = f" of {counted(len(tasks), 'task')}" if tasks else " without task labels"
    beside = ", each with another row of its task as its sibling" if siblings else ""
    return f"{counted(survey.count, 'reference')}{of}{beside}."
