"""The loss at the head and its gradient, block by block of the vocabulary, are those of the whole softmax."""

import pytest
import torch
from torch import Tensor, nn

from assay.gradients import head as heads
from assay.gradients.head import Head, frozen_loss


def by_autograd(head: Head, hidden: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    leaf = hidden.double().requires_grad_(True)
    logits = nn.functional.linear(
        leaf,
        head.projection.weight.double(),
        None if head.projection.bias is None else head.projection.bias.double(),
    )
    logits = logits * head.scale
    logits = logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)
    losses = nn.functional.cross_entropy(logits, targets, reduction="none") * weights
    return losses.detach(), torch.autograd.grad(losses.sum(), leaf)[0]


@pytest.mark.parametrize("block", [7, 10, 41, 4096])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.5, None), (1.0, 3.0), (2.0, 5.0)])
@pytest.mark.parametrize("bias", [False, True])
def test_loss_and_gradient_are_those_of_autograd_in_float64(
    block: int, scale: float, softcap: float | None, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "BLOCK", block)
    torch.manual_seed(0)
    head = Head(nn.Identity(), nn.Linear(8, 41, bias=bias).double().requires_grad_(False), scale, softcap)
    hidden, weights = 4 * torch.randn(60, 8, dtype=torch.float64), torch.rand(60, dtype=torch.float64)
    targets = torch.arange(60) % 41
    losses, gradient = frozen_loss(head, hidden, targets, weights)
    expected, expected_gradient = by_autograd(head, hidden, targets, weights)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)
    alone, nothing = frozen_loss(head, hidden, targets, weights, gradient=False)
    assert torch.equal(alone, losses)
    assert nothing is None


@pytest.mark.parametrize("sure", [10.0, 20.0, 60.0, -200.0])
def test_a_model_that_is_sure_keeps_its_digits_in_fp32(sure: float) -> None:
    torch.manual_seed(0)
    projection = nn.Linear(8, 41, bias=False).requires_grad_(False)
    head = Head(nn.Identity(), projection)
    direction = projection.weight[3] / projection.weight[3].square().sum()
    hidden, targets = sure * direction[None], torch.tensor([3])
    losses, gradient = frozen_loss(head, hidden, targets, torch.ones(1))
    expected, expected_gradient = by_autograd(head, hidden, targets, torch.ones(1))
    torch.testing.assert_close(losses.double(), expected, rtol=1e-4, atol=0)
    assert float((gradient - expected_gradient).norm() / expected_gradient.norm()) < 1e-4
