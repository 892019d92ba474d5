"""A selection from scores to files: choose, write the kept rows as they came, the decisions, and the report.

The one place where scores, rules and files meet. Nothing is written before everything has been decided.
"""

import dataclasses
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from assay.data.writeback import kept_rows, write_back
from assay.errors import ConfigError
from assay.files import read_json, write_atomically, write_json
from assay.progress import SILENT, Progress
from assay.report.selection import selection_lines, write_selection_report
from assay.runs.folder import require_writable
from assay.runs.scored import Found, Scored, read_scored
from assay.runs.scores.config import CORRECT, INCORRECT
from assay.runs.selecting_config import SelectConfig
from assay.runs.sources import sources_of
from assay.selection.result import SelectionResult
from assay.selection.rules import Columns, Options, rule_named
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
    require_writable(out)
    scored = read_scored(scores)
    pruning = any(need.startswith("set ") for need in rule.needs)
    method = _method(scored, config.method, needs_queries=pruning or "scores by query" in rule.needs)
    if pruning:
        columns, order = _sides(scored, method), None
    else:
        columns, order = _columns(scored, config, method)
    by_query = scored.by_query(method, config.query_set) if "scores by query" in rule.needs else None
    columns = dataclasses.replace(
        columns,
        by_query=None if by_query is None else by_query[0],
        queries=() if by_query is None else by_query[1],
        embeddings=scored.embeddings() if "embeddings" in rule.needs else None,
    )
    if "embeddings" in rule.needs and columns.embeddings is None:
        raise ConfigError(
            f"{rule.name} compares candidates by their hidden states, which were not computed; run the same "
            "`assay score` again with --method embedding beside."
        )
    options = Options(
        order=order if "order" in rule.options else None,
        lowest_first=config.reverse,
        start=config.start,
        by=config.by,
        equally=config.equally,
        threshold=config.threshold,
        weights=config.weight,
    )
    result = select(scored.pool, columns, config.rule, config.budget, options)
    about = {**scored.about.get("about", {}), **result.about}
    about |= {"scored by": about.get("command"), "command": command, "method": method}
    result = dataclasses.replace(result, about=about)
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


def _method(scored: Scored, wanted: str | None, needs_queries: bool) -> str:
    """The method that decides: as named, or the only one that may."""
    asked = [name for name in scored.methods if not needs_queries or scored.query_sets(name) != (None,)]
    if wanted is not None:
        if wanted not in scored.methods:
            raise ConfigError(
                f"--method {wanted}: there are no such scores; there are {', '.join(scored.methods)}."
            )
        return wanted
    if len(asked) == 1:
        return asked[0]
    if not asked:
        raise ConfigError("This rule goes by scores of queries, and no method that asks queries was scored.")
    raise ConfigError(f"Several methods were scored; name one with --method: {', '.join(asked)}.")


def _sides(scored: Scored, method: str) -> Columns:
    """The columns of pruning: scores and mean percentile ranks on the sets of right and of wrong answers."""
    names = [name for name in scored.query_sets(method) if name in (CORRECT, INCORRECT)]
    found = {str(name): Found(method, name, None) for name in names}
    return Columns(
        scores={name: scored.scores[one] for name, one in found.items()} | _others(scored, method),
        ranks={name: scored.percentiles[one] for name, one in found.items()},
    )


def _columns(scored: Scored, config: SelectConfig, method: str) -> tuple[Columns, str]:
    """The deciding column under the method's name, and every other method's beside it."""
    sets = scored.query_sets(method)
    query_set = config.query_set
    if query_set is None and len(sets) > 1:
        raise ConfigError(f"{method} has several query sets; name one with --query-set: {_listed(sets)}.")
    if query_set is not None and query_set not in sets:
        raise ConfigError(f"--query-set {query_set}: {method} has {_listed(sets)}.")
    found = Found(method, query_set or sets[0], config.task)
    if found not in scored.scores:
        tasks = [one.query_task for one in scored.scores if one.method == method and one.query_task]
        raise ConfigError(f"--task {config.task}: {method} has {_listed(tasks)}.")
    name = method if config.task is None else f"{method} on {config.task}"
    return Columns(scores={name: scored.scores[found], **_others(scored, method)}), name


def _others(scored: Scored, method: str) -> dict[str, Float[np.ndarray, "n"]]:
    """Whole-set columns of the other methods, for comparison."""
    others = {}
    for name in scored.methods:
        sets = scored.query_sets(name)
        if name != method and len(sets) == 1:
            others[name] = scored.scores[Found(name, sets[0], None)]
    return others


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names if name)) or "none"


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
