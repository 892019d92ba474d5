"""Projected inner products are right on average for every shape, and as far apart as the formula says."""

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.errors import ConfigError
from assay.gradients import projection as module
from assay.gradients.projection import Projection, Projector, entries, projection_error
from assay.gradients.rules import Contribution, Dense, Outer, Rows

KINDS = ["rademacher", "normal"]
TOKENS = 4


def outer(outputs: int, inputs: int, seed: int, like: Outer | None = None) -> Outer:
    """Two examples' factors; with `like`, gradients that are correlated with its."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(2, TOKENS, outputs, generator=generator, dtype=torch.float64)
    right = torch.randn(2, TOKENS, inputs, generator=generator, dtype=torch.float64)
    return Outer(left, right) if like is None else Outer(like.left + left, like.right + right)


def rows(vocabulary: int, inputs: int, seed: int, like: Rows | None = None) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocabulary, (2, TOKENS), generator=generator)
    values = torch.randn(2, TOKENS, inputs, generator=generator, dtype=torch.float64)
    return Rows(ids, values) if like is None else Rows(like.ids, like.values + values)


def dense(size: int, seed: int, like: Dense | None = None) -> Dense:
    values = torch.randn(2, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Dense(values) if like is None else Dense(like.values + values)


def gradient(part: Contribution, shape: torch.Size) -> Tensor:
    """Written out by hand, (n, p)."""
    match part:
        case Dense(values):
            return values
        case Outer(left, right):
            return torch.einsum("nto,nti->noi", left, right).flatten(1)
        case Rows(ids, values):
            one_hot = torch.nn.functional.one_hot(ids, shape[0]).to(values.dtype)
            return torch.einsum("nto,nti->noi", one_hot, values).flatten(1)


SHAPES = {
    "both sides": (outer, (9, 11)),
    "wide": (outer, (2, 40)),
    "tall": (outer, (40, 2)),
    "one output": (outer, (1, 30)),
    "one input": (outer, (30, 1)),
    "fewer outputs than numbers": (outer, (3, 30)),
    "embedding rows": (rows, (50, 7)),
    "few embedding rows": (rows, (3, 40)),
    "bias": (dense, (45,)),
    "three dimensions": (None, (3, 5, 8)),
}


def pair(name: str) -> tuple[Contribution, Contribution, torch.Size]:
    make, dimensions = SHAPES[name]
    shape = torch.Size(dimensions)
    if make is None:
        first = dense(shape.numel(), 1)
        return first, dense(shape.numel(), 2, first), shape
    first = make(*dimensions, 1)
    return first, make(*dimensions, 2, first), shape


def estimates(projection_size: int, kind: str, name: str, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Projected products of two gradients, (seeds, 2, 2), and the exact ones (2, 2)."""
    first, second, shape = pair(name)
    found = []
    for seed in range(seeds):
        projector = Projector(Projection(projection_size, kind, seed))  # type: ignore[arg-type]
        ours = projector.contributions("w", [first], shape, 2)
        theirs = projector.contributions("w", [second], shape, 2)
        assert ours.shape[1] <= projection_size
        found.append((ours @ theirs.T).numpy())
    return np.stack(found), (gradient(first, shape) @ gradient(second, shape).T).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_products_are_unbiased(name: str, kind: str) -> None:
    found, truth = estimates(16, kind, name, seeds=250)
    standard_error = found.std(0, ddof=1) / np.sqrt(len(found))
    assert (standard_error > 0).all(), "nothing was projected"
    assert (np.abs(found.mean(0) - truth) < 4.5 * standard_error).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["wide", "tall", "one output", "embedding rows", "bias"])
def test_the_variance_falls_as_one_over_the_size_where_a_side_is_whole(name: str, kind: str) -> None:
    sizes = {"embedding rows": (56, 224)}.get(name, (4, 16))
    small, large = (estimates(size, kind, name, seeds=300)[0].var(0) for size in sizes)
    assert 3 < np.exp(np.log(small / large).mean()) < 5.3


def test_the_variance_of_two_normal_sides_is_the_one_of_the_formula() -> None:
    first, second, shape = pair("both sides")
    projection = Projection(20)
    a, b = projection.shape(shape)
    assert a < shape[0]
    assert b < shape[1]
    g = gradient(first, shape)[0].view(shape)
    h = gradient(second, shape)[0].view(shape)
    C, D = g.T @ h, h @ g.T
    squares = [float(one.square().sum()) for one in (g, h, C, D)]
    formula = (
        (squares[2] + float((C @ C).trace())) / b
        + (squares[3] + float((D @ D).trace())) / a
        + (squares[0] * squares[1] + float((g * h).sum()) ** 2 + squares[2] + squares[3]) / (a * b)
    )
    found, _ = estimates(20, "normal", "both sides", seeds=2000)
    assert found[:, 0, 0].var() == pytest.approx(formula, rel=0.2)


