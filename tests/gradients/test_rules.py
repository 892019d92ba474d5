"""Some rows of a batch contribute what they contribute to the whole batch."""

import pytest
import torch

from assay.gradients.inner import DenseGradients, gather
from assay.gradients.rules import Contribution, Dense, Outer, Rows, cut

SHAPE = torch.Size([5, 3])


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def dense(parts: list[Contribution], examples: int) -> torch.Tensor:
    found = gather(parts, "dense", SHAPE, examples)
    assert isinstance(found, DenseGradients)
    return found.values


@pytest.mark.parametrize(
    "part",
    [
        Outer(random(4, 2, 5), random(4, 2, 3)),
        Rows(torch.arange(8).reshape(4, 2) % 5, random(4, 2, 3)),
        Dense(random(4, 15)),
        Outer(random(1, 2, 5), random(1, 2, 3), example=2),
        Dense(random(1, 15), example=0),
    ],
)
@pytest.mark.parametrize("rows", [range(1), range(1, 4), range(4)])
def test_a_cut_holds_the_gradients_of_its_rows(part: Contribution, rows: range) -> None:
    found = cut(part, rows)
    expected = dense([part, Dense(torch.zeros(4, 15, dtype=torch.float64))], 4)[rows.start : rows.stop]
    if found is None:
        assert not expected.any()
    else:
        torch.testing.assert_close(
            dense([found, Dense(torch.zeros(len(rows), 15, dtype=torch.float64))], len(rows)), expected
        )
