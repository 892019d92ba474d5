"""Random projections of gradients that keep inner products right on average, for when many must be held.

Knows nothing of models. A matrix parameter's gradient g (o, i) becomes L g Rᵀ, where L (a, o) and R (b, i)
have independent entries of mean 0 and variance 1/a and 1/b; a side no larger than its share stays whole.
E[LᵀL] and E[RᵀR] are the identity, and L and R are independent, so ⟨L g Rᵀ, L h Rᵀ⟩ = ⟨g, h⟩ on average.
With Σ_t l_t r_tᵀ = g, L g Rᵀ = Σ_t (L l_t)(R r_t)ᵀ: the gradient of a large matrix is never formed.

Where both sides are projected with normal entries, the variance of one inner product is, with C = gᵀh and
D = h gᵀ, (‖C‖² + tr C²)/b + (‖D‖² + tr D²)/a + (‖g‖²‖h‖² + ⟨g,h⟩² + ‖C‖² + ‖D‖²)/(ab); a side that is left
whole takes its terms with it. So the error of a parameter with one whole side (a LoRA factor, a bias) falls
as size^(−1/2), that of one with two projected sides between size^(−1/4), for aligned gradients of low rank,
and size^(−1/2).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from assay.errors import ConfigError
from assay.fingerprint import digest
from assay.gradients.rules import Contribution, Dense, Outer, Rows

Side = Literal["left", "right"]

BLOCK = 2**25
"""Entries of a matrix that exist at a time; a matrix of one block is kept, a larger one is made anew."""


@dataclass(frozen=True, slots=True)
class Projection:
    """At most `size` numbers per parameter. `seed` and a parameter's name decide its matrices.

    Raises ConfigError where `size` is below 1.
    """

    size: int
    kind: Literal["rademacher", "normal"] = "rademacher"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"A projection needs a size of at least 1, not {self.size}.")

    def shape(self, shape: torch.Size) -> tuple[int, int]:
        """(a, b) that a parameter's gradient is reduced to; a · b ≤ size.

        All dimensions but the last count as one; a vector is a matrix of one row.
        """
        outputs, inputs = _as_matrix(shape)
        share = math.isqrt(self.size)
        if outputs <= share:
            return outputs, min(inputs, self.size // outputs)
        if inputs <= share:
            return min(outputs, self.size // inputs), inputs
        return share, min(inputs, self.size // share)


class Projector:
    """Applies one projection. Its matrices are made from the seed when first needed and kept in memory.

    The same on every device and in every order of calls: SHA-256 of seed, name and side keys a counter-based
    generator (Philox; Salmon et al. 2011, doi 10.1145/2063384.2063405) on the CPU.
    """

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self._kept: dict[tuple[str, Side], Tensor] = {}

    def contributions(
        self, name: str, parts: Sequence[Contribution], shape: torch.Size, examples: int
    ) -> Float[Tensor, "n k"]:
        """Projected gradients of a batch of `examples`, from all contributions to the parameter `name`."""
        a, b = self.projection.shape(shape)
        total: Tensor | None = None
        for part in parts:
            found = self._one(name, part, shape)
            if total is None:
                total = found.new_zeros(examples, a * b)
            rows = slice(None) if part.example is None else slice(part.example, part.example + 1)
            total[rows] += found
        assert total is not None
        return total

    def dense(self, name: str, values: Float[Tensor, "n p"], shape: torch.Size) -> Float[Tensor, "n k"]:
        """Projected gradients from the gradients themselves; what `contributions` gives for the same ones."""
        a, b = self.projection.shape(shape)
        outputs, inputs = _as_matrix(shape)
        wide = _precise(values).reshape(len(values), outputs, inputs)
        narrow = self._times(wide, name, "right", b)
        return self._times(narrow.transpose(1, 2), name, "left", a).transpose(1, 2).flatten(1)

    def _one(self, name: str, part: Contribution, shape: torch.Size) -> Float[Tensor, "n k"]:
        a, b = self.projection.shape(shape)
        match part:
            case Dense(values):
                return self.dense(name, values, shape)
            case Outer(left, right) if _adding_up_first_is_cheaper(left.shape[1], a, b, shape):
                summed = torch.bmm(_precise(left).transpose(1, 2), _precise(right))
                return self.dense(name, summed.flatten(1), shape)
            case Outer(left, right):
                lefts = self._times(_precise(left), name, "left", a)
            case Rows(ids, right):
                lefts = self._columns(ids, name, a, shape[0], _precise(right))
        rights = self._times(_precise(right), name, "right", b)
        return torch.bmm(lefts.transpose(1, 2), rights).flatten(1)

    def _times(
        self, values: Float[Tensor, "*n d"], name: str, side: Side, rows: int
    ) -> Float[Tensor, "*n r"]:
        """Every vector times the matrix of a side."""
        width = values.shape[-1]
        if rows == width:
            return values
        total = values.new_zeros(*values.shape[:-1], rows)
        for start, block in self._blocks(name, side, rows, width, values.device):
            total += values[..., start : start + block.shape[1]] @ block.to(values.dtype).T
        return total.div_(math.sqrt(rows))

    def _columns(
        self, ids: Int[Tensor, "n t"], name: str, rows: int, width: int, like: Tensor
    ) -> Float[Tensor, "n t r"]:
        """`_times` of one-hot vectors: the left matrix's columns `ids`."""
        if rows == width:
            return torch.nn.functional.one_hot(ids, width).to(like.dtype)
        total = like.new_zeros(*ids.shape, rows)
        for start, block in self._blocks(name, "left", rows, width, like.device):
            inside = (ids >= start) & (ids < start + block.shape[1])
            total[inside] = block.T[ids[inside] - start].to(like.dtype)
        return total.div_(math.sqrt(rows))

    def _blocks(
        self, name: str, side: Side, rows: int, width: int, device: torch.device
    ) -> Iterator[tuple[int, Tensor]]:
        """The matrix (rows, width), entries of variance 1, as blocks of columns and where each starts."""
        step = max(1, BLOCK // rows)
        for start in range(0, width, step):
            kept = self._kept.get((name, side))
            if kept is None:
                shape = rows, min(step, width - start)
                kept = entries(self.projection, name, side, start, shape).to(device)
                if step >= width:
                    self._kept[name, side] = kept
            yield start, kept.to(device)


def entries(projection: Projection, name: str, side: Side, start: int, shape: tuple[int, int]) -> Tensor:
    """Columns from `start` on of a matrix: ±1 as int8, or standard normal numbers in fp32."""
    key = digest(str(projection.seed), projection.kind, name, side, str(start))
    stream = np.random.Philox(key=int(key, 16))
    count = math.prod(shape)
    if projection.kind == "normal":
        normal = np.random.Generator(stream).standard_normal(count, dtype=np.float32)
        return torch.from_numpy(normal).view(shape)
    words = np.asarray(stream.random_raw(-(-count // 64)), dtype="<u8")
    bits = np.unpackbits(words.view(np.uint8), count=count)
    return torch.from_numpy(bits.astype(np.int8)).mul_(2).sub_(1).view(shape)


@dataclass(frozen=True, slots=True)
class ProjectionError:
    """How far projected inner products are from the exact ones.

    `relative` is the root mean square of the difference over that of the exact ones. `spearman` is the rank
    correlation over candidates, averaged over queries; NaN below three candidates.
    """

    relative: float
    spearman: float
    candidates: int
    queries: int


def projection_error(exact: Float[np.ndarray, "n q"], projected: Float[np.ndarray, "n q"]) -> ProjectionError:
    """Compare the inner products of the same candidates and queries."""
    size = float(np.linalg.norm(exact))
    relative = float(np.linalg.norm(projected - exact)) / size if size else float("nan")
    candidates, queries = exact.shape
    varied = [q for q in range(queries) if np.ptp(exact[:, q]) > 0 and np.ptp(projected[:, q]) > 0]
    each = [spearmanr(exact[:, q], projected[:, q]).statistic for q in varied if candidates > 2]
    spearman = float(np.mean(each)) if each else float("nan")
    return ProjectionError(relative, spearman, candidates, queries)


def _adding_up_first_is_cheaper(tokens: int, a: int, b: int, shape: torch.Size) -> bool:
    """By multiplications for one example; so for a LoRA factor, unless examples are short."""
    o, i = shape
    by_token = tokens * (a * o * (a < o) + b * i * (b < i) + a * b)
    return tokens * o * i + o * i * b * (b < i) + a * o * b * (a < o) < by_token


def _as_matrix(shape: torch.Size) -> tuple[int, int]:
    inputs = shape[-1] if len(shape) else 1
    return max(1, shape.numel() // max(1, inputs)), inputs


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
