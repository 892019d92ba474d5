"""The tables of a scoring's folder, and what is said of one that is not there or not whole."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from assay.data.rows import first_line
from assay.errors import ConfigError, DataError
from assay.runs.table_parts import TableParts

CANDIDATES = "pool/candidates.parquet"


def table_of(folder: Path, name: str, columns: Sequence[str]) -> TableParts:
    """These columns of a table in `folder`. Raises as `reading` does, and DataError where one is missing."""
    with reading(folder, name):
        table = TableParts(folder / name, columns)
    if table.missing:
        raise unreadable(folder / name, f"there is no column {min(table.missing)}")
    return table


@contextmanager
def reading(folder: Path, name: str) -> Iterator[None]:
    """Raises ConfigError for a table that is not there, DataError for one that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise unfinished(folder, name) from None
    except (OSError, pa.ArrowException) as error:
        raise unreadable(folder / name, error) from None


def unfinished(folder: Path, name: str) -> ConfigError:
    return ConfigError(
        f"--scores {folder}: {name} is not there; the scoring has not finished, or this is no folder of "
        "`assay score`."
    )


def unreadable(path: Path, why: Exception | str) -> DataError:
    said = why if isinstance(why, str) else first_line(why).rstrip(".")
    return DataError(f"{path} cannot be read ({said}); run the same `assay score` again.")


def of_others(path: Path) -> DataError:
    return DataError(
        f"{path} does not have a row for each candidate of this pool; run the same `assay score` again."
    )
