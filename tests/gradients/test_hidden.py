"""Features from hidden states against a loop without padding, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from assay.errors import NumericsError
from assay.gradients.hidden import Pooling, cosines, hidden_features
from tests.gradients.models import examples, family, with_lora

POOLINGS: tuple[Pooling, ...] = ("rds", "embedding")


def one_by_one(model: nn.Module, tokens: list, pooling: Pooling) -> np.ndarray:
    """The definition: each example alone, the model's own hidden states, a loop over positions."""
    model.eval()
    rows = []
    for example in tokens:
        with torch.no_grad():
            out = model(input_ids=torch.from_numpy(example.input_ids)[None], output_hidden_states=True)
        states = out.hidden_states[-1][0].double().numpy()
        total, weight = np.zeros(states.shape[1]), 0.0
        for place, state in enumerate(states, start=1):
            share = place if pooling == "rds" else 1
            total, weight = total + share * state, weight + share
        rows.append(total / weight / np.linalg.norm(total / weight))
    return np.array(rows)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "gpt2"])
def test_features_are_weighted_means_of_each_example_alone(name: str, pooling: Pooling) -> None:
    model, tokens = family(name).double(), examples(9)
    found = hidden_features(model, tokens, [pooling], token_budget=64)[pooling]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_by_one(model, tokens, pooling), atol=1e-7)


def test_both_poolings_come_from_one_pass() -> None:
    model, tokens = family("llama"), examples(6)
    together = hidden_features(model, tokens, POOLINGS)
    for pooling in POOLINGS:
        assert np.array_equal(together[pooling], hidden_features(model, tokens, [pooling])[pooling])
    assert not np.allclose(together["rds"], together["embedding"], atol=1e-2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batch_composition_padding_and_order_change_nothing(pooling: Pooling) -> None:
    model, tokens = family("llama"), examples(13)
    alone = hidden_features(model, tokens, [pooling], token_budget=1)[pooling]
    for budget in (30, 64, 4096):
        together = hidden_features(model, tokens, [pooling], token_budget=budget)[pooling]
        np.testing.assert_allclose(together, alone, atol=2e-6)
    turned = hidden_features(model, tokens[::-1], [pooling], token_budget=64)[pooling]
    np.testing.assert_allclose(turned[::-1], alone, atol=2e-6)


def test_features_have_unit_length_and_cosines_are_their_products() -> None:
    found = hidden_features(family("llama"), examples(8), ["rds"])["rds"]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    alike = cosines(found, found[:3])
    assert alike.shape == (8, 3)
    assert alike.dtype == np.float64
    np.testing.assert_allclose(alike, [[a.astype(float) @ b for b in found[:3]] for a in found], atol=1e-12)
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-6)


def test_the_adapter_speaks_and_dropout_does_not() -> None:
    tokens = examples(5)
    adapted = with_lora(family("llama"), "llama").train()
    found = hidden_features(adapted, tokens, ["rds"])["rds"]
    assert np.array_equal(found, hidden_features(adapted, tokens, ["rds"])["rds"])
    assert not np.allclose(found, hidden_features(family("llama"), tokens, ["rds"])["rds"], atol=1e-3)


def test_the_model_is_left_as_it_was() -> None:
    model = with_lora(family("llama"), "llama").train()
    next(iter(model.modules())).eval()
    before = [module.training for module in model.modules()]
    hidden_features(model, examples(3), ["embedding"])
    assert [module.training for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_hidden_states_that_are_not_finite_are_refused_by_name() -> None:
    model, tokens = family("llama", tied=False), examples(4)
    marked = replace(tokens[2], input_ids=np.full_like(tokens[2].input_ids, 60))
    others = [replace(each, input_ids=each.input_ids % 60) for each in (tokens[0], tokens[1], tokens[3])]
    with torch.no_grad():
        model.get_input_embeddings().weight[60] = float("nan")
    assert np.isfinite(hidden_features(model, others, ["rds"])["rds"]).all()
    with pytest.raises(NumericsError, match=marked.id):
        hidden_features(model, [*others[:2], marked, others[2]], ["rds"])
