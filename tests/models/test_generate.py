"""Answers in batches are those of a plain greedy loop, and the model does not notice."""

import copy

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from assay.data.prompts import Prompt
from assay.errors import ConfigError, DataError, ModelError, NumericsError
from assay.models.generate import _Drawn, generate, own_ends
from assay.models.session import checkpoint_gradients
from tests.models.builders import FAMILIES, VOCABULARY, tiny_model, tokenizer

ENDS = (1, 7, 8, 9)
"""Several, so that random models reach one at different lengths."""


def model_of(family: str = "llama", scale: float = 6.0):
    """A random model whose likeliest tokens are likely, so that rounding decides nothing."""
    model = tiny_model(family).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(scale)
    model.generation_config.eos_token_id = None
    return model


def prompts(count: int = 9, seed: int = 0) -> list[Prompt]:
    generator = np.random.default_rng(seed)
    return [
        Prompt(f"q{index}", generator.integers(10, VOCABULARY, generator.integers(1, 14)), 1)
        for index in range(count)
    ]


@torch.no_grad()
def greedy_loop(model, prompt: Prompt, ends, limit: int) -> tuple[int, ...]:
    """One token at a time, the whole text each time, without a cache or padding."""
    ids, new = prompt.input_ids.tolist(), []
    while len(new) < limit and (not new or new[-1] not in ends):
        new.append(int(model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax()))
    return tuple(new)


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_answers_are_those_of_a_greedy_loop_without_a_cache(family):
    model, asked = model_of(family), prompts()
    ends = tuple({greedy_loop(model, asked[row], (), 6)[-1] for row in (0, 1)})
    answers = generate(model, asked, tokenizer(), ends=ends, max_new_tokens=12)
    expected = [greedy_loop(model, prompt, ends, 12) for prompt in asked]
    assert [answer.tokens for answer in answers] == expected
    assert [answer.id for answer in answers] == [prompt.id for prompt in asked]
    assert [answer.cut_off for answer in answers] == [new[-1] not in ends for new in expected]
    assert len({len(new) for new in expected}) > 1
    assert len(set(expected)) > 4


def test_who_shares_a_batch_changes_no_answer():
    model, asked = model_of(), prompts(12)
    together = generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=12, token_budget=10_000)
    alone = generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=12, token_budget=1)
    backwards = generate(model, asked[::-1], tokenizer(), ends=ENDS, max_new_tokens=12, token_budget=60)
    assert together == alone == backwards[::-1]


def test_an_adapter_takes_part_and_the_base_beneath_answers_for_itself():
    base = model_of()
    structure = LoraConfig(r=2, target_modules=["up_proj", "down_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(3)
    model = get_peft_model(copy.deepcopy(base), structure).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    asked = prompts()
    found = generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=8)
    assert [one.tokens for one in found] == [greedy_loop(model, prompt, ENDS, 8) for prompt in asked]
    plain = generate(base, asked, tokenizer(), ends=ENDS, max_new_tokens=8)
    assert found != plain
    with model.disable_adapter():
        assert generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=8) == plain


def test_text_ends_before_the_end_token_and_keeps_what_is_cut_off():
    model, words = model_of(), tokenizer()
    answers = generate(model, prompts(), words, ends=ENDS, max_new_tokens=6)
    for answer in answers:
        said = answer.tokens if answer.cut_off else answer.tokens[:-1]
        assert answer.text.split() == [words.convert_ids_to_tokens(i) for i in said if i > 1]
        assert len(answer.tokens) == 6 or not answer.cut_off
    assert {answer.cut_off for answer in answers} == {True, False}


def test_a_joined_answer_keeps_its_space():
    model, asked = model_of(), prompts(1)
    chat = generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=4)[0].text
    joined = [Prompt("q0", asked[0].input_ids, 1, joined=True)]
    assert generate(model, joined, tokenizer(), ends=ENDS, max_new_tokens=4)[0].text == f" {chat}"


