"""Mixtures of experts: what hooks cannot see is found and measured by the slow exact path, never missed."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from assay.gradients import products
from tests.gradients.models import VOCABULARY, autograd_gradients, examples


def mixture() -> nn.Module:
    torch.manual_seed(0)
    return MixtralForCausalLM(
        MixtralConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            num_local_experts=4,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
    )


def assert_exact(model: nn.Module) -> None:
    tokens = examples(4)
    found = products(model, {"a": tokens}, [("a", "a")])
    gradients = autograd_gradients(model, tokens)[0]
    truth = (gradients @ gradients.T).numpy()
    assert np.linalg.norm(found.dot["a", "a"] - truth) / np.linalg.norm(truth) < 1e-5


def test_full_fine_tuning_of_experts_is_exact_by_the_slow_path() -> None:
    model = mixture()
    assert_exact(model)
    slow = products(model, {"a": examples(2)}, [("a", "a")]).coverage.slow
    assert any("experts" in name for name in slow)


def test_adapters_on_attention_beside_experts_are_covered_by_hooks() -> None:
    model = get_peft_model(
        mixture(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    assert_exact(model)
    assert products(model, {"a": examples(2)}, [("a", "a")]).coverage.fraction == 1


def test_adapters_whose_weights_are_used_without_a_call_are_not_missed() -> None:
    config = LoraConfig(
        r=2, target_modules=[], target_parameters=["experts.gate_up_proj"], init_lora_weights=False
    )
    model = mixture()
    if not any(name.endswith("experts.gate_up_proj") for name, _ in model.named_parameters()):
        pytest.skip("this transformers keeps experts as separate modules")
    model = get_peft_model(model, config)
    assert_exact(model)
    assert products(model, {"a": examples(2)}, [("a", "a")]).coverage.fraction == 0
