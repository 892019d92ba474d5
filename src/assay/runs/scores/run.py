"""A scoring from settings to run folder: read, prepare the pool, measure, score, write.

The one place where the rooms meet; each step is a call into one of them. A killed run goes on from its
finished shards and ends in the same tables.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay import __version__
from assay.data.example import Reject
from assay.data.readers import write_rejects
from assay.data.render import loss_on_warning
from assay.data.texts import counted
from assay.files import read_json, write_json
from assay.fingerprint import fingerprint
from assay.methods.table import Method, method_named
from assay.models.loading import context_length
from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.folder import SETTINGS, require_writable
from assay.runs.opening import open_session
from assay.runs.scores.aggregates import Aggregate
from assay.runs.scores.candidates import Candidates
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.flips import flipped_sets
from assay.runs.scores.in_context_table import notes_in_context, write_pairs
from assay.runs.scores.joined import prepare_joined
from assay.runs.scores.measure import measure_all
from assay.runs.scores.measuring import Measuring
from assay.runs.scores.needs import BY_GRADIENTS, JOINED, ON_OWN_QUERIES, measures_of
from assay.runs.scores.pool import prepare_pool
from assay.runs.scores.pool_index import PoolIndex
from assay.runs.scores.queries import Queries, read_query_sets, tokenise_queries
from assay.runs.scores.scoring import score_all
from assay.runs.scores.settings import options_of, settings_of, settled

COMPARED = method_named("minus_loss")
"""Comes for nothing with every pass by gradients at the last checkpoint, to compare a selection with."""
DIFFICULTY = method_named("ifd")
"""Comes for nothing with every pass over candidates as demonstrations."""


SUMMARY = "scores.json"
"""Written last: how the tables beside it were made."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A finished scoring: aggregates over queries of every method, and where the tables lie.

    Labels and scores are read from the folder when they are asked for.
    """

    config: ScoreConfig
    folder: Path
    candidates: Candidates
    aggregates: tuple[Aggregate, ...]
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def run_scores(
    config: ScoreConfig,
    out: Path,
    *,
    trajectory: Trajectory | None = None,
    progress: Progress = SILENT,
    command: str | None = None,
) -> Scores:
    """Score the candidates that `config` names into the folder `out`, going on with what is there.

    `trajectory` overrides the one discovered in `config.checkpoints`. Raises AssayError of the fitting kind
    for whatever a person can mend.
    """
    began = time.monotonic()
    require_writable(out)
    rows = [method_named(name) for name in config.methods]
    if config.exact:
        rows = [method_named("less_exact") if row.name == "less" else row for row in rows]
    notes: list[str] = []

    def say(*sentences: str) -> None:
        notes.extend(sentences)
        for sentence in sentences:
            progress.note(sentence)

    sets, rejects, read = read_query_sets(config)
    say(*read)
    trajectory = trajectory or Trajectory.discover(
        config.checkpoints,
        base_model=config.base_model,
        steps=config.steps,
        every=config.every,
        include_base=bool(config.questions),
        allow_pickle=config.allow_pickle,
    )
    wanted = measures_of(rows, trajectory, config.complexity)
    session = open_session(trajectory, config)
    say(*trajectory.notes)
    if warning := loss_on_warning(config.loss_on, trajectory.loss_on):
        say(warning)
    longest = context_length(session.model.config)
    if config.questions:
        made = flipped_sets(config, session, out / "answers", progress)
        sets |= made.sets
        rejects += made.rejects
        say(*made.notes)
    queries = tokenise_queries(sets, session.tokenizer, config, longest)
    say(*queries.notes)

    settings = settings_of(session, queries, config)
    measures = {measure for found in wanted.values() for measure in found}
    everything = settled(out, settings, options_of(config, measures, len(queries)))
    pool = prepare_pool(
        config.candidates,
        config,
        session.tokenizer,
        longest,
        out / "pool",
        tasks=config.tasks,
        shard_tokens=config.shard_tokens,
        progress=progress,
    )
    say(*pool.notes, *_shared(pool, queries))
    write_json(out / SETTINGS, everything)
    all_rejects = (*rejects, *queries.rejects)
    if all_rejects:
        write_rejects(out / "rejects.jsonl", all_rejects)

    joined = None
    if measures & {*JOINED}:
        joined = prepare_joined(pool, config, session.tokenizer, longest, out / "joined", progress)
        say(*joined.notes)
    measuring = Measuring(config, session, pool, queries, out, settings, progress, say, joined)
    measure_all(measuring, wanted)
    last = trajectory.checkpoints[-1]
    say(*notes_in_context(measuring, last, wanted.get(last, ())))
    if config.departure:
        say(f"Scores in context depart from the formulas, as asked: {', '.join(config.departure)}.")
    progress.note("Writing tables.")
    before = _methods_before(out)
    (out / SUMMARY).unlink(missing_ok=True)  # it says that the tables are finished
    candidates = Candidates.read(pool.table)
    if any(measure in BY_GRADIENTS for measure in wanted.get(last, ())):
        rows += [] if COMPARED in rows else [COMPARED]
    if measures & {*ON_OWN_QUERIES}:
        rows += [] if DIFFICULTY in rows else [DIFFICULTY]
    if gone := [name for name in before if name not in {row.name for row in rows}]:
        say(
            f"The tables had {', '.join(gone)} before and no longer do; name them again to have them beside: "
            "their measures are kept."
        )
    write_pairs(measuring, last, wanted.get(last, ()), candidates)
    aggregates = score_all(
        measuring, rows, trajectory, candidates, pool.slices, queries, out, config.seed, config.departure
    )
    about = _about(session, config, pool, queries, rows, everything, command, began)
    write_json(out / SUMMARY, {"about": about, "notes": notes, "settings": everything})
    return Scores(config, out, candidates, tuple(aggregates), tuple(notes), all_rejects, about)


def _methods_before(out: Path) -> list[str]:
    """The methods of the tables that are in the folder; none where they are not finished."""
    try:
        return [str(name) for name in read_json(out / SUMMARY)["about"]["methods"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _shared(pool: PoolIndex, queries: Queries) -> Sequence[str]:
    """A sentence where candidates say just what a query says."""
    contents = queries.contents()
    same = pool.with_contents(contents) if contents else []
    if not same:
        return ()
    return (
        f"{counted(len(same), 'candidate')} equal to a query, the first being {same[0]}: such a candidate "
        "scores high by being the answer; take it out of the pool or of the queries.",
    )


def _about(
    session: Session,
    config: ScoreConfig,
    pool: PoolIndex,
    queries: Queries,
    rows: Sequence[Method],
    settings: Mapping[str, Any],
    command: str | None,
    began: float,
) -> dict[str, Any]:
    described = session.describe()
    return {
        "model": f"{described['base_model'] or Path(config.checkpoints).name} ({described['kind']})",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "methods": [row.name for row in rows],
        "checkpoints": [one.name for one in session.trajectory.checkpoints],
        "candidates": f"{pool.examples:,} examples, {pool.tokens:,} tokens",
        "queries": f"{len(queries):,} in {len(dict.fromkeys(queries.sets))} sets",
        "loss": f"summed over completion tokens; {config.loss_on} (queries: {config.query_loss_on})",
        "seconds": round(time.monotonic() - began, 1),
        "versions": {**described["versions"], "assay": __version__, "python": platform.python_version()},
        "fingerprint": fingerprint(settings),
    }
