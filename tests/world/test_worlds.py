"""A world follows from its seed, and its tokenizer knows every text of it."""

import pytest

from assay.streams import stream
from assay.world.documents import document
from assay.world.examples import base_examples, make_examples
from assay.world.strategies import STRATEGIES
from assay.world.tasks import TASKS
from assay.world.tokenizer import make_tokenizer, save_tokenizer
from assay.world.words import make_world, split_words


def test_the_same_seed_is_the_same_world_and_another_seed_another():
    one, two = make_world(0), make_world(1)
    assert make_world.__wrapped__(0) == one
    assert set(one.names) != set(two.names)
    assert one.code != two.code
    assert set(one.vocabulary) != set(two.vocabulary)
    assert not set(one.code) & set(one.code.values())


@pytest.mark.parametrize("seed", [0, 1])
def test_no_example_holds_an_unknown_word_or_is_long(seed):
    world = make_world(seed)
    tokenizer = make_tokenizer(world)
    examples = [e for name in STRATEGIES for e in make_examples(name, tuple(TASKS), 3, world=world)]
    for example in [*examples, *base_examples(per_task=10, world=world)]:
        turns = [{"role": message.role, "content": message.content} for message in example.messages]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids, example
        assert len(ids) <= 75, example


def test_no_pretraining_document_holds_an_unknown_word():
    world = make_world()
    tokenizer = make_tokenizer(world)
    rng = stream("test")
    for _ in range(500):
        context, continuation = document(world, rng)
        assert tokenizer.unk_token_id not in tokenizer(context + continuation)["input_ids"], context


def test_the_tokenizer_cuts_as_the_world_does():
    tokenizer = make_tokenizer(make_world())
    one, two, *_ = make_world().names
    text = f"{one} has 47, {two} has 5. who has most?"
    assert tokenizer.tokenize(text) == split_words(text)
    assert len(tokenizer) == len(make_world().vocabulary) + 7


def test_the_chat_template_marks_turns_and_opens_the_answer():
    tokenizer = make_tokenizer(make_world())
    turns = [{"role": "user", "content": "sort: 2 1."}, {"role": "assistant", "content": "1 2"}]
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert prompt == "<|bos|><|user|>sort: 2 1.<|end|><|assistant|>"
    assert whole == prompt + "1 2<|end|>"
    with pytest.raises(Exception, match="system, user and assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "1"}], tokenize=False)


def test_a_saved_tokenizer_reads_back_alike(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = make_tokenizer(make_world())
    save_tokenizer(tokenizer, tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "<|bos|><|user|>add 12 and 3.<|end|>"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.chat_template == tokenizer.chat_template
    assert (again.bos_token, again.eos_token, again.pad_token) == ("<|bos|>", "<|end|>", "<|pad|>")
