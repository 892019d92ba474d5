"""The tables of a study's run folder: every product, so that every estimator can be recomputed.

`influence.parquet` has a row per checkpoint × probe × query, `gram.parquet` the products within each set, and
`examples.parquet` the examples themselves. `read_measurements` gives back what was written.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import DataError
from assay.files import write_atomically
from assay.studies.measurements import CheckpointMeasurements, ExampleSet, Measurements

TEXT = pa.dictionary(pa.int32(), pa.string())
INFLUENCE = pa.schema(
    [
        ("checkpoint", TEXT),
        ("step", pa.int64()),
        ("epoch", pa.float64()),
        ("learning_rate", pa.float64()),
        *((f"probe_{field}", TEXT) for field in ("set", "id", "task", "pair")),
        *((f"query_{field}", TEXT) for field in ("set", "id", "task", "pair")),
        ("dot", pa.float64()),
        ("probe_sqnorm", pa.float64()),
        ("query_sqnorm", pa.float64()),
        ("probe_tokens", pa.int64()),
        ("query_tokens", pa.int64()),
        ("probe_loss", pa.float64()),
        ("query_loss", pa.float64()),
        ("excluded", pa.bool_()),
    ]
)
EACH = ("probe_sqnorm", "query_sqnorm", "probe_loss", "query_loss")
GRAM = pa.schema(
    [
        ("checkpoint", TEXT),
        ("role", TEXT),
        ("set", TEXT),
        ("of", TEXT),
        ("a", TEXT),
        ("b", TEXT),
        ("dot", pa.float64()),
    ]
)


def write_tables(folder: Path, measured: Measurements) -> None:
    """Write the three tables, each whole or not at all; the large ones checkpoint by checkpoint."""
    _write(folder / "influence.parquet", INFLUENCE, _influence(measured))
    _write(folder / "gram.parquet", GRAM, _gram(measured))
    examples = _examples(measured)
    write_atomically(folder / "examples.parquet", lambda path: pq.write_table(examples, path))


def read_measurements(folder: Path) -> Measurements:
    """What `write_tables` wrote. Raises DataError where a table is missing or not a study's."""
    try:
        examples = pq.read_table(folder / "examples.parquet")
        influence = pq.read_table(folder / "influence.parquet")
        gram = pq.read_table(folder / "gram.parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{folder} holds no finished study: {error}") from None
    about = examples.schema.metadata or {}
    control = about.get(b"control", b"").decode() or None
    sets = {role: _read_sets(examples, role) for role in ("probe", "query")}
    checkpoints, excluded = _read_checkpoints(influence, gram, sets["probe"], sets["query"])
    return Measurements(sets["probe"], sets["query"], control, checkpoints, excluded)


def _write(path: Path, schema: pa.Schema, batches: Iterator[pa.Table]) -> None:
    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_table(batch)

    write_atomically(path, write)


def _influence(measured: Measurements) -> Iterator[pa.Table]:
    for at in measured.checkpoints:
        for probe_set, query_set in product(measured.probe_sets, measured.query_sets):
            dot = at.dot[probe_set, query_set]
            probes, queries = measured.probe_sets[probe_set], measured.query_sets[query_set]
            n, m = dot.shape
            rows, columns = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
            excluded = measured.excluded.get((probe_set, query_set), np.zeros((n, m), dtype=bool))
            arrays = [
                _constant(at.name, n * m),
                pa.array([at.step] * (n * m), pa.int64()),
                pa.array([at.epoch] * (n * m), pa.float64()),
                pa.array([at.learning_rate] * (n * m), pa.float64()),
                *_labels(probes, rows),
                *_labels(queries, columns),
                pa.array(dot.ravel()),
                pa.array(at.probe_sqnorm[probe_set][rows]),
                pa.array(at.query_sqnorm[query_set][columns]),
                pa.array(probes.tokens[rows]),
                pa.array(queries.tokens[columns]),
                pa.array(at.probe_loss[probe_set][rows]),
                pa.array(at.query_loss[query_set][columns]),
                pa.array(excluded.ravel()),
            ]
            yield pa.Table.from_arrays(arrays, schema=INFLUENCE)


def _gram(measured: Measurements) -> Iterator[pa.Table]:
    for at in measured.checkpoints:
        for role, sets, grams in (
            ("probe", measured.probe_sets, at.probe_gram),
            ("query", measured.query_sets, at.query_gram),
        ):
            for name in sets:
                gram = grams[name]
                whole = len(gram) == len(sets[name])
                labels = list(sets[name].ids) if whole else sorted({t or "" for t in sets[name].tasks})
                n = len(labels)
                arrays = [
                    _constant(at.name, n * n),
                    _constant(role, n * n),
                    _constant(name, n * n),
                    _constant("examples" if whole else "task means", n * n),
                    _coded(labels, np.repeat(np.arange(n), n)),
                    _coded(labels, np.tile(np.arange(n), n)),
                    pa.array(gram.ravel()),
                ]
                yield pa.Table.from_arrays(arrays, schema=GRAM)


