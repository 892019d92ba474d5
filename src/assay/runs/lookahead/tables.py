"""`lookahead.parquet`: the loss of every query after every arm of a lookahead, one row each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.files import write_atomically
from assay.studies.lookahead import Arm, LookaheadMeasurements, Replicate

TEXT = pa.dictionary(pa.int32(), pa.string())
LOOKAHEAD = pa.schema(
    [
        ("checkpoint", TEXT),
        ("step", pa.int64()),
        ("seed", pa.int64()),
        ("half", pa.int64()),
        ("probe_set", TEXT),
        ("query_set", TEXT),
        ("query_id", pa.string()),
        ("query_task", TEXT),
        ("context", TEXT),
        ("loss", pa.float64()),
    ]
)


def write_lookahead(folder: Path, measured: LookaheadMeasurements) -> None:
    """Write the table, whole or not at all.

    `probe_set` is "" for the base alone, whose `half` and `context` are null. `context` is also null for
    queries that the seed did not ask; they take no part in effects.
    """
    batches = list(_batches(measured))
    table = pa.concat_tables(batches) if batches else LOOKAHEAD.empty_table()
    table = table.unify_dictionaries()
    write_atomically(
        folder / "lookahead.parquet", lambda path: pq.write_table(table, path, compression="zstd")
    )


def _batches(measured: LookaheadMeasurements) -> Iterator[pa.Table]:
    for replicate in measured.replicates:
        for arm in (Arm("", 0, frozenset(), replicate.base), *replicate.arms):
            for query_set in measured.query_sets:
                yield _rows(measured, replicate, arm, query_set)


def _rows(measured: LookaheadMeasurements, replicate: Replicate, arm: Arm, query_set: str) -> pa.Table:
    examples = measured.query_sets[query_set]
    count, base = len(examples), arm.probe_set == ""
    contexts = [
        None if base or not asked else "in-task" if task in arm.trained else "cross-task"
        for task, asked in zip(measured.tasks_of(query_set), replicate.asked[query_set], strict=True)
    ]
    arrays = [
        pa.array([replicate.checkpoint] * count).dictionary_encode(),
        pa.array([replicate.step] * count, pa.int64()),
        pa.array([replicate.seed] * count, pa.int64()),
        pa.array([None if base else arm.half] * count, pa.int64()),
        pa.array([arm.probe_set] * count).dictionary_encode(),
        pa.array([query_set] * count).dictionary_encode(),
        pa.array(examples.ids),
        pa.array(examples.tasks, pa.string()).dictionary_encode(),
        pa.array(contexts, pa.string()).dictionary_encode(),
        pa.array(np.asarray(arm.losses[query_set], dtype=np.float64)),
    ]
    return pa.Table.from_arrays(arrays, schema=LOOKAHEAD)
