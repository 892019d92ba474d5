"""Random measurements for the tests of methods."""

import dataclasses

import numpy as np

from assay.methods.table import InContext, Measured

BY_CANDIDATE = ("ids", "tasks", "tokens", "dot", "sqnorm", "loss")


def measured(n: int = 11, q: int = 4, seed: int = 0) -> Measured:
    """Every array filled, none of them 0."""
    rng = np.random.default_rng(seed)
    return Measured(
        ids=[f"pool.jsonl:{row}" for row in range(n)],
        tasks=[(None, "sums", "letters")[row % 3] for row in range(n)],
        tokens=rng.integers(1, 40, n),
        dot=rng.normal(size=(n, q)),
        sqnorm=rng.uniform(0.1, 9, n),
        loss=rng.uniform(0.5, 90, n),
        query_sqnorm=rng.uniform(0.1, 9, q),
        query_loss=rng.uniform(0.5, 90, q),
        query_tokens=rng.integers(1, 40, q),
        context=context(n, q, seed),
        seed=seed,
    )


def context(n: int = 11, m: int = 4, seed: int = 0) -> InContext:
    """Every array filled, and everything known."""
    rng = np.random.default_rng([seed, 1])
    return InContext(
        alone=rng.uniform(0.1, 4, n),
        given=rng.uniform(0.1, 4, n),
        complexity=rng.uniform(1, 6, n),
        cosine=rng.uniform(-1, 1, (n, m)),
        query_alone=rng.uniform(0.1, 4, (n, m)),
        query_given=rng.uniform(0.1, 4, (n, m)),
        shown=rng.uniform(0.1, 4, (n, m)),
        failed=np.zeros((n, m), dtype=bool),
    )


def rows(m: Measured, chosen: list[int]) -> Measured:
    """The same of some candidates, in that order."""
    fields = {name: getattr(m, name) for name in ("query_sqnorm", "query_loss", "query_tokens", "seed")}
    for name in BY_CANDIDATE:
        whole = getattr(m, name)
        fields[name] = whole[chosen] if isinstance(whole, np.ndarray) else [whole[row] for row in chosen]
    mine = {field.name: getattr(m.context, field.name) for field in dataclasses.fields(InContext)}
    arrays = {name: whole[chosen] for name, whole in mine.items() if isinstance(whole, np.ndarray)}
    return Measured(**fields, context=InContext(**{**mine, **arrays}))
