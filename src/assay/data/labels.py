"""Task labels that do not stand in the rows: from a mapping file, or proposed by clustering prompts.

Knows no models; clustering sees the characters of prompts, so it works in languages without spaces.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from assay.data.example import Example
from assay.data.fields import RowError, label
from assay.data.tables import BadRow, read_rows
from assay.data.texts import counted, folded, prompt_text
from assay.errors import ConfigError, DataError

CLUSTER = re.compile(r"cluster:([0-9]+)")
CLUSTER_PREFIX = "cluster:"
GRAM_LENGTHS = (3, 4)
BUCKETS = 2**15
STARTS = 4
ROUNDS = 50
LONGEST_PROMPT = 4000
"""Characters of a prompt that count."""

Array = np.ndarray


def require_tasks(examples: Iterable[Example], name: str) -> None:
    """Raise `DataError` naming the first example of set `name` that has no task label."""
    bare = next((example for example in examples if example.task is None), None)
    if bare is not None:
        raise DataError(
            f"{name}: example {bare.id} ({bare.source}) has no task label. "
            "Add a task column, label the file, or let --tasks cluster:K propose labels."
        )


def with_tasks(examples: Iterable[Example], tasks: str | Path) -> tuple[Example, ...]:
    """Label examples as asked on the command line: `cluster:K`, or the path of a mapping file.

    Raises ConfigError for a K that is no whole number or cannot be, DataError for a file that cannot be used.
    """
    asked = CLUSTER.fullmatch(str(tasks))
    if asked is not None:
        return cluster_tasks(tuple(examples), int(asked[1]))
    if str(tasks).startswith(CLUSTER_PREFIX) and not Path(tasks).exists():
        raise ConfigError(f"--tasks {tasks}: give the number of clusters as a whole number, as in cluster:8.")
    return _mapped(tuple(examples), tasks)


def read_mapping(path: str | Path) -> dict[str, str]:
    """Task by example id: a JSON object, or a table (CSV, TSV, JSONL, …) with columns `id` and `task`."""
    mapping: dict[str, str] = {}
    for row, record in read_rows(path):
        if isinstance(record, BadRow):
            raise DataError(f"{path}, row {row}: {record.reason}.")
        try:
            by_columns = {"id", "task"} <= record.keys()
            pairs = (
                [(label(record, "id"), label(record, "task"))]
                if by_columns
                else [(key, label(record, key)) for key in record]
            )
        except RowError as error:
            raise DataError(f"{path}, row {row}: {error}.") from error
        for key, task in pairs:
            if not key or not task:
                raise DataError(f"{path}, row {row}: an id or its task is empty.")
            if mapping.setdefault(key, task) != task:
                raise DataError(f"{path}, row {row}: id {key} has two tasks, {mapping[key]} and {task}.")
    return mapping


def tasks_from(examples: Iterable[Example], mapping: Mapping[str, str]) -> tuple[Example, ...]:
    """Examples with the tasks of `mapping`; an id that is not in it keeps its own label."""
    return tuple(replace(example, task=mapping.get(example.id, example.task)) for example in examples)


def _mapped(examples: Sequence[Example], path: str | Path) -> tuple[Example, ...]:
    """`tasks_from` a file; DataError where it speaks of none of the examples."""
    mapping = read_mapping(path)
    if examples and not any(example.id in mapping for example in examples):
        raise DataError(
            f"{path}: none of its {counted(len(mapping), 'id')} is the id of an example, such as "
            f"{examples[0].id} ({examples[0].source})."
        )
    return tasks_from(examples, mapping)


def cluster_tasks(examples: Sequence[Example], clusters: int, seed: int = 0) -> tuple[Example, ...]:
    """Proposed labels `cluster-1` … `cluster-K`, the largest first, by spherical k-means on prompts.

    Deterministic for the same examples, order and seed. Cluster probes and queries together, or their labels
    mean different things.
    """
    prompts = [folded(prompt_text(example)).lower()[:LONGEST_PROMPT] for example in examples]
    distinct = len(set(prompts))
    if not 1 <= clusters <= distinct:
        raise ConfigError(
            f"cluster:{clusters} needs between 1 and {distinct} clusters, the number of different prompts."
        )
    nearest = _k_means(_character_grams(prompts), clusters, np.random.default_rng(seed))
    sizes = np.bincount(nearest, minlength=clusters)
    ranks = {int(cluster): rank for rank, cluster in enumerate(np.argsort(-sizes, kind="stable"), start=1)}
    return tuple(
        replace(example, task=f"cluster-{ranks[int(cluster)]}")
        for example, cluster in zip(examples, nearest, strict=True)
    )


def _character_grams(texts: Sequence[str]) -> sparse.csr_matrix:
    """TF-IDF of hashed character n-grams, rows of unit length, shape (texts, BUCKETS)."""
    columns: list[int] = []
    starts = [0]
    for text in texts:
        padded = f" {text} "
        grams = {padded[i : i + n] for n in GRAM_LENGTHS for i in range(max(1, len(padded) - n + 1))}
        columns += sorted({crc32(gram.encode()) % BUCKETS for gram in grams})
        starts.append(len(columns))
    frequency = np.bincount(columns, minlength=BUCKETS)
    rarity = np.log((1 + len(texts)) / (1 + frequency)) + 1
    counts = sparse.csr_matrix((rarity[columns], columns, starts), shape=(len(texts), BUCKETS))
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    return sparse.diags(1 / lengths) @ counts


def _k_means(points: sparse.csr_matrix, clusters: int, random: np.random.Generator) -> Int[Array, "n"]:
    """The best of several starts by total similarity; every cluster keeps at least one point."""
    best, best_similarity = np.zeros(points.shape[0], dtype=np.int64), -np.inf
    for _ in range(STARTS):
        nearest, similarity = _one_start(points, clusters, random)
        if similarity > best_similarity + 1e-9:
            best, best_similarity = nearest, similarity
    return best


def _one_start(
    points: sparse.csr_matrix, clusters: int, random: np.random.Generator
) -> tuple[Int[Array, "n"], float]:
    similarities = points @ _spread_points(points, clusters, random).T
    nearest = similarities.argmax(axis=1)
    for _ in range(ROUNDS):
        _fill_empty(nearest, similarities.max(axis=1), clusters)
        centres = np.stack(
            [_unit(np.asarray(points[nearest == c].sum(axis=0)).ravel()) for c in range(clusters)]
        )
        similarities = points @ centres.T
        moved = similarities.argmax(axis=1)
        if (moved == nearest).all():
            break
        nearest = moved
    _fill_empty(nearest, similarities.max(axis=1), clusters)
    return nearest, float(similarities[np.arange(len(nearest)), nearest].sum())


def _spread_points(
    points: sparse.csr_matrix, clusters: int, random: np.random.Generator
) -> Float[Array, "k d"]:
    """First centres by k-means++ (Arthur and Vassilvitskii 2007): far points are likelier."""
    chosen = [int(random.integers(points.shape[0]))]
    closest = (points @ points[chosen[0]].T).toarray().ravel()
    while len(chosen) < clusters:
        distance = np.clip(1 - closest, 0, None) + 1e-12
        distance[chosen] = 0
        chosen.append(int(random.choice(len(distance), p=distance / distance.sum())))
        closest = np.maximum(closest, (points @ points[chosen[-1]].T).toarray().ravel())
    return np.asarray(points[chosen].toarray())


def _fill_empty(nearest: Int[Array, "n"], similarity: Float[Array, "n"], clusters: int) -> None:
    """Give every empty cluster the point that fits worst among clusters of two or more."""
    for cluster in range(clusters):
        if (nearest == cluster).any():
            continue
        sizes = np.bincount(nearest, minlength=clusters)
        movable = np.where(sizes[nearest] > 1, similarity, np.inf)
        nearest[int(movable.argmin())] = cluster


def _unit(vector: Float[Array, "d"]) -> Float[Array, "d"]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
