"""What a method is: from measurements of candidates at a checkpoint to one number each, or one per query.

Sign of every method that compares gradients with a query's: positive means that training on the candidate
lowers the query's loss. Notation: z candidate, q query, g gradient summed over completion tokens. Knows no
files, no models and no way of measuring.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from assay.errors import NumericsError

Measure = Literal[
    "gradient", "adam", "adam_exact", "ekfac", "kfac", "diagonal", "loss", "rds", "embedding", "bm25"
]
Aggregate = Literal["mean", "max over tasks"]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A block of n candidates at one checkpoint, and what one measure says of them and of q queries.

    `tokens` and `query_tokens` count completion tokens. `dot[z, q]` and `sqnorm[z]` mean what the measure
    says: products of gradients, of preconditioned ones, cosines of hidden states, BM25. Losses are summed
    over completion tokens, nats. `query_sqnorm` is ‖g_q‖² of the plain gradient under every measure. A
    measure fills some of these and leaves the others None. `seed` is for methods that draw.

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
        found: Float[np.ndarray, "..."] | None = getattr(self, name)
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
    so blocks give what the whole pool gives; the others are given the whole pool at once.

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
