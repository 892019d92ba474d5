"""Products are the inner products of the true gradients, whatever the model and however batches fall."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

from assay.errors import ModelError, NumericsError
from assay.gradients.products import products
from tests.gradients.models import autograd_gradients, examples, family, with_lora

FAMILIES = ["llama", "qwen3", "gemma3", "gpt2"]
WANTED = [("a", "b"), ("a", "a"), ("b", "b")]


def relative_error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def truth_in_float64(model: nn.Module, groups: dict[str, list]) -> dict[tuple[str, str], np.ndarray]:
    precise = copy.deepcopy(model).double()
    gradients = {name: autograd_gradients(precise, group)[0] for name, group in groups.items()}
    return {(a, b): (gradients[a] @ gradients[b].T).numpy() for a, b in WANTED}


def assert_products_match(model: nn.Module, tolerance: float = 1e-5, **options: object) -> None:
    groups = {"a": examples(5, seed=1, weighted=True), "b": examples(3, seed=2)}
    truth = truth_in_float64(model, groups)
    found = products(model, groups, WANTED, token_budget=40, **options)
    for pair in WANTED:
        assert relative_error(found.dot[pair], truth[pair]) < tolerance
    np.testing.assert_allclose(found.sqnorm["a"], np.diag(truth["a", "a"]), rtol=10 * tolerance)
    losses = autograd_gradients(copy.deepcopy(model).double(), groups["a"])[1].numpy()
    np.testing.assert_allclose(found.loss["a"], losses, rtol=tolerance)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", FAMILIES)
def test_products_with_lora_equal_a_float64_autograd_loop(name: str, attention: str) -> None:
    assert_products_match(with_lora(family(name, attention=attention), name))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_products_of_full_fine_tuning_equal_a_float64_autograd_loop(name: str, tied: bool) -> None:
    assert_products_match(family(name, tied=tied))


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True, "rank_pattern": {"up_proj": 2}, "alpha_pattern": {"up_proj": 3}},
        {"bias": "lora_only"},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
    ],
    ids=["rslora-patterns", "bias", "dora", "head-saved", "embedding-saved"],
)
def test_products_with_lora_options_equal_a_float64_autograd_loop(options: dict) -> None:
    assert_products_match(with_lora(family("llama", tied=False), "llama", **options))


def test_an_uncovered_parameter_takes_the_slow_path_and_is_named() -> None:
    model = with_lora(family("llama"), "llama", use_dora=True)
    found = products(model, {"a": examples(2)}, [("a", "a")])
    assert found.coverage.fraction < 1
    assert any("magnitude" in name for name in found.coverage.slow)
    assert "one example at a time" in found.coverage.sentence()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_gradient_checkpointing_changes_nothing(name: str) -> None:
    model = with_lora(family(name), name)
    groups = {"a": examples(4)}
    plain = products(model, groups, [("a", "a")]).dot["a", "a"]
    model.gradient_checkpointing_enable()
    model.train()
    runs: list[int] = []
    first = next(m for n, m in model.named_modules() if n.endswith(("q_proj", "c_attn")))
    first.register_forward_hook(lambda *_: runs.append(1))
    checkpointed = products(model, groups, [("a", "a")]).dot["a", "a"]
    assert len(runs) == 5, "two looks, the model's own logits, one forward and its recomputation"
    np.testing.assert_allclose(checkpointed, plain, rtol=1e-6)
    assert all(module.training for module in model.modules())


def test_bf16_products_stay_near_float64() -> None:
    model = with_lora(family("llama", dtype=torch.bfloat16), "llama")
    assert_products_match(model, tolerance=0.1)


@pytest.mark.parametrize("factored", [True, False])
@pytest.mark.parametrize("memory", [1, 30_000, 10**9])
def test_memory_blocks_and_forms_do_not_change_products(
    memory: int, factored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["assay.gradients.products"]
    model = family("llama")
    groups = {"a": examples(5, seed=1), "b": examples(4, seed=2)}
    expected = products(model, groups, WANTED)
    monkeypatch.setattr(
        module, "form_for", lambda shape, *_: "factored" if factored and len(shape) == 2 else "dense"
    )
    found = products(model, groups, WANTED, memory_bytes=memory)
    for pair in WANTED:
        assert relative_error(found.dot[pair], expected.dot[pair]) < 1e-5
        assert np.isfinite(found.dot[pair]).all()


def test_results_do_not_depend_on_batch_composition_padding_or_order() -> None:
    model = with_lora(family("qwen3"), "qwen3")
    tokens = examples(9, seed=3)
    one_batch = products(model, {"a": tokens}, [("a", "a")], token_budget=10_000).dot["a", "a"]
    singles = products(model, {"a": tokens}, [("a", "a")], token_budget=1).dot["a", "a"]
    turned = products(model, {"a": tokens[::-1]}, [("a", "a")], token_budget=30).dot["a", "a"][::-1, ::-1]
    assert relative_error(singles, one_batch) < 1e-5
    assert relative_error(turned, one_batch) < 1e-5


def test_only_what_is_wanted_is_computed_and_nothing_is_missing() -> None:
    model = with_lora(family("llama"), "llama")
    found = products(model, {"a": examples(3), "b": examples(2, seed=5)}, [("a", "b")])
    assert list(found.dot) == [("a", "b")]
    assert np.isfinite(found.dot["a", "b"]).all()
    assert np.isfinite(found.sqnorm["a"]).all()


def test_the_model_is_left_as_it_was() -> None:
    model = with_lora(family("llama"), "llama").train()
    state = {name: (p.requires_grad, p.grad, p.detach().clone()) for name, p in model.named_parameters()}
    products(model, {"a": examples(2)}, [("a", "a")])
    for name, parameter in model.named_parameters():
        required, grad, value = state[name]
        assert parameter.requires_grad == required
        assert parameter.grad is grad
        assert torch.equal(parameter, value)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_loss_that_is_not_finite_names_the_example() -> None:
    model = with_lora(family("llama"), "llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    tokens = examples(3)
    tokens[1].input_ids[:] = 7
    for other in (0, 2):
        tokens[other].input_ids[tokens[other].input_ids == 7] = 8
    tokens[1].weights[1] = 1
    with pytest.raises(NumericsError, match=tokens[1].id):
        products(model, {"a": tokens}, [("a", "a")])


def test_a_model_without_trained_parameters_is_refused() -> None:
    model = family("llama").requires_grad_(False)
    with pytest.raises(ModelError, match="requires gradients"):
        products(model, {"a": examples(2)}, [("a", "a")])


def test_a_head_that_changes_its_logits_is_refused() -> None:
    class Doubled(type(family("llama"))):  # type: ignore[misc]
        def forward(self, *args: object, **kwargs: object) -> object:
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * 2
            return output

    model = family("llama")
    model.__class__ = Doubled
    with pytest.raises(ModelError, match="head is not one assay knows"):
        products(model, {"a": examples(2)}, [("a", "a")])
