"""What a method is: from measurements of candidates at a checkpoint to one number each, or one per query.

Sign of every method that compares gradients with a query's: positive means that training on the candidate
lowers the query's loss. Notation: z candidate, q query, g gradient summed over completion tokens. Knows no
files, no models and no way of measuring.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.errors import NumericsError

Measure = Literal[
    "gradient",
    "adam",
    "adam_exact",
    "ekfac",
    "kfac",
    "diagonal",
    "loss",
    "rds",
    "embedding",
    "bm25",
    "ifd",
    "complexity",
    "in_context",
    "in_context_nearest",
    "shown",
]
Aggregate = Literal["mean", "max over tasks"]


@dataclass(frozen=True, slots=True, eq=False)
class InContext:
    """What forward passes say of n candidates and of m queries: each candidate's own, or the same for all.

    Nats per token of what is learned of an example: `alone` behind nothing, `given` behind its own prompt,
    `shown` behind a candidate and then its own prompt; `query_` are those of the queries. `cosine` is that of
    prompts, `failed` marks forwards whose result was not finite. NaN stands for what is not known. A measure
    fills some of these. `departures` names what the public code does otherwise and is asked for.
    """

    alone: Float[np.ndarray, "n"] | None = None
    given: Float[np.ndarray, "n"] | None = None
    complexity: Float[np.ndarray, "n"] | None = None
    cosine: Float[np.ndarray, "n m"] | None = None
    query_alone: Float[np.ndarray, "n m"] | None = None
    query_given: Float[np.ndarray, "n m"] | None = None
    shown: Float[np.ndarray, "n m"] | None = None
    failed: Bool[np.ndarray, "n m"] | None = None
    departures: frozenset[str] = frozenset()

    def of(self, name: str) -> Float[np.ndarray, "..."]:
        """One of the arrays, float64, which must have been measured; else ValueError."""
        return _there(getattr(self, name), name)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A block of n candidates at one checkpoint, and what one measure says of them and of q queries.

    `tokens` and `query_tokens` count completion tokens. `dot[z, q]` and `sqnorm[z]` mean what the measure
    says: products of gradients, of preconditioned ones, cosines of hidden states, BM25. Losses are summed
    over completion tokens, nats. `query_sqnorm` is ‖g_q‖² of the plain gradient under every measure.
    `context` is what was read of demonstrations. A measure fills some of these and leaves the others None.
    `seed` is for methods that draw.

    Raises NumericsError naming the candidate whose measurement is not finite.
    """

    ids: Sequence[str]
    tasks: Sequence[str | None]
    tokens: Int[np.ndarray, "n"]
    dot: Float[np.ndarray, "n q"] | None = None
    sqnorm: Float[np.ndarray, "n"] | None = None
    loss: Float[np.ndarray, "n"] | None = None
    query_sqnorm: Float[np.ndarray, "q"] | None = None
    query_loss: Float[np.ndarray, "q"] | None = None
    query_tokens: Int[np.ndarray, "q"] | None = None
    context: InContext | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        named = (("product with a query", self.dot), ("squared norm", self.sqnorm), ("loss", self.loss))
        for name, values in named:
            if values is not None and not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0, 0])
                raise NumericsError(
                    f"The {name} of candidate {self.ids[row]!r} is not finite: the model has diverged, or "
                    "--dtype is too small."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def array(self, name: Literal["dot", "sqnorm", "loss", "query_sqnorm"]) -> Float[np.ndarray, "..."]:
        """One of the arrays, float64, which must have been measured; else ValueError."""
        return _there(getattr(self, name), name)

    def in_context(self) -> InContext:
        """What was measured in context, which must be there; else ValueError."""
        if self.context is None:
            raise ValueError("this method reads what the measure given to it does not hold: 'context'")
        return self.context


def _there(found: Float[np.ndarray, "..."] | None, name: str) -> Float[np.ndarray, "..."]:
    if found is None:
        raise ValueError(f"this method reads {name!r}, which the measure given to it does not hold")
    return np.asarray(found, dtype=np.float64)


Score = Callable[[Measured], Float[np.ndarray, "..."]]


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table.

    `formula`, `needs`, `cost` (in passes over examples) and `good_for` are for a person to choose by. `score`
    reads one `measure` (None: it needs no measuring) and gives (n, q) where `per_query`, else (n,), float64,
    higher first; NaN where it is undefined. A per-query score of a candidate depends on that candidate alone,
    so blocks give what the whole pool gives, and so they do where `by_candidate`; the others are given the
    whole pool at once.

    `checkpoints` says where: at the last one, at all of them, or without a model. Over several, scores are
    summed with `weight` "one", or "rate": η_k, the learning rate at the checkpoint, or, where `rate_over` is
    "stretch", η̄_k, the mean rate of the steps since the checkpoint before. Then `aggregate` turns queries
    into one number: their mean, or the largest mean of a task.
    """

    name: str
    title: str
    formula: str
    source: str
    needs: str
    cost: str
    good_for: str
    measure: Measure | None
    per_query: bool
    checkpoints: Literal["last", "all", "none"]
    score: Score
    weight: Literal["one", "rate"] = "one"
    rate_over: Literal["checkpoint", "stretch"] = "checkpoint"
    aggregate: Aggregate = "mean"
    by_candidate: bool = False
