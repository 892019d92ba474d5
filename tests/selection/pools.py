"""Small pools to choose from."""

from collections.abc import Sequence

import numpy as np

from assay.selection.budget import Budget, Limit
from assay.selection.result import Pool


def pool(
    n: int,
    *,
    tokens: Sequence[int] | None = None,
    tasks: Sequence[str | None] | None = None,
    files: Sequence[str] | None = None,
) -> Pool:
    return Pool(
        ids=tuple(f"c{i}" for i in range(n)),
        files=tuple(files) if files is not None else ("pool.jsonl",) * n,
        rows=np.arange(1, n + 1),
        tasks=tuple(tasks) if tasks is not None else (None,) * n,
        tokens=np.asarray(tokens if tokens is not None else [10] * n, dtype=np.int64),
        prompts=("question",) * n,
        completions=("answer",) * n,
    )


def limit(budget: str | int, n: int, tokens: Sequence[int] | None = None) -> Limit:
    return Budget.parse(budget).of(np.asarray(tokens if tokens is not None else [10] * n, dtype=np.int64))


def kept(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(mask).tolist()
