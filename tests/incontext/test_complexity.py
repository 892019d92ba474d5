"""DEITA's scorer against its definition: one prompt at a time, the model's own logits."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from assay.errors import ModelError
from assay.incontext.complexity import complexity, grade_ids
from tests.data.tokenizers_for_tests import fast_tokenizer

PROMPTS = ("Add 1 and 2.", "Say {this}\nand that, <b>in full</b>, please.", "", "Name a bird. " * 5, "漢字")


def scorer(name: str, vocabulary: int, context: int = 512) -> nn.Module:
    torch.manual_seed(0)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": context,
        "initializer_range": 0.5,
    }
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape)).double().eval()
    config = Gemma3TextConfig(
        **shape, sliding_window=400, final_logit_softcapping=3.0, query_pre_attn_scalar=8
    )
    return Gemma3ForCausalLM(config).double().eval()


@pytest.mark.parametrize("name", ["llama", "gemma3"])
@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_grade_is_the_mean_over_the_six_tokens_behind_the_published_prompt(
    name: str, adds_bos: bool
) -> None:
    tokenizer = fast_tokenizer(adds_bos=adds_bos)
    model = scorer(name, len(tokenizer))
    truth = []
    for prompt in PROMPTS:
        asked = (
            "You are a helpful assistant. Please identify the complexity score of the following user query. "
            "\n##Query: " + prompt + "  \n##Complexity: "
        )
        ids = torch.tensor([tokenizer(asked)["input_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1]
        weights = torch.exp(logits[[tokenizer.convert_tokens_to_ids(str(k)) for k in range(1, 7)]])
        truth.append(sum(k * float(weights[k - 1]) for k in range(1, 7)) / float(weights.sum()))
    assert np.ptp(truth) > 0.01
    for budget in (1, 300, 4096):
        found = complexity(model, tokenizer, PROMPTS, token_budget=budget)
        np.testing.assert_allclose(found, truth, atol=1e-9)


def test_a_prompt_longer_than_the_scorer_takes_has_no_grade() -> None:
    tokenizer = fast_tokenizer()
    short = len(tokenizer("You are a helpful assistant. " * 9)["input_ids"])
    model = scorer("llama", len(tokenizer), context=short)
    found = complexity(model, tokenizer, ["Hi.", "word " * 400])
    assert np.isfinite(found).tolist() == [True, False]


def test_logits_that_are_not_finite_give_no_grade() -> None:
    tokenizer = fast_tokenizer()
    model = scorer("llama", len(tokenizer))
    with torch.no_grad():
        model.get_output_embeddings().weight[tokenizer.convert_tokens_to_ids("4")] = float("inf")
    assert np.isnan(complexity(model, tokenizer, PROMPTS)).all()


def test_a_tokenizer_without_a_token_for_a_grade_is_refused_by_name() -> None:
    words = {word: place for place, word in enumerate(["<unk>", "1", "2", "3", "5", "6"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    with pytest.raises(ModelError, match='no single token for "4"'):
        grade_ids(PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>"))
