"""The gradients of queries, computed once and held while candidates pass: exact, transformed or projected.

Knows nothing of candidates but how long they are on average, which decides the cheaper form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.example import Tokens
from assay.gradients.engine import Engine
from assay.gradients.inner import (
    DenseGradients,
    FactoredGradients,
    Factors,
    Form,
    Gradients,
    bytes_per_example,
    dot,
    form_for,
)
from assay.gradients.projection import Projection, Projector
from assay.gradients.views import Transform, View, sweep
from assay.progress import SILENT, Advance, Progress


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Gradients of q queries by parameter name; one that no query touches is absent, which stands for zeros.

    `loss` (nats) and `sqnorm` are of the gradients as they are, summed over completion tokens, before any
    transform or projection; float64. With a `projector` every parameter's gradients are projected by it.
    """

    ids: tuple[str, ...]
    loss: Float[np.ndarray, "q"]
    sqnorm: Float[np.ndarray, "q"]
    gradients: Mapping[str, Gradients]
    projector: Projector | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def gram(self) -> Float[np.ndarray, "q q"]:
        """Inner products of what is held with itself, float64."""
        total = torch.zeros(len(self), len(self), dtype=torch.float64)
        for each in self.gradients.values():
            total += dot(each, each).cpu()
        return total.numpy()


@dataclass(frozen=True, slots=True)
class Request:
    """What to hold: gradients after `transform`, then after `projection`.

    Without either, a parameter is held in the cheaper exact form, or always dense where `dense` says so:
    worth it where transformed candidates will meet them, for which factored ones are added up at every batch.
    """

    transform: Transform | None = None
    projection: Projection | None = None
    dense: bool = False


def hold(
    engine: Engine,
    queries: Sequence[Tokens],
    *,
    candidate_length: float,
    token_budget: int = 2048,
    transform: Transform | None = None,
    projection: Projection | None = None,
    dense: bool = False,
    progress: Progress = SILENT,
    label: str = "gradients of queries",
) -> Held:
    """`hold_all` with a single request."""
    return hold_all(
        engine,
        queries,
        {"only": Request(transform, projection, dense)},
        candidate_length=candidate_length,
        token_budget=token_budget,
        progress=progress,
        label=label,
    )["only"]


def hold_all(
    engine: Engine,
    queries: Sequence[Tokens],
    requests: Mapping[str, Request],
    *,
    candidate_length: float,
    token_budget: int = 2048,
    progress: Progress = SILENT,
    label: str = "gradients of queries",
) -> dict[str, Held]:
    """The gradients of the same queries in several ways, from one pass; equal projections share matrices.

    `candidate_length` is the mean length in tokens of the candidates to come, `token_budget` bounds rows ×
    longest row of a batch, theirs and the queries'.

    Raises NumericsError naming a query whose loss or gradient is not finite.
    """
    forms = _forms(engine, queries, candidate_length, token_budget)
    with progress.stage(label, sum(map(len, queries)), "tokens") as advance:
        return hold_forms(engine, queries, requests, forms, token_budget, advance)


def hold_forms(
    engine: Engine,
    queries: Sequence[Tokens],
    requests: Mapping[str, Request],
    forms: Mapping[str, Form],
    token_budget: int,
    advance: Advance,
) -> dict[str, Held]:
    """`hold_all` with the exact form of every parameter already chosen."""
    projectors = {p: Projector(p) for p in dict.fromkeys(r.projection for r in requests.values()) if p}
    filling = {
        name: _Filling(
            request,
            dict.fromkeys(forms, "dense") if request.dense else forms,
            projectors[request.projection] if request.projection else None,
            len(queries),
        )
        for name, request in requests.items()
    }

    def receive(view: View) -> None:
        for each in filling.values():
            each.put(view)

    everywhere = any(request.transform for request in requests.values())
    swept = sweep(engine, queries, receive, token_budget=token_budget, advance=advance, everywhere=everywhere)
    ids = tuple(query.id for query in queries)
    return {
        name: Held(ids, swept.loss, swept.sqnorm, each.finished(), each.projector)
        for name, each in filling.items()
    }


def held_bytes(
    engine: Engine,
    queries: Sequence[Tokens],
    candidate_length: float,
    token_budget: int,
    dense: bool = False,
    projection: Projection | None = None,
) -> float:
    """Memory that one held query takes on average, in bytes, or a little less; `dense` as with a transform.

    The matrices of a projection, the same for any number of queries, are not counted.
    """
    forms = _forms(engine, queries, candidate_length, token_budget)
    mean = sum(map(len, queries)) / max(1, len(queries))
    total = 0.0
    for name, parameter in engine.trained.items():
        itemsize = torch.promote_types(parameter.dtype, torch.float32).itemsize
        if projection is not None:
            a, b = projection.shape(parameter.shape)
            total += itemsize * a * b
        else:
            form: Form = "dense" if dense else forms[name]
            total += bytes_per_example(parameter.shape, form, mean, itemsize)
    return total


class _Filling:
    """One request being filled."""

    def __init__(
        self, request: Request, forms: Mapping[str, Form], projector: Projector | None, queries: int
    ) -> None:
        self.projector = projector
        self._transform = request.transform
        self._forms = forms
        self._queries = queries
        self._dense: dict[str, Float[Tensor, "q p"]] = {}
        self._parts: dict[str, list[Factors]] = {}

    def put(self, view: View) -> None:
        if self._transform is None and not view.touched:
            return
        found = view.gradients(self._forms[view.name], self._transform, self.projector)
        if isinstance(found, DenseGradients):
            if view.name not in self._dense:
                self._dense[view.name] = found.values.new_zeros(self._queries, found.values.shape[1])
            self._dense[view.name][view.positions] = found.values
        else:
            moved = (replace(part, owner=view.positions[part.owner]) for part in found.parts)
            self._parts.setdefault(view.name, []).extend(moved)

    def finished(self) -> dict[str, Gradients]:
        dense = {name: DenseGradients(values) for name, values in self._dense.items()}
        factored = {
            name: FactoredGradients(_joined(parts), self._queries) for name, parts in self._parts.items()
        }
        return {**dense, **factored}


def _joined(parts: Sequence[Factors]) -> tuple[Factors, ...]:
    """Those with one-hot left factors as one, and those with others as one."""
    joined = []
    for dimensions in (1, 2):
        alike = [part for part in parts if part.left.dim() == dimensions]
        if alike:
            columns = zip(*((part.left, part.right, part.owner) for part in alike), strict=True)
            joined.append(Factors(*(torch.cat(column) for column in columns)))
    return tuple(joined)


def _forms(
    engine: Engine, queries: Sequence[Tokens], candidate_length: float, token_budget: int
) -> dict[str, Form]:
    """The cheaper exact form of every parameter."""
    rows = 1 if engine.one_at_a_time else max(1, int(token_budget / max(1.0, candidate_length)))
    held_tokens = sum(map(len, queries))
    slow = engine.coverage.slow
    return {
        name: "dense"
        if name in slow
        else form_for(parameter.shape, len(queries), held_tokens, rows, int(rows * candidate_length))
        for name, parameter in engine.trained.items()
    }
