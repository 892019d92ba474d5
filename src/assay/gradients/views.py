"""One pass over examples that shows the gradients of each parameter in whatever form is asked for.

Knows nothing of what the gradients are for. Several askers share a pass: a form is made when the first one
asks, and kept while the parameter is being looked at.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.gradients.batch import Batch
from assay.gradients.engine import Engine
from assay.gradients.inner import DenseGradients, Form, Gradients, form_for, gather, squared_norms
from assay.gradients.projection import Projector
from assay.gradients.rules import Contribution, Dense, Rows, cut
from assay.progress import Advance

Transform = Callable[[str, Float[Tensor, "n p"]], Float[Tensor, "n p"]]
"""From a parameter's name and dense gradients of n examples to as many of the same size. It treats every
example alike and leaves its argument as it is; what it makes of zeros need not be zeros."""

LARGEST = 2**28
"""Numbers that the dense gradients of one parameter may have at a time; a larger batch is cut into rows."""


class View:
    """The gradients of one parameter for some examples of a pass, whose numbers are `positions` (n,).

    Where the view is not `touched` they are zeros.
    """

    def __init__(
        self,
        name: str,
        parameter: nn.Parameter,
        contributions: Sequence[Contribution],
        positions: Int[Tensor, "n"],
        completion_tokens: Int[Tensor, "n"],
    ) -> None:
        self.name = name
        self.positions = positions
        self.touched = bool(contributions)
        self._parameter = parameter
        self._contributions = contributions
        self._tokens = completion_tokens
        self._made: dict[Hashable, Gradients] = {}

    def gradients(
        self,
        form: Form = "dense",
        transform: Transform | None = None,
        projector: Projector | None = None,
        mean: bool = False,
    ) -> Gradients:
        """The gradients after `transform` and after projection; those are dense whatever `form` says.

        With `mean` the transform is given gradients of the token mean: each is divided by its example's
        completion tokens first. Without a transform `mean` changes nothing.
        """
        if projector is not None:
            key = ("projected", projector.projection, id(transform), mean)
            return self._once(key, lambda: self._projected(projector, transform, mean))
        if transform is not None:
            return self._once(
                ("transformed", id(transform), mean), lambda: self._transformed(transform, mean)
            )
        return self._once(form, lambda: self._gathered(form))

    def squared_norms(self) -> Float[Tensor, "n"]:
        """‖g‖² without transform, float64, from a form that is there, or else the cheaper one."""
        known = self._made.get("dense", self._made.get("factored"))
        return squared_norms(self.gradients(self._cheaper()) if known is None else known)

    def _once(self, key: Hashable, make: Callable[[], Gradients]) -> Gradients:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _gathered(self, form: Form) -> Gradients:
        if self.touched:
            return gather(self._contributions, form, self._parameter.shape, len(self.positions))
        precision = torch.promote_types(self._parameter.dtype, torch.float32)
        return DenseGradients(
            self._parameter.new_zeros(len(self.positions), self._parameter.numel(), dtype=precision)
        )

    def _transformed(self, transform: Transform, mean: bool) -> DenseGradients:
        values = self._dense()
        return DenseGradients(transform(self.name, values / self._tokens[:, None] if mean else values))

    def _projected(self, projector: Projector, transform: Transform | None, mean: bool) -> DenseGradients:
        shape = self._parameter.shape
        if transform is None and self.touched:
            parts, examples = self._contributions, len(self.positions)
            return DenseGradients(projector.contributions(self.name, parts, shape, examples))
        values = self.gradients(transform=transform, mean=mean)
        assert isinstance(values, DenseGradients)
        return DenseGradients(projector.dense(self.name, values.values, shape))

    def _dense(self) -> Float[Tensor, "n p"]:
        gradients = self.gradients("dense")
        assert isinstance(gradients, DenseGradients)
        return gradients.values

    def _cheaper(self) -> Form:
        """For the product of an example's gradient with itself."""
        lengths = [_tokens_of(part) for part in self._contributions]
        if None in lengths:
            return "dense"
        tokens = sum(length for length in lengths if length is not None)
        return form_for(self._parameter.shape, 0, tokens, 1, tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """Loss (nats) and ‖g‖² of every example of a pass, float64, summed over completion tokens."""

    loss: Float[np.ndarray, "n"]
    sqnorm: Float[np.ndarray, "n"]


def sweep(
    engine: Engine,
    tokens: Sequence[Tokens],
    receive: Callable[[View], None],
    *,
    token_budget: int,
    advance: Advance,
    everywhere: bool = False,
) -> Swept:
    """Forward and backward over `tokens` once, handing over every parameter that a batch touches.

    With `everywhere` the parameters that a batch does not touch are handed over, too, for all its examples.
    `advance` is told the tokens of each finished batch. Raises NumericsError naming an example whose loss or
    gradient is not finite.
    """
    loss, sqnorm = (torch.zeros(len(tokens), dtype=torch.float64, device=engine.device) for _ in range(2))
    for rows in _batches(tokens, token_budget, engine.one_at_a_time):
        members = [tokens[row] for row in rows]
        positions = torch.tensor(rows, device=engine.device)
        counts = torch.tensor([max(1, one.completion_tokens) for one in members], device=engine.device)
        unseen = set(engine.trained) if everywhere else set()

        def show(
            name: str,
            parts: Sequence[Contribution],
            positions: Int[Tensor, "n"] = positions,
            counts: Int[Tensor, "n"] = counts,
            unseen: set[str] = unseen,
        ) -> None:
            unseen.discard(name)
            for view in _views(name, engine.trained[name], parts, positions, counts):
                if view.touched or everywhere:
                    receive(view)
                if view.touched:
                    sqnorm.index_add_(0, view.positions, view.squared_norms())

        loss[positions] = engine.run(Batch.of(members, engine.device), show)
        with torch.no_grad():
            for name in sorted(unseen):
                show(name, ())
        require_finite(sqnorm[positions], members, "The gradient")
        advance(sum(map(len, members)))
    return Swept(loss.cpu().numpy(), sqnorm.cpu().numpy())


def require_finite(values: Float[Tensor, "n *m"], tokens: Sequence[Tokens], what: str) -> None:
    """Raise NumericsError naming the first of `tokens` whose row of `values` is not finite."""
    bad = (~values.isfinite()).flatten(1 if values.dim() > 1 else 0)
    rows = (bad.any(1) if bad.dim() > 1 else bad).nonzero().flatten().tolist()
    if rows:
        raise NumericsError(
            f"{what} of example {tokens[rows[0]].id!r} is not finite: the model has diverged, or --dtype is "
            "too small."
        )


def _batches(tokens: Sequence[Tokens], token_budget: int, one_at_a_time: bool) -> list[list[int]]:
    if one_at_a_time:
        return [[row] for row in range(len(tokens))]
    return token_budget_batches([len(one) for one in tokens], token_budget)


def _views(
    name: str,
    parameter: nn.Parameter,
    parts: Sequence[Contribution],
    positions: Int[Tensor, "n"],
    counts: Int[Tensor, "n"],
) -> Iterator[View]:
    """A parameter's gradients as one view, or several of fewer rows where they are large."""
    examples = len(positions)
    rows = max(1, LARGEST // parameter.numel())
    for start in range(0, examples, rows):
        mine = range(start, min(start + rows, examples))
        own = parts if len(mine) == examples else [some for each in parts if (some := cut(each, mine))]
        yield View(name, parameter, own, positions[start : mine.stop], counts[start : mine.stop])


def _tokens_of(part: Contribution) -> int | None:
    """Tokens of a row; None where they are already summed."""
    match part:
        case Dense():
            return None
        case Rows(ids, _):
            return ids.shape[1]
        case _:
            return part.left.shape[1]
