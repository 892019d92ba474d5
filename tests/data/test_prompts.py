"""A model is asked with the tokens it was taught with, up to its answer."""

import numpy as np
import pytest

from assay.data.example import Example
from assay.data.prompts import as_written, ends_of, prompts_of, written
from assay.data.render import tokenize
from assay.errors import DataError
from assay.world import make_world
from assay.world.tokenizer import make_tokenizer
from tests.data.helpers import assistant, example, user
from tests.data.tokenizers_for_tests import (
    CHATML,
    GEMMA_LIKE,
    INSTRUCTION_TAGS,
    LAST_ENDS_OTHERWISE,
    LLAMA_LIKE,
    TAGGED,
    THINKING,
    SlowCharacters,
    fast_tokenizer,
)

TALK = (user("what is two?"), assistant("it is two."), user("and four?"), assistant("four."))
WITH_PROMPT = {
    "chatml": CHATML,
    "tagged": TAGGED,
    "llama": LLAMA_LIKE,
    "gemma": GEMMA_LIKE,
    "thinking": THINKING,
    "last ends otherwise": LAST_ENDS_OTHERWISE,
}


def prompt(given: Example, tokenizer, **how):
    return prompts_of([given], tokenizer, **how)[0]


@pytest.mark.parametrize("template", WITH_PROMPT.values(), ids=WITH_PROMPT)
def test_a_chat_prompt_is_the_earlier_turns_with_the_templates_generation_prompt(template):
    tokenizer = fast_tokenizer()
    given = prompt(example(*TALK), tokenizer, chat_template=template)
    turns = [{"role": turn.role, "content": turn.content} for turn in TALK[:-1]]
    expected = tokenizer.apply_chat_template(
        turns, chat_template=template, add_generation_prompt=True, tokenize=False
    )
    assert tokenizer.decode(given.input_ids) == expected
    assert not given.joined


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (TAGGED, "<|im_end|>"),
        (LLAMA_LIKE, "<|eot|>"),
        (GEMMA_LIKE, "</turn>"),
        (LAST_ENDS_OTHERWISE, "<eos>"),
        (INSTRUCTION_TAGS, "<eos>"),
    ],
)
def test_an_answer_ends_as_the_template_ends_a_turn(template, end):
    tokenizer = fast_tokenizer()
    given = prompt(example(*TALK), tokenizer, chat_template=template)
    assert given.end == tokenizer.convert_tokens_to_ids(end)
    assert set(ends_of([given], tokenizer)) == {given.end, tokenizer.eos_token_id}


@pytest.mark.parametrize("template", [*WITH_PROMPT.values(), INSTRUCTION_TAGS])
def test_prompt_and_learned_tokens_are_the_tokens_of_training(template):
    tokenizer = fast_tokenizer()
    given = prompt(example(*TALK), tokenizer, chat_template=template)
    trained = tokenize(example(*TALK), tokenizer, loss_on="last", chat_template=template)
    learned = trained.input_ids[trained.weights > 0]
    assert np.array_equal(trained.input_ids[: len(given) + len(learned)], [*given.input_ids, *learned])


def test_a_template_without_a_generation_prompt_leaves_the_space_to_the_answer():
    tokenizer = fast_tokenizer()
    given = prompt(example(user("ab?"), assistant("four.")), tokenizer, chat_template=INSTRUCTION_TAGS)
    assert tokenizer.decode(given.input_ids) == "<bos>[INST] ab? [/INST]"


def test_the_reference_answer_plays_no_part_in_the_prompt():
    tokenizer = fast_tokenizer()
    for template in WITH_PROMPT.values():
        asked = [
            prompt(example(user("ab?"), assistant(words)), tokenizer, chat_template=template).input_ids
            for words in ("four.", "it is what it is", "7")
        ]
        assert all(np.array_equal(asked[0], other) for other in asked[1:])


def test_a_plain_prompt_ends_where_the_completion_begins():
    tokenizer = fast_tokenizer(adds_bos=True)
    given = prompt(example(user("two and"), assistant(" two"), rendering="plain"), tokenizer)
    assert tokenizer.decode(given.input_ids) == "<bos>two and"
    assert (given.joined, given.end) == (True, tokenizer.eos_token_id)
    tokenizer = fast_tokenizer()
    given = prompt(example(user("two and"), assistant("two")), tokenizer, render="plain")
    assert tokenizer.decode(given.input_ids) == "two and\n"
    assert given.joined


def test_a_slow_tokenizer_gives_the_same_prompt():
    given = prompt(example(user("two and"), assistant(" two"), rendering="plain"), SlowCharacters())
    assert written(SlowCharacters(), given.input_ids.tolist()) == "two and"


def test_ready_tokens_are_asked_up_to_the_first_label():
    tokenizer = fast_tokenizer()
    eos, space = tokenizer.eos_token_id, tokenizer("\n")["input_ids"][0]
    ready = example(
        rendering="tokens", input_ids=(20, 21, 22, 23, eos, space), labels=(-100, -100, 22, 23, eos, space)
    )
    given = prompt(ready, tokenizer)
    assert (given.input_ids.tolist(), given.end, given.joined) == ([20, 21], eos, False)


def test_a_weight_of_the_users_on_the_last_turn_plays_no_part():
    tokenizer = fast_tokenizer()
    asked = [
        prompt(example(user("ab?"), assistant("four.", weight=weight)), tokenizer, chat_template=CHATML)
        for weight in (None, 0.0, 0.5)
    ]
    assert all(np.array_equal(asked[0].input_ids, other.input_ids) for other in asked)


def test_an_example_without_a_prompt_is_refused():
    tokenizer = fast_tokenizer()
    for given in (
        example(assistant("four.")),
        example(rendering="tokens", input_ids=(20, 21), labels=(20, 21)),
    ):
        with pytest.raises(DataError, match=r"file\.jsonl, row 3: example x has nothing before"):
            prompt(given, tokenizer, chat_template=CHATML)


def test_two_questions_of_one_id_are_refused():
    twice = [example(user("ab?"), assistant("four."))] * 2
    with pytest.raises(DataError, match="the id x is there twice"):
        prompts_of(twice, fast_tokenizer(), chat_template=CHATML)


def test_a_text_is_given_back_as_the_tokenizer_writes_it():
    assert as_written(make_tokenizer(make_world()), "47, three") == "4 7 , three"
    assert as_written(fast_tokenizer(), " it is  47,\nthree ") == " it is  47,\nthree "
