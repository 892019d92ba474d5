"""The files that candidates came from, as a scoring noted them: what they were, and how they were read."""

from dataclasses import dataclass, field
from pathlib import Path

from assay.data.columns import ColumnMapping
from assay.data.dataset_info import entry_named
from assay.data.writeback import SourceState
from assay.errors import DataError
from assay.files import read_json
from assay.runs.config import Reading
from assay.runs.inputs import columns_of
from assay.runs.scores.pool_index import MANIFEST


@dataclass(frozen=True, slots=True)
class Sources:
    """By source file: its size and digest, the mapping of its columns, and the `dataset_info.json:NAME` that
    named it."""

    states: dict[str, SourceState] = field(default_factory=dict)
    mappings: dict[str, ColumnMapping] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)


def sources_of(pool: Path) -> Sources:
    """What the pool's manifest in the folder `pool` says. Raises DataError where it cannot be read."""
    try:
        stored = read_json(pool / MANIFEST)["settings"]["candidates"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{pool / MANIFEST} cannot be read; run the same `assay score` again.") from error
    found = Sources()
    for numbered, about in stored.items():
        named = numbered.partition(": ")[2]
        entry = entry_named(named) if not Path(named).exists() and ".json:" in named else None
        source = named if entry is None else entry.source
        if entry is not None:
            found.entries[source] = named
        elif Path(source).is_file():
            found.states[source] = SourceState(about["bytes"], about["sha256"])
        mapping = columns_of(Reading(**about["reading"]))
        if mapping is not None:
            found.mappings[source] = mapping
    return found