def test_what_the_models_folder_says_of_generation_plays_no_part():
    model, asked = model_of(), prompts()
    expected = generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=8)
    model.generation_config = transformers.GenerationConfig(
        do_sample=True,
        temperature=5.0,
        top_k=3,
        repetition_penalty=9.0,
        min_new_tokens=8,
        max_length=3,
        suppress_tokens=list(range(2, 30)),
        eos_token_id=[20, 21, 22, 23],
    )
    assert generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=8) == expected


def test_the_models_own_end_tokens_are_told():
    model = model_of()
    assert own_ends(model) == ()
    model.generation_config.eos_token_id = 8
    assert own_ends(model) == (8,)
    model.generation_config.eos_token_id = [8, 9]
    assert own_ends(model) == (8, 9)
    structure = LoraConfig(r=2, target_modules=["up_proj"], task_type="CAUSAL_LM")
    assert own_ends(get_peft_model(model, structure)) == (8, 9)


@pytest.fixture
def trained_on():
    """A model as a study holds it: layers set to recompute activations, one module in training mode."""
    model = model_of()
    checkpoint_gradients(model)
    model.model.layers[0].mlp.training = True
    return model


def test_the_model_comes_back_as_it_was(trained_on):
    own = trained_on.generation_config
    before = {name: tensor.clone() for name, tensor in trained_on.state_dict().items()}
    modes = [module.training for module in trained_on.modules()]
    required = [parameter.requires_grad for parameter in trained_on.parameters()]
    answers = generate(trained_on, prompts(), tokenizer(), ends=ENDS, max_new_tokens=6)
    assert answers == generate(model_of(), prompts(), tokenizer(), ends=ENDS, max_new_tokens=6)
    assert trained_on.generation_config is own
    assert trained_on.config.use_cache is False
    assert [module.training for module in trained_on.modules()] == modes
    assert any(modes)
    assert [parameter.requires_grad for parameter in trained_on.parameters()] == required
    assert all(torch.equal(before[name], tensor) for name, tensor in trained_on.state_dict().items())
    trained_on(input_ids=torch.arange(2, 8)[None]).logits.sum().backward()


def test_the_model_comes_back_after_an_error(trained_on):
    own, modes = trained_on.generation_config, [module.training for module in trained_on.modules()]
    with torch.no_grad():
        trained_on.model.norm.weight[0] = float("nan")
    with pytest.raises(NumericsError, match="'q0'"):
        generate(trained_on, prompts(1), tokenizer(), ends=ENDS, max_new_tokens=6)
    assert trained_on.generation_config is own
    assert [module.training for module in trained_on.modules()] == modes


def test_logits_that_are_not_finite_name_the_prompt():
    model = model_of()
    with torch.no_grad():
        model.get_input_embeddings().weight[39] = float("inf")
        model.lm_head.weight = torch.nn.Parameter(model_of().lm_head.weight.detach())
    asked = [Prompt("good", np.array([10, 11]), 1), Prompt("bad", np.array([39, 11]), 1)]
    with pytest.raises(NumericsError, match="not finite in its answer to 'bad'"):
        generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=1)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_full_context_cuts_an_answer_off(family):
    model = model_of(family)
    generator = np.random.default_rng(0)
    asked = [Prompt("long", generator.integers(10, VOCABULARY, 60), 1), *prompts(2)]
    answers = generate(model, asked, tokenizer(), ends=(1,), max_new_tokens=12)
    assert answers[0].tokens == greedy_loop(model, asked[0], (1,), 4)
    assert (len(answers[0].tokens), answers[0].cut_off) == (4, True)
    assert [one.tokens for one in answers[1:]] == [greedy_loop(model, one, (1,), 12) for one in asked[1:]]


def test_a_prompt_that_fills_the_context_is_refused():
    asked = [Prompt("long", np.full(64, 10), 1)]
    with pytest.raises(DataError, match="example long has 64 tokens and leaves no room"):
        generate(model_of(), asked, tokenizer(), ends=ENDS)


