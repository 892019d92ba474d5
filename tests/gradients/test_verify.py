"""Verification passes where the engine is right, fails where it is wrong, and leaves the model alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from assay.data.example import Tokens
from assay.gradients import verify as module
from assay.gradients.engine import Engine
from assay.gradients.products import Products
from assay.gradients.verify import Check, verify
from tests.gradients.models import VOCABULARY, examples, family, with_lora

CHECKS = {"agreement", "batches", "order and padding", "meaning", "sign"}


def failed(checks: list[Check]) -> set[str]:
    assert {check.name for check in checks} == CHECKS
    return {check.name for check in checks if not check.passed}


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "gpt2"])
@pytest.mark.parametrize("lora", [True, False])
def test_it_passes_where_the_engine_is_right(name: str, lora: bool) -> None:
    model = with_lora(family(name), name) if lora else family(name)
    assert not failed(verify(model, examples(3, seed=1), examples(3, seed=2), token_budget=30))


def test_it_passes_in_bf16_where_a_small_step_would_be_lost() -> None:
    model = family("llama", dtype=torch.bfloat16)
    assert not failed(verify(model, examples(3, seed=1), examples(3, seed=2)))


def test_it_passes_on_long_examples_whose_loss_is_large() -> None:
    rng = np.random.default_rng(0)
    long = [
        Tokens(f"long-{n}", rng.integers(3, VOCABULARY, 60), np.r_[0, np.ones(59)].astype(np.float32))
        for n in range(2)
    ]
    assert not failed(verify(family("llama"), long, examples(2)))


def test_an_example_as_long_as_the_model_takes_can_be_verified() -> None:
    """GPT-2 has no position for a longer one."""
    ids = np.random.default_rng(0).integers(3, VOCABULARY, 64)
    full = Tokens("full", ids, np.r_[np.zeros(60), np.ones(4)].astype(np.float32))
    assert not failed(verify(family("gpt2"), [full, *examples(1)], examples(2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_leaves_weights_and_modes_as_they_were(dtype: torch.dtype) -> None:
    model = with_lora(family("llama", dtype=dtype), "llama")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    verify(model, examples(2), examples(2, seed=3))
    for name, parameter in model.named_parameters():
        assert parameter.dtype == before[name].dtype
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_a_lost_gradient_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Engine.run

    def losing(self: Engine, batch: Any, consume: Callable[..., None]) -> torch.Tensor:
        def some(name: str, contributions: list[Any]) -> None:
            if "layers.1.mlp.up_proj.lora_B" not in name:
                consume(name, contributions)

        return run(self, batch, some)

    monkeypatch.setattr(Engine, "run", losing)
    found = failed(verify(with_lora(family("llama"), "llama"), examples(3), examples(3, seed=2)))
    assert {"agreement", "meaning"} <= found


@pytest.mark.parametrize(
    ("bend", "expected"),
    [
        (lambda dot, budget: dot * (1.01 if budget == 1 else 1.0), {"batches"}),
        (lambda dot, budget: dot * (1.01 if budget > 100 else 1.0), {"order and padding"}),
        (lambda dot, budget: -dot, {"agreement", "meaning", "sign"}),
    ],
    ids=["singles differ", "padding differs", "the other sign"],
)
def test_what_is_wrong_is_named(
    bend: Callable[[Any, int], Any], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = module.products

    def bent(*args: Any, token_budget: int, **options: Any) -> Products:
        found = honest(*args, token_budget=token_budget, **options)
        dot = {pair: bend(values, token_budget) for pair, values in found.dot.items()}
        return Products(dot, found.sqnorm, found.loss, found.coverage)

    monkeypatch.setattr(module, "products", bent)
    model = with_lora(family("llama"), "llama")
    assert failed(verify(model, examples(3), examples(3, seed=2), token_budget=40)) >= expected
