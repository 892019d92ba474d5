"""Memory hardly grows with the pool: what tables and choices take for each further candidate, in bytes."""

import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.files import write_json
from assay.methods.table import method_named
from assay.models.trajectory import Checkpoint, Trajectory
from assay.report.figures import noted
from assay.report.figures import selection as figures
from assay.report.figures.selection import draw_selection
from assay.report.selections.examples import groups_of
from assay.report.selections.reasons import kinds_of
from assay.runs import selecting
from assay.runs.scores import scoring, tables
from assay.runs.scores.candidates import Candidates
from assay.runs.scores.pool_shards import CANDIDATES
from assay.runs.scores.queries import Queries
from assay.runs.scores.scoring import score_all
from assay.runs.selecting import run_selection
from assay.runs.selecting_config import select_config
from assay.selection import budget, orders, rounds
from assay.selection.result import SelectionResult

SHARD = 250
SIZES = 1_000, 5_000
METHODS = ("graddot", "minus_loss", "ppl_top", "length")
QUERIES = Queries(
    sets=("correct",) * 4 + ("incorrect",) * 4,
    ids=tuple(f"q{at}" for at in range(8)),
    tasks=tuple(f"task-{at % 2}" for at in range(8)),
    examples=(),
    tokens=(),
)
LAST = cast("Checkpoint", SimpleNamespace(name="last", kind="adapter", learning_rate=None))
RULES = {
    "top": {"query_set": "correct", "weight": True},
    "round_robin": {"query_set": "correct"},
    "combined": {},
}
PARTS = (
    (tables, "ROWS"),
    (selecting, "ROWS"),
    (scoring, "STEP"),
    (budget, "STEP"),
    (orders, "STEP"),
    (rounds, "LEAST_AHEAD"),
)
"""How many rows are held at a time, made small: what is looked for grows with the pool."""
LESS_THAN = {"tables": 40, "top": 115, "round_robin": 110, "combined": 145}
"""Bytes a candidate. A list of Python's numbers takes 36, an array of them 8."""


class Drawn:
    """Measures that are drawn anew whenever they are asked for."""

    def of_shard(self, checkpoint: Checkpoint, measure: str, shard: int) -> dict[str, np.ndarray]:
        draw = np.random.default_rng(shard)
        if measure == "loss":
            return {"loss": 1 + draw.random(SHARD)}
        return {"dot": draw.normal(size=(SHARD, 8)), "sqnorm": 1 + draw.random(SHARD)}

    def of_queries(self, checkpoint: Checkpoint, measure: str) -> dict[str, np.ndarray]:
        return {"sqnorm": np.arange(1.0, 9.0)}


def make_pool(folder: Path, n: int) -> None:
    """A source file, and what a scoring keeps of it."""
    (folder / "pool").mkdir(parents=True)
    source = folder / "source.jsonl"
    source.write_text("".join(f'{{"row": {row}}}\n' for row in range(1, n + 1)))
    with pq.ParquetWriter(folder / "pool" / "candidates.parquet", CANDIDATES) as writer:
        for first in range(0, n, SHARD):
            rows = [
                {
                    "candidate_id": f"candidate-{row}",
                    "source_file": str(source),
                    "source_row": row + 1,
                    "candidate_task": f"task-{row % 5}",
                    "tokens": 5 + row % 7,
                    "prompt": "asked",
                    "completion": "said",
                }
                for row in range(first, first + SHARD)
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=CANDIDATES))
    write_json(folder / "pool" / "manifest.json", {"settings": {"candidates": {}}})


def score(folder: Path) -> None:
    candidates = Candidates.read(folder / "pool" / "candidates.parquet")
    shards = [slice(first, first + SHARD) for first in range(0, len(candidates), SHARD)]
    trajectory = cast("Trajectory", SimpleNamespace(checkpoints=(LAST,)))
    rows = [method_named(name) for name in METHODS]
    score_all(Drawn(), rows, trajectory, candidates, shards, QUERIES, folder, 0)


def looked_over(result: SelectionResult, folder: Path) -> Path:
    """What a report looks up in the whole pool; the page is of the same size for every pool."""
    draw_selection(result)
    kinds_of(result)
    groups_of(result)
    return folder / "report.html"


def peak(work: Callable[[], Any]) -> int:
    """The most bytes that Python, numpy and Arrow held together while it worked, or more."""
    arrow, before = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(arrow)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + int(arrow.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Of tables and of every rule, the peaks at both sizes. Nothing is drawn, and parts are small."""
    found: dict[str, list[int]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for module, name in PARTS:
            patch.setattr(module, name, SHARD)
        patch.setattr(noted, "draw", lambda *drawing: "")
        patch.setattr(figures, "draw", lambda *drawing: "")
        patch.setattr(noted, "histogram", lambda *shown: {})
        patch.setattr(figures, "scatter", lambda *shown: {})
        patch.setattr(selecting, "write_selection_report", looked_over)
        for n in (SHARD, *SIZES):  # the first to warm up
            folder = tmp_path_factory.mktemp(f"pool-{n}")
            make_pool(folder, n)
            found.setdefault("tables", []).append(peak(partial(score, folder)))
            write_json(folder / "scores.json", {"about": {}})
            for rule, options in RULES.items():
                config = select_config({"method": "graddot", "budget": "50%", "rule": rule, **options})
                work = partial(run_selection, config, folder, folder / rule)
                found.setdefault(rule, []).append(peak(work))
    return {what: both[1:] for what, both in found.items()}


@pytest.mark.parametrize("what", LESS_THAN)
def test_a_further_candidate_takes_few_bytes(peaks: dict[str, list[int]], what: str) -> None:
    small, large = peaks[what]
    assert (large - small) / (SIZES[1] - SIZES[0]) < LESS_THAN[what]
