"""A selection from scores to files: choose, write the kept rows as they came, the decisions, and the report.

The one place where scores, rules and files meet. Nothing is written before everything has been decided.
"""

import dataclasses
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from assay.data.writeback import kept_rows, write_back
from assay.files import read_json, write_json
from assay.progress import SILENT, Progress
from assay.report.selection import selection_lines, write_selection_report
from assay.runs.folder import require_writable
from assay.runs.numbers import NumberFile
from assay.runs.scored import read_scored
from assay.runs.scores.tables import ROWS, parts_of, write_table
from assay.runs.selecting_columns import columns_of, method_of
from assay.runs.selecting_config import SelectConfig
from assay.runs.selecting_in_context import influence_of
from assay.runs.sources import sources_of
from assay.selection.result import SelectionResult
from assay.selection.rules import Options, rule_named
from assay.selection.select import select

DECISIONS, SUMMARY, KEPT = "selection.parquet", "selection.json", "kept"


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A finished selection: what it says, the files with the kept rows, and the report."""

    result: SelectionResult
    sentences: tuple[str, ...]
    written: tuple[Path, ...]
    report: Path


def run_selection(
    config: SelectConfig,
    scores: Path,
    out: Path,
    *,
    progress: Progress = SILENT,
    command: str | None = None,
) -> Selection:
    """Select from the scoring in `scores` and write into `out`.

    Raises ConfigError for a rule, budget or score that is not there, DataError where a source file has
    changed since it was scored; then nothing is written.
    """
    rule = rule_named(config.rule)
    scored = read_scored(scores)
    require_writable(out)
    method = method_of(scored, rule, config.method)
    columns, order = columns_of(scored, config, rule, method)
    options = Options(
        order=order,
        lowest_first=config.reverse,
        start=config.start,
        by=config.by,
        equally=config.equally,
        threshold=config.threshold,
        weights=config.weight,
    )
    result = select(scored.pool, columns, config.rule, config.budget, options)
    about = {**scored.about, **result.about}
    about |= {"scored by": about.get("command"), "command": command, "method": method}
    shown = influence_of(scored, result, columns, config.budget, options)
    result = dataclasses.replace(result, about=about, in_context=shown)
    sources = sources_of(scores / "pool")
    written = write_back(
        kept_rows(result.pool.files, result.pool.rows, result.kept, result.weights),
        out / KEPT,
        mappings=sources.mappings,
        states=sources.states,
        entries=sources.entries,
        replace=True,
    )
    _tidy(out, {path.name for path in written.files})
    _write_decisions(out / DECISIONS, result)
    said = {"rule": result.rule, "reading": list(result.reading), "about": dict(about)}
    write_json(out / SUMMARY, {**said, "kept": [path.name for path in written.files]})
    progress.note("Writing the report.")
    report = write_selection_report(result, out)
    return Selection(result, (*selection_lines(result), *written.notes), tuple(written.files), report)


def _tidy(out: Path, names: Collection[str]) -> None:
    """Take away what an earlier selection wrote into `out` and this one does not: kept rows, and charts."""
    try:
        before = read_json(out / SUMMARY)["kept"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in set(before) - set(names):
        (out / KEPT / Path(name).name).unlink(missing_ok=True)
    shutil.rmtree(out / "charts", ignore_errors=True)


def _write_decisions(path: Path, result: SelectionResult) -> None:
    """A row per candidate: kept or not, why, and every score."""
    pool, names = result.pool, list(result.scores)
    schema = pa.schema(
        [
            ("candidate_id", pa.string()),
            ("source_file", pa.string()),
            ("source_row", pa.int64()),
            ("candidate_task", pa.string()),
            ("tokens", pa.int64()),
            ("kept", pa.bool_()),
            ("reason", pa.string()),
            *([] if result.weights is None else [("weight", pa.float64())]),
            *((name, pa.float64()) for name in names),
        ]
    )
    with NumberFile(path.parent, len(pool), len(names)) as numbers:
        for at, name in enumerate(names):
            numbers.put(at, slice(None), result.scores[name])

        def parts() -> Iterator[pa.Table]:
            for part in parts_of(len(pool), ROWS):
                columns = [
                    pa.array(pool.ids[part], pa.string()),
                    pa.array(list(pool.files[part]), pa.string()),
                    pa.array(pool.rows[part]),
                    pa.array(list(pool.tasks[part]), pa.string()),
                    pa.array(pool.tokens[part]),
                    pa.array(result.kept[part]),
                    pa.array(result.reasons[part], pa.string()),
                    *([] if result.weights is None else [pa.array(result.weights[part])]),
                    *(pa.array(numbers.column(at, part), from_pandas=True) for at in range(len(names))),
                ]
                yield pa.Table.from_arrays(columns, schema=schema)

        write_table(path, schema, parts(), compression="snappy")