@pytest.mark.parametrize("name", SHAPES)
def test_a_size_as_large_as_the_parameter_leaves_it_whole(name: str) -> None:
    first, _, shape = pair(name)
    found = Projector(Projection(shape.numel())).contributions("w", [first], shape, 2)
    torch.testing.assert_close(found, gradient(first, shape))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 50, 120])
@pytest.mark.parametrize("dimensions", [(1, 1), (1, 30), (30, 1), (3, 30), (9, 11), (40,), (2, 3, 8), ()])
def test_no_more_numbers_than_the_size(dimensions: tuple[int, ...], size: int) -> None:
    a, b = Projection(size).shape(torch.Size(dimensions))
    numel = torch.Size(dimensions).numel()
    assert 1 <= a * b <= min(size, numel)
    assert a * b > min(size, numel) / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_gradient_itself_is_projected_as_its_contributions_are(name: str, kind: str) -> None:
    first, _, shape = pair(name)
    projector = Projector(Projection(16, kind))  # type: ignore[arg-type]
    torch.testing.assert_close(
        projector.dense("w", gradient(first, shape), shape),
        projector.contributions("w", [first], shape, 2),
    )


def test_contributions_of_single_examples_and_several_modules_add_up() -> None:
    shape = torch.Size((50, 7))
    embedded, head = rows(50, 7, 1), outer(50, 7, 2)
    alone = Outer(head.left[1:], head.right[1:], example=1)
    projector = Projector(Projection(16))
    found = projector.contributions("w", [alone, embedded], shape, 2)
    summed = gradient(embedded, shape)
    summed[1] += gradient(head, shape)[1]
    torch.testing.assert_close(found, projector.dense("w", summed, shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHAPES)
def test_blocks_and_what_was_kept_change_nothing(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, shape = pair(name)
    monkeypatch.setattr(module, "BLOCK", 12)
    projector = Projector(Projection(4, kind))  # type: ignore[arg-type]
    once = projector.contributions("w", [first], shape, 2)
    projector.contributions("w", [second], shape, 2)
    torch.testing.assert_close(projector.contributions("w", [first], shape, 2), once)
    torch.testing.assert_close(projector.dense("w", gradient(first, shape), shape), once)


def test_matrices_follow_from_seed_name_and_side_alone() -> None:
    drawn = {
        (seed, kind, name, side, start): entries(Projection(9, kind, seed), name, side, start, (3, 50))
        for seed in (0, 1)
        for kind in ("rademacher", "normal")
        for name in ("a", "b")
        for side in ("left", "right")
        for start in (0, 50)
    }
    for key, values in drawn.items():
        seed, kind, name, side, start = key
        again = entries(Projection(4, kind, seed), name, side, start, (3, 50))  # type: ignore[arg-type]
        assert torch.equal(values, again), "neither size nor earlier draws matter"
        assert not any(torch.equal(values, other) for k, other in drawn.items() if k != key)
    signs = entries(Projection(9), "a", "left", 0, (100, 101))
    assert signs.unique().tolist() == [-1, 1]
    assert abs(float(signs.double().mean())) < 4.5 / np.sqrt(signs.numel())


def test_the_first_entries_are_the_same_for_ever() -> None:
    """Runs that are continued on another machine or day need the same matrices."""
    signs = entries(Projection(8, seed=3), "layer.weight", "right", 0, (2, 8))
    assert signs.tolist() == [[-1, 1, -1, -1, -1, 1, -1, -1], [1, -1, 1, -1, -1, -1, 1, -1]]


def test_the_stated_error_is_that_of_the_arrays() -> None:
    exact = np.array([[1.0, -2.0], [2.0, 0.0], [3.0, 2.0]])
    error = projection_error(exact, exact + np.array([[0.1, 0.0], [0.0, 0.0], [0.0, -3.0]]))
    assert error.relative == pytest.approx(np.sqrt((0.01 + 9) / 22))
    assert error.spearman == pytest.approx((1.0 + 0.5) / 2)
    assert np.isnan(projection_error(exact[:2], exact[:2]).spearman)


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        Projection(0)
