"""A LoRA layer run as one step says what PEFT says, and only layers that are plain are run so."""

from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from peft import LoraConfig
from torch import nn

from assay.gradients import Engine, products
from assay.gradients import fused as fused_module
from assay.gradients.lora import plain_adapter
from tests.gradients.models import examples, family, with_lora

IDS = torch.tensor([[5, 9, 3, 11, 4], [8, 3, 3, 7, 6]])


def lora_layer(model: nn.Module) -> nn.Module:
    return model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}], ids=["lora", "rslora"])
def test_in_float64_the_output_is_pefts(options: dict) -> None:
    model = with_lora(family("llama", dtype=torch.float64), "llama", **options).eval()
    expected = model(input_ids=IDS).logits
    with Engine(model) as engine, torch.no_grad():
        engine.check(examples(1))
        assert "forward" in vars(lora_layer(model))
        engine._batch_size = 2
        found = model(input_ids=IDS).logits
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert "forward" not in vars(lora_layer(model))


@pytest.mark.parametrize("form", ["dense", "factored"])
def test_in_float64_products_are_those_of_hooks_on_pefts_modules(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("assay.gradients.products"), "form_for", lambda *_: form)
    model = with_lora(family("qwen3", dtype=torch.float64), "qwen3")
    groups = {"a": examples(5, weighted=True)}
    fused = products(model, groups, [("a", "a")])
    monkeypatch.setattr(fused_module, "plain_adapter", lambda _: None)
    hooked = products(model, groups, [("a", "a")])
    torch.testing.assert_close(fused.dot["a", "a"], hooked.dot["a", "a"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fused.loss["a"], hooked.loss["a"], rtol=1e-12, atol=1e-12)
    assert fused.coverage == hooked.coverage


def test_adapters_in_fp32_on_a_bf16_base_keep_their_precision_and_the_bases_dtype() -> None:
    model = with_lora(family("llama", dtype=torch.bfloat16), "llama").eval()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    layer = lora_layer(model)
    inputs = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    expected = layer(inputs)
    with Engine(model) as engine:
        engine.check(examples(1))
        engine._batch_size = 2
        assert "forward" in vars(layer)
        found = layer(inputs)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def two_active(model: nn.Module) -> None:
    model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj", "up_proj", "down_proj"]))
    model.base_model.set_adapter(["default", "second"])


def in_training(model: nn.Module) -> None:
    lora_layer(model).lora_dropout.train()


def watched(model: nn.Module) -> None:
    lora_layer(model).lora_A["default"].register_forward_hook(lambda *_: None)


def replaced(model: nn.Module) -> None:
    layer = lora_layer(model)
    layer.forward = layer.forward


def switched_off(model: nn.Module) -> None:
    lora_layer(model).enable_adapters(False)


def merged(model: nn.Module) -> None:
    lora_layer(model).merge()


@pytest.mark.parametrize("change", [two_active, in_training, watched, replaced, switched_off, merged])
def test_a_layer_that_does_more_or_less_than_its_formula_is_left_to_peft(
    change: Callable[[nn.Module], None],
) -> None:
    model = with_lora(family("llama"), "llama").eval()
    assert plain_adapter(lora_layer(model)) is not None
    change(model)
    assert plain_adapter(lora_layer(model)) is None


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_bias": True}], ids=["dora", "bias"])
def test_variants_are_left_to_peft(options: dict) -> None:
    if "lora_bias" in options:
        model = family("llama")
        model = with_lora(add_biases(model), "llama", **options).eval()
    else:
        model = with_lora(family("llama"), "llama", **options).eval()
    assert plain_adapter(lora_layer(model)) is None


def add_biases(model: nn.Module) -> nn.Module:
    """PEFT wants a base with a bias before it puts one beside B."""
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_features))
    return model
