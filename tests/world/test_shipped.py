"""The shipped base models are their worlds', small, and have learned something; a run accepts the recipe."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assay.data.example import Tokens
from assay.models.recipe import FineTuneRecipe
from assay.world import DEMO_TASKS, base_model_path, make_world, world_recipe
from assay.world import shipped as shipped_module
from assay.world.examples import references
from assay.world.score import right_answers
from assay.world.tokenizer import BOS, END, make_tokenizer


@pytest.fixture(scope="module", params=[0, 1], ids=["world0", "world1"])
def world(request):
    return make_world(request.param)


@pytest.fixture(scope="module")
def shipped(world):
    folder = base_model_path(world.seed)
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_the_shipped_tokenizer_is_the_worlds(shipped, world):
    model, tokenizer = shipped
    expected = make_tokenizer(world)
    assert tokenizer.get_vocab() == expected.get_vocab()
    assert tokenizer.chat_template == expected.chat_template
    assert model.config.vocab_size == len(tokenizer)


def test_the_shipped_folder_is_small_and_holds_no_pickle():
    files = [path for seed in (0, 1) for path in base_model_path(seed).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}


def test_right_answers_are_those_of_greedy_generation(shipped, world):
    """Problems as running text, which the base model answers without fine-tuning, some rightly."""
    model, tokenizer = shipped
    tokens, generated = [], []
    for task in DEMO_TASKS:
        for problem in references(task, 3, 5, "query", world):
            prompt = tokenizer(BOS + problem.query)["input_ids"]
            answer = tokenizer(problem.answer + END)["input_ids"]
            weights = np.array([0.0] * len(prompt) + [1.0] * len(answer))
            tokens.append(Tokens(problem.query, np.array(prompt + answer), weights))
            said = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=len(answer))
            generated.append(said[0, len(prompt) :].tolist() == answer)
    assert right_answers(model, tokens, token_budget=200).tolist() == generated
    assert 0.3 < np.mean(generated) < 1


def test_the_shipped_model_finds_right_answers_likelier_than_others(shipped, world):
    """On unseen problems as running text; by chance half of them, the trained model nearly all."""
    model, tokenizer = shipped

    def nats(query, answer):
        prompt = tokenizer(BOS + query)["input_ids"]
        ids = torch.tensor([prompt + tokenizer(answer + END)["input_ids"]])
        with torch.no_grad():
            log_p = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return -log_p[torch.arange(ids.shape[1] - 1), ids[0, 1:]][len(prompt) - 1 :].sum().item()

    won, met = 0, 0
    for task in DEMO_TASKS:
        problems = references(task, 8, 5, "query", world)
        for problem, other in zip(problems, problems[3:], strict=False):
            if problem.answer != other.answer:
                met += 1
                won += nats(problem.query, problem.answer) < nats(problem.query, other.answer)
    assert met > 40
    assert won / met > 0.85


def test_a_missing_base_model_names_the_command_that_rebuilds_it(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped_module, "files", lambda package: tmp_path)
    with pytest.raises(shipped_module.ModelError, match=r"python -m assay\.world\.pretrain --out"):
        base_model_path()


def test_a_world_without_a_shipped_model_is_refused():
    with pytest.raises(shipped_module.ConfigError, match="of world 7 is shipped, only those of 0 and 1"):
        base_model_path(7)


def test_the_recipe_is_one_that_fine_tuning_accepts():
    recipe = FineTuneRecipe(**world_recipe(seed=3))
    assert recipe.seed == 3
    assert recipe.max_steps is not None and recipe.max_steps // recipe.save_every == 8
