"""Pretraining lowers the loss, follows from its seed, and resumes to the same weights."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from assay.errors import ResumeError
from assay.world.pretrain import Pretraining, batches, learning_rate, pretrain, weighted_loss
from assay.world.tokenizer import make_tokenizer
from assay.world.words import make_world

TINY = Pretraining(hidden=16, layers=1, heads=2, feed_forward=32, steps=30, batch=8, warmup=5, save_every=7)


class KilledError(Exception):
    pass


def test_a_killed_pretraining_resumes_to_the_same_weights(tmp_path):
    losses = []
    pretrain(tmp_path / "whole", TINY, lambda step, loss: losses.append(loss))

    def kill(step, loss):
        if step == 17:
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(tmp_path / "halves", TINY, kill)
    resumed = []
    pretrain(tmp_path / "halves", TINY, lambda step, loss: resumed.append(step))
    assert resumed[0] == 15
    assert not (tmp_path / "halves" / "progress").exists()
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert sum(losses[-5:]) < sum(losses[:5])


def test_the_result_loads_with_its_tokenizer_and_tied_embeddings(tmp_path):
    pretrain(tmp_path, replace(TINY, steps=2))
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.config.vocab_size == len(tokenizer)


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    def kill(step, loss):
        if step == 3:
            raise KilledError

    brief = replace(TINY, steps=4, save_every=2)
    with pytest.raises(KilledError):
        pretrain(tmp_path, brief, kill)
    for _ in ("unfinished", "finished"):
        with pytest.raises(ResumeError, match="another learning_rate"):
            pretrain(tmp_path, replace(brief, learning_rate=1e-3))
        pretrain(tmp_path, brief)


def test_a_finished_pretraining_is_left_as_it_is(tmp_path):
    brief = replace(TINY, steps=2)
    pretrain(tmp_path, brief)
    steps = []
    pretrain(tmp_path, brief, lambda step, loss: steps.append(step))
    assert steps == []


def test_padding_does_not_change_the_loss():
    from assay.world.pretrain import new_model

    tokenizer = make_tokenizer(make_world())
    model = new_model(TINY, tokenizer)
    ids, weights = next(batches(make_world(), tokenizer, TINY, 0))
    padded = torch.nn.functional.pad(ids, (0, 9), value=tokenizer.pad_token_id)
    with torch.no_grad():
        plain = weighted_loss(model, ids, weights)
        wide = weighted_loss(model, padded, torch.nn.functional.pad(weights, (0, 9)))
    assert wide.item() == pytest.approx(plain.item(), rel=1e-6)
    assert plain.item() == pytest.approx(math.log(len(tokenizer)), rel=0.2)


def test_the_learning_rate_warms_up_and_comes_down():
    rates = [learning_rate(TINY, step) for step in range(1, TINY.steps + 1)]
    assert rates[0] == pytest.approx(TINY.learning_rate / 5)
    assert max(rates) == rates[4] == TINY.learning_rate
    assert rates[-1] == pytest.approx(TINY.learning_rate * TINY.final_share)
