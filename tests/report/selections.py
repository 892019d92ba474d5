"""Selections made up by hand and decided by the real rules."""

from typing import Any

import numpy as np

from assay.selection.orders import standing
from assay.selection.result import Pool, SelectionResult
from assay.selection.rules import Columns, Options
from assay.selection.select import select

TASKS = ("algebra", "geometry", "reading", "planning", None)
NAMES = ("correct", "incorrect", "loss")


def make_pool(n: int, text: str | None = None, seed: int = 0) -> Pool:
    """A pool with tasks, two files and completions of uneven length; every text is `text` where given."""
    draw = np.random.default_rng(seed)
    tokens = np.ceil(draw.lognormal(3.5, 0.7, n)).astype(np.int64)
    named = [text if text is not None else f"ex-{i:05d}" for i in range(n)]
    return Pool(
        ids=tuple(f"{name} {i}" if text is not None else name for i, name in enumerate(named)),
        files=tuple((text or "easy.jsonl") if i % 3 else "hard.jsonl" for i in range(n)),
        rows=np.arange(1, n + 1),
        tasks=tuple(text if text is not None else TASKS[i] for i in draw.integers(0, len(TASKS), n)),
        tokens=tokens,
        prompts=tuple(text if text is not None else f"What is {i} plus {i}?" for i in range(n)),
        completions=tuple(
            text if text is not None else f"We add {i} to itself. " * int(1 + count / 9) + f"So {2 * i}."
            for i, count in enumerate(tokens.tolist())
        ),
    )


def make_columns(pool: Pool, names: tuple[str, ...] = NAMES, seed: int = 1) -> Columns:
    """Scores with long tails that lean on the length and the task; ranks for all of them but the last."""
    draw = np.random.default_rng(seed)
    lean = standing(pool.tokens.astype(float)) - 0.5 + 0.4 * (np.asarray(pool.tasks) == "planning")
    shared = draw.standard_t(2.5, len(pool))
    scores = {
        name: 0.01 * (0.6 * shared + draw.standard_t(2.5, len(pool)) + lean + place)
        for place, name in enumerate(names)
    }
    ranks = {
        name: np.clip(standing(scores[name]) + draw.normal(0, 0.12, len(pool)), 0, 1) for name in names[:-1]
    }
    by_query = np.stack([scores[names[0]] + draw.normal(0, 0.01, len(pool)) for _ in range(4)], axis=1)
    embeddings = draw.normal(size=(len(pool), 5))
    return Columns(scores, ranks, by_query, ("q1", "q2", "q3", "q4"), "query", embeddings)


def make_selection(
    rule: str, n: int = 240, budget: str = "50%", text: str | None = None, **options: Any
) -> SelectionResult:
    pool = make_pool(n, text)
    columns = make_columns(pool)
    if rule not in ("correct", "incorrect", "combined"):
        options.setdefault("order", "correct")
    return select(pool, columns, rule, budget, Options(**options))
