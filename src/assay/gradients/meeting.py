"""Candidates pass once, and several sides meet them: inner products with held gradients, and squared norms.

Knows nothing of methods. A side says what is done to a candidate's gradient and whose gradients it
meets then; one forward and backward pass per batch serves them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.example import Tokens
from assay.gradients.engine import Engine
from assay.gradients.held import Held, Request, hold_all
from assay.gradients.inner import DenseGradients, Form, dot, squared_norms
from assay.gradients.projection import Projection, ProjectionError, projection_error
from assay.gradients.views import Transform, View, require_finite, sweep
from assay.progress import Advance


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What candidates are asked: T(g_z) against `held`, or its norm alone where `held` is None.

    T is `transform`, the identity where it is None. With `mean` g_z is the gradient of the mean over the
    candidate's completion tokens instead of the sum, which a transform that is not linear can tell apart.
    """

    held: Held | None
    transform: Transform | None = None
    mean: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MetSide:
    """`dot[z, q]` is ⟨T(g_z), held_q⟩, None without held gradients; `sqnorm[z]` is ‖T(g_z)‖²; float64.

    Where gradients are held projected, `dot` is of projected gradients, and `sqnorm` is exact all the same.
    """

    dot: Float[np.ndarray, "n q"] | None
    sqnorm: Float[np.ndarray, "n"]


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """`loss` (nats, summed over completion tokens, float64) of every candidate, and what each side found."""

    loss: Float[np.ndarray, "n"]
    sides: Mapping[str, MetSide]


def meet(
    engine: Engine,
    candidates: Sequence[Tokens],
    sides: Mapping[str, Side],
    *,
    token_budget: int = 2048,
    advance: Advance = lambda tokens: None,
) -> Met:
    """Forward and backward over `candidates` once, for all `sides`.

    A transform is applied once to each candidate and parameter even where several sides have it, to
    parameters that a candidate does not touch as well. `advance` is told the tokens that are done. Results do
    not depend on how candidates fall into batches or calls, beyond rounding.

    Raises NumericsError naming a candidate whose loss or gradient is not finite, before or after a transform.
    """
    found = {name: _Found(side, len(candidates), engine.device) for name, side in sides.items()}

    def receive(view: View) -> None:
        for each in found.values():
            each.put(view)

    swept = sweep(
        engine,
        candidates,
        receive,
        token_budget=token_budget,
        advance=advance,
        everywhere=any(side.transform for side in sides.values()),
    )
    counts = np.array([max(1, candidate.completion_tokens) for candidate in candidates], dtype=np.float64)
    return Met(
        swept.loss,
        {name: each.finished(name, swept.sqnorm, counts, candidates) for name, each in found.items()},
    )


def measure_projection(
    engine: Engine,
    candidates: Sequence[Tokens],
    queries: Sequence[Tokens],
    projection: Projection,
    *,
    token_budget: int = 2048,
) -> ProjectionError:
    """What a projection costs on this model: its inner products of a few examples against the exact ones."""
    length = sum(map(len, candidates)) / max(1, len(candidates))
    requests = {"exact": Request(), "projected": Request(projection=projection)}
    held = hold_all(engine, queries, requests, candidate_length=length, token_budget=token_budget)
    sides = {name: Side(each) for name, each in held.items()}
    met = meet(engine, candidates, sides, token_budget=token_budget).sides
    exact, projected = met["exact"].dot, met["projected"].dot
    assert exact is not None
    assert projected is not None
    return projection_error(exact, projected)


class _Found:
    """What a side has found so far, summed over parameters in float64."""

    def __init__(self, side: Side, candidates: int, device: torch.device) -> None:
        self._side = side
        self._sqnorm = torch.zeros(candidates, dtype=torch.float64, device=device)
        self._dot: Float[Tensor, "n q"] | None = None
        if side.held is not None:
            self._dot = torch.zeros(candidates, len(side.held), dtype=torch.float64, device=device)

    def put(self, view: View) -> None:
        transform, mean = self._side.transform, self._side.mean
        if transform is None and not view.touched:
            return
        if transform is not None:
            norms = squared_norms(view.gradients(transform=transform, mean=mean))
            self._sqnorm.index_add_(0, view.positions, norms)
        if self._side.held is None or self._dot is None or view.name not in self._side.held.gradients:
            return
        theirs = self._side.held.gradients[view.name]
        form: Form = "dense" if isinstance(theirs, DenseGradients) else "factored"
        ours = view.gradients(form, transform, self._side.held.projector, mean)
        self._dot.index_add_(0, view.positions, dot(ours, theirs))

    def finished(
        self,
        name: str,
        plain_sqnorm: Float[np.ndarray, "n"],
        counts: Float[np.ndarray, "n"],
        candidates: Sequence[Tokens],
    ) -> MetSide:
        for values in (self._sqnorm, self._dot):
            if values is not None:
                require_finite(values, candidates, f"What {name!r} makes of the gradient")
        products = None if self._dot is None else self._dot.cpu().numpy()
        if self._side.transform is not None:
            return MetSide(products, self._sqnorm.cpu().numpy())
        if not self._side.mean:
            return MetSide(products, plain_sqnorm.copy())
        return MetSide(None if products is None else products / counts[:, None], plain_sqnorm / counts**2)