def _examples(measured: Measurements) -> pa.Table:
    rows = [
        {
            "role": role,
            "set": name,
            "direction": one.direction,
            "id": one.ids[i],
            "task": one.tasks[i],
            "pair": one.pairs[i],
            "tokens": int(one.tokens[i]),
            "prompt": one.texts[i][0],
            "completion": one.texts[i][1],
        }
        for role, sets in (("probe", measured.probe_sets), ("query", measured.query_sets))
        for name, one in sets.items()
        for i in range(len(one))
    ]
    return pa.Table.from_pylist(rows).replace_schema_metadata({"control": measured.control or ""})


def _read_sets(examples: pa.Table, role: str) -> dict[str, ExampleSet]:
    sets: dict[str, list[dict[str, Any]]] = {}
    for row in examples.to_pylist():
        if row["role"] == role:
            sets.setdefault(row["set"], []).append(row)
    return {
        name: ExampleSet(
            name,
            tuple(row["id"] for row in rows),
            tuple(row["task"] for row in rows),
            tuple(row["pair"] for row in rows),
            np.asarray([row["tokens"] for row in rows], dtype=np.int64),
            tuple((row["prompt"], row["completion"]) for row in rows),
            rows[0]["direction"],
        )
        for name, rows in sets.items()
    }


def _read_checkpoints(
    influence: pa.Table, gram: pa.Table, probes: dict[str, ExampleSet], queries: dict[str, ExampleSet]
) -> tuple[tuple[CheckpointMeasurements, ...], dict[tuple[str, str], np.ndarray]]:
    """Tables were written in order, so every block of rows is one array."""
    checkpoints = []
    excluded: dict[tuple[str, str], np.ndarray] = {}
    start = within = 0
    for name in influence["checkpoint"].unique().to_pylist():
        first = influence.slice(start, 1).to_pylist()[0]
        dot: dict[tuple[str, str], np.ndarray] = {}
        each: dict[str, dict[str, np.ndarray]] = {key: {} for key in EACH}
        for p in probes:
            for q in queries:
                shape = (len(probes[p]), len(queries[q]))
                part = influence.slice(start, shape[0] * shape[1])
                start += len(part)
                at = (part["probe_set"][0].as_py(), part["query_set"][0].as_py())
                if at != (p, q):
                    raise DataError(
                        f"influence.parquet is not in a study's order: {at} where {(p, q)} belongs."
                    )
                grids = {key: part[key].to_numpy().reshape(shape) for key in ("dot", "excluded", *each)}
                dot[p, q], excluded[p, q] = grids["dot"], grids["excluded"]
                for key in each:
                    grid = grids[key]
                    each[key][p if key.startswith("probe") else q] = (
                        grid[:, 0] if key.startswith("probe") else grid[0]
                    )
        grams: dict[str, dict[str, np.ndarray]] = {"probe": {}, "query": {}}
        of_means = False
        for role, sets in (("probe", probes), ("query", queries)):
            for set_name, one in sets.items():
                means = gram["of"][within].as_py() == "task means"
                n = len(set(one.tasks)) if means else len(one)
                grams[role][set_name] = gram["dot"].slice(within, n * n).to_numpy().reshape(n, n)
                within += n * n
                of_means |= means
        checkpoints.append(
            CheckpointMeasurements(
                name,
                first["step"],
                first["epoch"],
                first["learning_rate"],
                dot,
                **each,
                probe_gram=grams["probe"],
                query_gram=grams["query"],
                gram_of_task_means=of_means,
            )
        )
    return tuple(checkpoints), excluded


def _labels(one: ExampleSet, rows: np.ndarray) -> list[pa.Array]:
    """set, id, task, pair of the examples in these rows."""
    return [
        _constant(one.name, len(rows)),
        _coded(one.ids, rows),
        _coded(one.tasks, rows),
        _coded(one.pairs, rows),
    ]


def _coded(labels: Sequence[str | None], rows: np.ndarray) -> pa.Array:
    values = list(dict.fromkeys(label for label in labels if label is not None))
    place = {label: code for code, label in enumerate(values)}
    codes = np.asarray(
        [place.get(label, -1) if label is not None else -1 for label in labels], dtype=np.int32
    )
    taken = codes[rows]
    indices = pa.array(taken, pa.int32(), mask=taken < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))


def _constant(value: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([value]))
