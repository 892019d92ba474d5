"""A selection from scores to files: choose, write the kept rows as they came, the decisions, and the report.

The one place where scores, rules and files meet. Nothing is written before everything has been decided.
"""

import dataclasses
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assay.data.writeback import kept_rows, write_back
from assay.files import read_json, write_atomically, write_json
from assay.progress import SILENT, Progress
from assay.report.selection import selection_lines, write_selection_report
from assay.runs.folder import require_writable
from assay.runs.scored import read_scored
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
    pool = result.pool
    columns = {
        "candidate_id": pa.array(pool.ids),
        "source_file": pa.array(pool.files),
        "source_row": pa.array(pool.rows),
        "candidate_task": pa.array(pool.tasks, pa.string()),
        "tokens": pa.array(pool.tokens),
        "kept": pa.array(result.kept),
        "reason": pa.array(result.reasons),
        **({} if result.weights is None else {"weight": pa.array(result.weights)}),
        **{name: pa.array(values, from_pandas=True) for name, values in result.scores.items()},
    }
    write_atomically(path, lambda temporary: pq.write_table(pa.table(columns), temporary))
