"""Queries behind demonstrations: with a cache that is reused, without, and by hand, one pair at a time."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from assay.data.example import Tokens
from assay.incontext.perplexity import Reason
from assay.incontext.shown import Openings, can_reuse, shown_nll
from tests.gradients.models import VOCABULARY, examples, family, with_lora
from tests.incontext.test_perplexity import FAMILIES, nll_of

Followings = Sequence[Sequence[Tokens | None]]


def ragged() -> tuple[Openings, Followings]:
    """Six openings of 1 to 27 tokens with no to 5 followings each; one is scored from its first token on."""
    openings = [np.array([9]), *(one.input_ids for one in examples(5, seed=1, longest=27))]
    followings = [examples(k, seed=10 + k, longest=16, weighted=True) for k in (2, 3, 1, 0, 2, 5)]
    ids, weights = followings[1][0].input_ids, followings[1][0].weights
    followings[1][0] = Tokens("from the first on", ids, np.ones_like(weights))
    return openings, followings


def transcribed(model: nn.Module, openings: Openings, followings: Followings) -> np.ndarray:
    """Mean nll of each following, from the model's own logits over opening + following; NaN where none is."""
    found = np.full((len(openings), max(map(len, followings))), np.nan)
    for i, (opening, row) in enumerate(zip(openings, followings, strict=True)):
        for k, following in enumerate(row):
            if following is not None:
                ids = np.concatenate([opening, following.input_ids])
                weights = np.concatenate([np.zeros(len(opening), np.float32), following.weights])
                found[i, k] = nll_of(model, Tokens("pair", ids, weights))
    return found


def positions(model: nn.Module, openings: Openings, followings: Followings, *, reuse: bool) -> int:
    """How many positions, padding among them, pass through the model."""
    seen: list[int] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].numel())
    )
    shown_nll(model, openings, followings, token_budget=200, reuse=reuse)
    hook.remove()
    return sum(seen)


@pytest.mark.parametrize("budget", [1, 70, 10_000])
@pytest.mark.parametrize("name", FAMILIES)
def test_pairs_are_as_by_hand_with_reuse_and_without(name: str, budget: int) -> None:
    model = family(name, dtype=torch.float64)
    openings, followings = ragged()
    expected = transcribed(model, openings, followings)
    for reuse in (True, False):
        found = shown_nll(model, openings, followings, token_budget=budget, reuse=reuse)
        np.testing.assert_allclose(found.nll, expected, rtol=1e-9)
        assert (found.reason[np.isfinite(expected)] == Reason.MEASURED).all()
        assert (found.reason[np.isnan(expected)] == Reason.ABSENT).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_in_fp32_reuse_changes_no_more_than_rounding(name: str) -> None:
    model = family(name)
    both = [shown_nll(model, *ragged(), token_budget=90, reuse=reuse).nll for reuse in (True, False)]
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_opening_passes_once_for_all_its_followings(name: str) -> None:
    model = family(name)
    openings = [one.input_ids for one in examples(8, seed=1, longest=20)]
    followings = [examples(5, seed=20 + i, longest=20) for i in range(8)]
    once, anew = (positions(model, openings, followings, reuse=reuse) for reuse in (True, False))
    assert once < 0.75 * anew


def test_an_adapted_model_in_training_mode_is_measured_without_dropout_and_left_in_it() -> None:
    model = with_lora(family("llama"), "llama").train()
    found = shown_nll(model, *ragged()).nll
    assert model.training
    np.testing.assert_allclose(found, transcribed(model, *ragged()), rtol=1e-5)


def test_what_cannot_be_measured_is_nan_with_its_reason_and_leaves_its_neighbours_alone() -> None:
    model = family("llama", tied=False, dtype=torch.float64)
    model.get_input_embeddings().weight.data[60] = torch.nan
    rng = np.random.default_rng(0)
    fine, poisoned = rng.integers(3, 60, 6), np.array([5, 60, 7])
    good, bad, long = (
        Tokens(name, rng.integers(3, 60, length), np.r_[np.zeros(length - 2), [1, 1]].astype(np.float32))
        for name, length in (("good", 5), ("bad", 6), ("long", 11))
    )
    bad.input_ids[1] = 60
    empty = Tokens("empty", np.array([5, 6]), np.zeros(2, dtype=np.float32))
    none = Tokens("none", np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    row = [good, bad, long, empty, none, None]
    found = shown_nll(model, [fine, poisoned, fine[:0]], [row, row[:2], row[:1]], context=16)
    measured, failed, over, nothing, absent = (
        Reason.MEASURED,
        Reason.NOT_FINITE,
        Reason.TOO_LONG,
        Reason.EMPTY,
        Reason.ABSENT,
    )
    assert found.reason.tolist() == [
        [measured, failed, over, nothing, nothing, absent],
        [failed, failed, absent, absent, absent, absent],
        [nothing, absent, absent, absent, absent, absent],
    ]
    assert np.isfinite(found.nll).tolist() == (found.reason == measured).tolist()
    assert found.nll[0, 0] == pytest.approx(transcribed(model, [fine], [[good]])[0, 0], rel=1e-9)


def test_a_pair_may_fill_the_context_and_not_be_longer() -> None:
    """The model has no embedding for a 65th position, not even of padding."""
    model = family("gpt2", dtype=torch.float64)
    openings = [np.full(length, 5) for length in (54, 55, 20)]
    ten, forty = (
        Tokens(str(n), np.arange(3, 3 + n), np.r_[np.zeros(5), np.ones(n - 5)].astype(np.float32))
        for n in (10, 40)
    )
    found = shown_nll(model, openings, [[ten], [ten], [forty]], context=64, token_budget=10_000)
    assert found.reason[:, 0].tolist() == [Reason.MEASURED, Reason.TOO_LONG, Reason.MEASURED]
    expected = transcribed(model, [openings[0], openings[2]], [[ten], [forty]])
    np.testing.assert_allclose(found.nll[[0, 2]], expected, rtol=1e-9)


def test_a_recurrent_model_takes_whole_texts() -> None:
    torch.manual_seed(0)
    config = MambaConfig(
        vocab_size=VOCABULARY, hidden_size=16, state_size=4, num_hidden_layers=2, initializer_range=0.3
    )
    model = MambaForCausalLM(config).double()
    assert not can_reuse(model)
    openings, followings = ragged()
    found = shown_nll(model, openings, followings, token_budget=70).nll
    np.testing.assert_allclose(found, transcribed(model, openings, followings), rtol=1e-6)


def test_rotary_embeddings_that_depend_on_the_length_rule_reuse_out() -> None:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        rope_scaling={"rope_type": "dynamic", "factor": 4.0},
    )
    model = LlamaForCausalLM(config)
    assert can_reuse(family("llama")) and not can_reuse(model)
    whole = positions(model, *ragged(), reuse=False)
    assert positions(model, *ragged(), reuse=True) == whole


def test_a_model_whose_cache_is_not_what_it_seems_takes_whole_texts() -> None:
    model = family("llama", dtype=torch.float64)

    def forget(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if kwargs.get("past_key_values") is not None:
            kwargs |= {"past_key_values": None, "attention_mask": None}
        return args, kwargs

    model.model.register_forward_pre_hook(forget, with_kwargs=True)
    openings, followings = ragged()
    found = shown_nll(model, openings, followings).nll
    np.testing.assert_allclose(found, transcribed(model, openings, followings), rtol=1e-9)
