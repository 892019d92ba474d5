"""Norms and rotary embeddings run as one step say what transformers says, and are put back."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from assay.gradients import Batch, Engine
from assay.gradients.norms import fused_rms_norm
from assay.gradients.rotary import fused_rotary
from tests.gradients.models import examples, family, with_lora


def value_and_gradient(function: Callable[[Tensor], Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
    leaf = inputs.clone().requires_grad_(True)
    output = function(leaf)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    return output.detach(), torch.autograd.grad((output * weights).sum(), leaf)[0]


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_an_rms_norm_and_its_gradient_are_those_of_the_module(name: str) -> None:
    model = family(name)
    norm = next(module for path, module in model.named_modules() if path.endswith("input_layernorm"))
    nn.init.normal_(norm.weight)
    forward = fused_rms_norm(norm.requires_grad_(False))
    assert forward is not None
    inputs = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    for found, expected in zip(
        value_and_gradient(forward, inputs), value_and_gradient(norm, inputs), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(forward(inputs.bfloat16()), norm(inputs.bfloat16()))


def test_a_norm_that_does_something_else_is_left_alone() -> None:
    class ShiftedRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(8), requires_grad=False), 1e-6

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs * torch.rsqrt(inputs.square().mean(-1, keepdim=True) + self.eps) * self.weight + 1

    assert fused_rms_norm(ShiftedRMSNorm()) is None
    assert fused_rms_norm(nn.LayerNorm(8)) is None
    assert fused_rms_norm(nn.Linear(8, 8)) is None


def test_rotations_and_their_gradients_are_those_of_transformers() -> None:
    model = family("llama", dtype=torch.float64)
    file = sys.modules[type(model).__module__]
    own = file.apply_rotary_pos_emb
    generator = torch.Generator().manual_seed(0)
    q, cos, sin = (
        torch.randn(shape, dtype=torch.float64, generator=generator)
        for shape in ((2, 3, 5, 8), (1, 5, 8), (1, 5, 8))
    )

    def turned_by(rotate: Callable[..., tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return value_and_gradient(lambda x: torch.cat(rotate(x, 2 * x[:, :1], cos, sin), 1), q)

    expected = turned_by(own)
    with fused_rotary(model):
        fused = file.apply_rotary_pos_emb
        assert fused is not own
        found = turned_by(fused)
        half = q.float(), q.float(), cos, sin
        assert fused(*half)[0].dtype == own(*half)[0].dtype == torch.float64
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert file.apply_rotary_pos_emb is own


def test_another_convention_of_rotating_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = family("llama")
    file = sys.modules[type(model).__module__]

    def interleaved(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        def turn(x: Tensor) -> Tensor:
            return torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)

        return q * cos[:, None] + turn(q) * sin[:, None], k * cos[:, None] + turn(k) * sin[:, None]

    monkeypatch.setattr(file, "apply_rotary_pos_emb", interleaved)
    with fused_rotary(model):
        assert file.apply_rotary_pos_emb is interleaved


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_frozen_norms_are_fused_and_trained_ones_are_not_and_all_is_put_back(full: bool) -> None:
    model = family("llama") if full else with_lora(family("llama"), "llama")
    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    with Engine(model) as engine:
        engine.check(examples(2))
        engine.run(Batch.of(examples(2), torch.device("cpu")), lambda *_: None)
        assert [("forward" in vars(norm)) for norm in norms] == [not full] * len(norms)
    assert not any("forward" in vars(module) for module in model.modules())
