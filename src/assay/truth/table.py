"""The committed table of truth: effects of strategies by world, regime, seed and task. Knows no models.

An effect is loss(base) − loss(base + strategy) in nats per query (summed over its answer's tokens), or the
share of right answers with the strategy minus that without: positive is good. It is in-task where the query's
task is in the half of the tasks that the strategy's examples came from, else cross-task.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from assay.errors import ConfigError
from assay.files import read_json, write_atomically
from assay.studies.result import Context

FEWEST = 3
"""A regime with fewer whole strategies is left out: its computation has hardly begun."""
Measure = Literal["loss", "right"]
NAMES = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    [
        ("regime", NAMES),
        ("strategy", NAMES),
        ("seed", pa.int8()),
        ("context", NAMES),
        ("task", NAMES),
        ("loss", pa.float32()),
        ("right", pa.float32()),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Of one regime and context: `loss[p, s, k]` and `right[p, s, k]` for strategy, seed and task.

    Every strategy was trained with every seed.
    """

    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    loss: Float[np.ndarray, "p s k"]
    right: Float[np.ndarray, "p s k"]

    def of(self, strategy: str, measure: Measure = "loss") -> Float[np.ndarray, "s k"]:
        """Effects of a strategy on the loss, or on the share of right answers."""
        return np.asarray((self.loss if measure == "loss" else self.right)[self.strategies.index(strategy)])


@dataclass(frozen=True, slots=True)
class Truth:
    """All effects of one world, and how they were computed."""

    world: int
    effects: Mapping[tuple[str, Context], Effects]
    recipe: Mapping[str, Any]


def collect(folder: Path) -> pa.Table:
    """The files of `assay.truth.build` as rows; a regime's seed without its base arm is left out."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for base_file in sorted(folder.glob("*/base-*.json")):
        base = read_json(base_file)["base"]
        for file in sorted(base_file.parent.glob(f"*-{base_file.stem.rpartition('-')[2]}.json")):
            if file != base_file:
                for row in _rows(base, read_json(file)):
                    for name, value in row.items():
                        columns[name].append(value)
    return pa.table(columns, schema=SCHEMA)


def _rows(base: Mapping[str, Any], arms: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for half in ("first", "second"):
        arm = arms[half]
        for task in base["loss"]:
            yield {
                "regime": arms["regime"],
                "strategy": arms["strategy"],
                "seed": arms["seed"],
                "context": "in-task" if task in arm["tasks"] else "cross-task",
                "task": task,
                "loss": base["loss"][task] - arm["loss"][task],
                "right": arm["right"][task] - base["right"][task],
            }


def write_table(rows: pa.Table, recipe: Mapping[str, Any], path: Path) -> None:
    """One Parquet file; the recipe travels in its metadata."""
    told = rows.replace_schema_metadata({"recipe": json.dumps(recipe)})
    write_atomically(path, lambda temporary: pq.write_table(told, temporary, compression="zstd"))


def table_path(world: int) -> Path:
    """Where the table of a world is installed, or would be."""
    return Path(str(files("assay.truth"))) / "tables" / f"world{world}.parquet"


def committed(world: int) -> Path:
    """The installed table of a world. Raises ConfigError for a world without one."""
    path = table_path(world)
    if not path.is_file():
        raise ConfigError(
            f"There is no table of truth for world {world}; assay ships those of worlds 0 and 1, and "
            f"`python -m assay.truth.build --world {world}` computes another."
        )
    return path


def trained(path: Path) -> set[tuple[str, int, str]]:
    """Regime, seed and strategy of what a table holds; nothing where there is no table."""
    if not path.is_file():
        return set()
    columns = (
        pq.read_table(path, columns=[name])[name].to_pylist() for name in ("regime", "seed", "strategy")
    )
    return set(zip(*columns, strict=True))


def merged(path: Path, more: pa.Table) -> pa.Table:
    """The rows of the table at `path`, if any, and those of `more` that it lacks."""
    if not path.is_file():
        return more
    there = trained(path)
    rows = zip(*(more[name].to_pylist() for name in ("regime", "seed", "strategy")), strict=True)
    new = more.filter(pa.array([row not in there for row in rows], type=pa.bool_()))
    old = pq.read_table(path).replace_schema_metadata(None).cast(SCHEMA)
    return pa.concat_tables([old, new.cast(SCHEMA)])


def read_truth(path: Path) -> Truth:
    """Read a table that `write_table` wrote."""
    table = pq.read_table(path)
    recipe = json.loads((table.schema.metadata or {}).get(b"recipe", b"{}"))
    columns = {name: np.asarray(table[name].to_pylist()) for name in SCHEMA.names}
    effects: dict[tuple[str, Context], Effects] = {}
    contexts: tuple[Context, ...] = ("in-task", "cross-task")
    for regime in dict.fromkeys(columns["regime"].tolist()):
        for context in contexts:
            mine = (columns["regime"] == regime) & (columns["context"] == context)
            found = _effects({name: column[mine] for name, column in columns.items()})
            if len(found.seeds) > 1 and len(found.strategies) >= FEWEST:
                effects[regime, context] = found
    return Truth(int(recipe.get("world", 0)), effects, recipe)


def _effects(columns: Mapping[str, np.ndarray]) -> Effects:
    """Of the strategies that were trained with every seed."""
    strategies, seeds, tasks = (
        tuple(dict.fromkeys(columns[name].tolist())) for name in ("strategy", "seed", "task")
    )
    places = tuple(
        np.array([labels.index(value) for value in columns[name].tolist()], dtype=int)
        for name, labels in (("strategy", strategies), ("seed", seeds), ("task", tasks))
    )
    arrays = {}
    for name in ("loss", "right"):
        arrays[name] = np.full((len(strategies), len(seeds), len(tasks)), np.nan)
        arrays[name][places] = columns[name]
    whole = np.isfinite(arrays["loss"]).all(axis=(1, 2))
    names = tuple(name for name, keep in zip(strategies, whole.tolist(), strict=True) if keep)
    return Effects(
        names, tuple(int(seed) for seed in seeds), tasks, arrays["loss"][whole], arrays["right"][whole]
    )
