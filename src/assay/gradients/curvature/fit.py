"""The passes that measure a curvature. Knows nothing of what it is for, nor of files.

"ekfac" takes two passes, covariances and then moments in their eigenvectors; "kfac" takes one, and so does
"diagonal". Every pass is a forward and a backward pass with labels drawn from the model's own distribution.
A caller with many examples uses the pieces that `fit` puts together and saves their `tensors()` on the way.
"""

from collections.abc import Sequence
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.gradients.batch import Batch
from assay.gradients.curvature.covariances import Covariances
from assay.gradients.curvature.curvature import Curvature, curvature
from assay.gradients.curvature.eigen import eigenbases
from assay.gradients.curvature.layout import LARGEST_SIDE, Kind, layout
from assay.gradients.curvature.moments import Moments
from assay.gradients.engine import Engine
from assay.gradients.rules import Contribution, Outer
from assay.progress import SILENT, Progress


def observe(engine: Engine, batch: Batch, seed: int, *sums: Covariances | Moments) -> Float[Tensor, "n"]:
    """One pass over a batch with drawn labels, added to all `sums`. Returns the losses of the drawn labels.

    Raises NumericsError naming the example whose loss or gradient is not finite; `sums` are of no use then.
    """
    added: list[Tensor] = []

    def consume(name: str, parts: list[Contribution]) -> None:
        added.extend(each.take(name, parts, len(batch)) for each in sums if name in each)

    losses = engine.run(batch, consume, sampled=seed)
    if added and not torch.stack(added).isfinite().all():
        _blame(engine, batch, seed)
    for each in sums:
        each.examples += len(batch)
    return losses


def fit(
    engine: Engine,
    tokens: Sequence[Tokens],
    kind: Kind,
    *,
    seed: int = 0,
    token_budget: int = 2048,
    largest_side: int = LARGEST_SIDE,
    progress: Progress = SILENT,
    label: str = "curvature",
) -> Curvature:
    """The curvature of the engine's model on `tokens`, which fit into memory. Call `engine.check` before.

    The second pass draws other labels than the first (seed + 1), so that Λ is not measured on the draws that
    chose the eigenvectors.

    Raises NumericsError as `observe` and `eigenbases` do.
    """
    plan = layout(engine, kind, largest_side)
    batches = _batches(engine, tokens, token_budget)
    covariances = Covariances.zeros(plan, engine.device)
    moments = Moments.zeros(plan.diagonal, {}, engine.device)
    work = sum(map(len, tokens)) * passes(kind)
    with progress.stage(label, work, "tokens") as advance:

        def pass_over(seed: int, *sums: Covariances | Moments) -> None:
            for batch in batches:
                together = Batch.of(batch, engine.device)
                observe(engine, together, seed, *sums)
                advance(sum(map(len, batch)))

        if kind == "ekfac":
            pass_over(seed, covariances)
            vectors = eigenbases(covariances, plan.precision)
            moments = Moments.zeros(plan.shapes, vectors, engine.device)
            pass_over(seed + 1, moments)
        else:
            pass_over(seed, covariances, moments)
            vectors = eigenbases(covariances, plan.precision)
    return curvature(plan, vectors, moments)


def passes(kind: Kind) -> int:
    """How many times a kind goes over its examples."""
    return 2 if kind == "ekfac" else 1


def _batches(engine: Engine, tokens: Sequence[Tokens], token_budget: int) -> list[list[Tokens]]:
    if engine.one_at_a_time:
        return [[example] for example in tokens]
    rows = token_budget_batches([len(example) for example in tokens], token_budget)
    return [[tokens[row] for row in batch] for batch in rows]


def _blame(engine: Engine, batch: Batch, seed: int) -> NoReturn:
    """Go over a batch again to find whose gradient is not finite, or largest if only its square is not."""
    size = torch.zeros(len(batch), dtype=torch.float64, device=engine.device)

    def look(name: str, parts: list[Contribution]) -> None:
        for part in parts:
            rows = slice(None) if part.example is None else slice(part.example, part.example + 1)
            factors = (part.left, part.right) if isinstance(part, Outer) else (part.values,)
            for values in factors:
                size[rows] += values.double().abs().flatten(1).amax(1)

    engine.run(batch, look, sampled=seed)
    culprit = batch.ids[int(size.nan_to_num(nan=torch.inf).argmax())]
    raise NumericsError(
        f"The gradient of example {culprit!r} is not finite: the model has diverged, or --dtype is too small."
    )
