"""Mean negative log-likelihoods against a loop through the model's own logits, one example at a time."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from assay.data.example import Tokens
from assay.incontext import perplexity
from assay.incontext.perplexity import Reason, alone, mean_nll
from tests.gradients.models import VOCABULARY, examples, family, with_lora

FAMILIES = ("llama", "qwen3", "gemma3", "gpt2")
BOS = 1


def nll_of(model: nn.Module, tokens: Tokens) -> float:
    """Σ w · (−log p) / Σ w, transcribed."""
    model.eval()
    ids = torch.from_numpy(tokens.input_ids)[None]
    with torch.no_grad():
        logarithms = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
    total = weight = 0.0
    for t in range(1, len(tokens)):
        total -= float(tokens.weights[t]) * float(logarithms[t - 1, tokens.input_ids[t]])
        weight += float(tokens.weights[t])
    return total / weight


def tokens(ids: list[int], weights: list[float]) -> Tokens:
    return Tokens("one", np.array(ids), np.array(weights, dtype=np.float32))


@pytest.mark.parametrize("name", FAMILIES)
def test_means_are_those_of_the_models_own_logits(name: str) -> None:
    model = family(name, dtype=torch.float64)
    given = examples(9, longest=20, weighted=True)
    found = mean_nll(model, given, token_budget=60)
    assert found.nll.dtype == np.float64 and (found.reason == Reason.MEASURED).all()
    np.testing.assert_allclose(found.nll, [nll_of(model, one) for one in given], rtol=1e-9)


def test_ifd_is_the_ratio_of_perplexities_with_and_without_the_prompt() -> None:
    model = family("llama", dtype=torch.float64)
    given = examples(5, seed=3, longest=20)
    ifd = np.exp(mean_nll(model, given).nll - mean_nll(model, [alone(one, BOS) for one in given]).nll)
    for one, ratio in zip(given, ifd, strict=True):
        first = int(np.flatnonzero(one.weights)[0])
        answer = tokens([BOS, *one.input_ids[first:]], [0, *one.weights[first:]])
        expected = np.exp(nll_of(model, one)) / np.exp(nll_of(model, answer))
        assert ratio == pytest.approx(expected, rel=1e-9)


def test_batches_make_no_difference() -> None:
    model, given = family("llama"), examples(12, longest=25)
    every_one_alone = mean_nll(model, given, token_budget=1).nll
    np.testing.assert_allclose(mean_nll(model, given, token_budget=10_000).nll, every_one_alone, rtol=1e-5)


def test_an_adapter_counts_and_dropout_does_not() -> None:
    model = with_lora(family("llama"), "llama").train()
    given = examples(4)
    found = mean_nll(model, given)
    assert model.training
    np.testing.assert_allclose(found.nll, [nll_of(model, one) for one in given], rtol=1e-5)


def test_a_head_with_an_adapter_is_measured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perplexity, "ROWS", 3)
    model = get_peft_model(family("llama", tied=False), LoraConfig(r=2, target_modules=["lm_head"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.1)
    given = examples(4)
    expected = [nll_of(model, one) for one in given]
    np.testing.assert_allclose(mean_nll(model, given).nll, expected, rtol=1e-5)


def test_what_cannot_be_measured_is_nan_with_its_reason_and_leaves_the_rest_alone() -> None:
    model = family("llama", tied=False)
    model.get_input_embeddings().weight.data[60] = torch.nan
    good = tokens([5, 6, 7, 8], [0, 0, 1, 1])
    bad = tokens([5, 60, 7, 8], [0, 0, 1, 1])
    long = tokens([5] * 9, [0] * 8 + [1])
    nothing = tokens([5, 6, 7], [0, 0, 0])
    only_first = tokens([5, 6, 7], [1, 0, 0])
    void = tokens([], [])
    found = mean_nll(model, [bad, good, long, nothing, only_first, void], context=8)
    assert found.reason.tolist() == [
        Reason.NOT_FINITE,
        Reason.MEASURED,
        Reason.TOO_LONG,
        Reason.EMPTY,
        Reason.EMPTY,
        Reason.EMPTY,
    ]
    assert np.isnan(found.nll).tolist() == [True, False, True, True, True, True]
    assert found.nll[1] == pytest.approx(nll_of(model, good), rel=1e-5)


def test_what_is_too_long_does_not_pass_through_the_model() -> None:
    model = family("gpt2")
    seen: list[int] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].shape[1])
    )
    rng = np.random.default_rng(0)
    over = tokens(rng.integers(3, VOCABULARY, 65).tolist(), [0.0] * 60 + [1.0] * 5)
    full = tokens(over.input_ids[1:].tolist(), over.weights[1:].tolist())
    found = mean_nll(model, [over, full], context=64)
    hook.remove()
    assert found.reason.tolist() == [Reason.TOO_LONG, Reason.MEASURED]
    assert max(seen) <= 64


def test_alone_is_bos_and_all_from_the_first_scored_token_to_the_last() -> None:
    whole = tokens([7, 8, 9, 10, 11, 12], [0, 0, 0.5, 0, 1, 0])
    by_itself = alone(whole, BOS)
    assert by_itself.input_ids.tolist() == [BOS, 9, 10, 11]
    assert by_itself.weights.tolist() == [0, 0.5, 0, 1]


def test_without_bos_alone_does_not_score_its_first_token() -> None:
    by_itself = alone(tokens([7, 8, 9, 10, 11], [0, 0, 1, 1, 1]), None)
    assert by_itself.input_ids.tolist() == [9, 10, 11]
    assert by_itself.weights.tolist() == [0, 1, 1]


def test_alone_of_nothing_learned_is_empty() -> None:
    assert len(alone(tokens([7, 8], [0, 0]), BOS)) == 0