def test_without_a_token_that_ends_an_answer_nothing_is_asked():
    with pytest.raises(ModelError, match="give the tokenizer an eos_token"):
        generate(model_of(), prompts(), tokenizer(), ends=())
    with pytest.raises(ConfigError, match="max-new-tokens is 0"):
        generate(model_of(), prompts(), tokenizer(), ends=ENDS, max_new_tokens=0)


@torch.no_grad()
def sampled_loop(model, prompt: Prompt, ends, limit: int, temperature: float, seed: int) -> tuple[int, ...]:
    """One token at a time without a cache: the first at which the probabilities so far exceed a number."""
    ids, new = prompt.input_ids.tolist(), []
    for u in np.random.Generator(np.random.PCG64(seed)).random(limit):
        logits = model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1].double()
        cumulative = torch.softmax(logits / temperature, -1).cumsum(-1).numpy()
        new.append(int(np.flatnonzero(cumulative > u)[0]))
        if new[-1] in ends:
            break
    return tuple(new)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_sampled_answers_are_those_of_inverse_transform_sampling_from_each_prompts_own_numbers(family):
    model, asked = model_of(family, scale=3.0), prompts()
    seeds = [100 + row for row in range(len(asked))]
    how = {"ends": ENDS, "max_new_tokens": 12, "temperature": 0.8}
    answers = generate(model, asked, tokenizer(), seeds=seeds, **how)
    expected = [
        sampled_loop(model, prompt, ENDS, 12, 0.8, seed) for prompt, seed in zip(asked, seeds, strict=True)
    ]
    assert [answer.tokens for answer in answers] == expected
    assert [answer.cut_off for answer in answers] == [new[-1] not in ENDS for new in expected]
    assert len({len(new) for new in expected}) > 1
    backwards = generate(model, asked[::-1], tokenizer(), seeds=seeds[::-1], token_budget=60, **how)
    assert backwards[::-1] == answers
    assert generate(model, asked, tokenizer(), seeds=[7] * len(asked), **how) != answers


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_tokens_have_the_frequencies_of_the_softmax_at_that_temperature(temperature):
    model, count = model_of(scale=4.0), 4000
    ids = np.array([10, 11, 12])
    asked = [Prompt(str(row), ids, 1) for row in range(count)]
    answers = generate(
        model, asked, tokenizer(), ends=(1,), max_new_tokens=1, temperature=temperature, token_budget=10**6
    )
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(ids)[None]).logits[0, -1].double()
    expected = torch.softmax(logits / temperature, -1).numpy()
    found = np.bincount([answer.tokens[0] for answer in answers], minlength=len(expected)) / count
    assert np.abs(found - expected).max() < 4 * 0.5 / np.sqrt(count)
    assert (expected > 0.01).sum() > 1


def test_the_coldest_answers_are_the_greedy_ones_and_the_dice_of_others_are_left_alone():
    model, asked = model_of(), prompts()
    greedy = generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=8)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert generate(model, asked, tokenizer(), ends=ENDS, max_new_tokens=8, temperature=1e-9) == greedy
    assert torch.equal(torch.get_rng_state(), state)


def test_a_token_without_any_probability_is_never_drawn():
    scores = torch.tensor([[-torch.inf, 1.0, -torch.inf, 1.0, -torch.inf]])
    for u, drawn in ((0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)):
        left = _Drawn(1.0, torch.tensor([[u]], dtype=torch.float64))(torch.zeros(1, 1), scores)
        assert left.isfinite().nonzero().tolist() == [[0, drawn]]


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature is"):
        generate(model_of(), prompts(), tokenizer(), ends=ENDS, temperature=temperature)


def test_progress_hears_of_every_prompt():
    heard: list[float] = []
    generate(
        model_of(), prompts(), tokenizer(), ends=ENDS, max_new_tokens=2, token_budget=30, advance=heard.append
    )
    assert sum(heard) == 9
    assert len(heard) > 1
