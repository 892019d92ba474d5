"""Plain joining, ready ids, lengths, and sets of examples."""

from typing import Any

import pytest

from assay.data.render import tokenize, tokenize_all
from assay.errors import AssayError, ConfigError, DataError
from tests.data import tokenizers_for_tests as tiny
from tests.data.helpers import assistant, example, learned, user

PLAIN = example(user("two and two is"), assistant(" four."), rendering="plain")


def test_plain_joins_strings_as_they_are_and_ends_with_eos() -> None:
    tokenizer = tiny.fast_tokenizer()
    tokens = tokenize(PLAIN, tokenizer)
    assert tokenizer.decode(tokens.input_ids.tolist()) == "two and two is four.<eos>"
    assert learned(PLAIN, tokenizer) == [" four.<eos>"]


def test_bos_is_added_once() -> None:
    tokenizer = tiny.fast_tokenizer(adds_bos=True)
    written = example(user("<bos>two is"), assistant(" four."), rendering="plain")
    for given in (PLAIN, written):
        ids = tokenize(given, tokenizer).input_ids.tolist()
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
    chat = tokenize(example(user("a"), assistant("b")), tokenizer, chat_template=tiny.LLAMA_LIKE)
    assert chat.input_ids.tolist().count(tokenizer.bos_token_id) == 1


def test_eos_is_not_doubled() -> None:
    given = example(user("a"), assistant(" b<eos>"), rendering="plain")
    ids = tokenize(given, tiny.fast_tokenizer()).input_ids.tolist()
    assert ids.count(tiny.fast_tokenizer().eos_token_id) == 1


def test_a_token_across_the_boundary_belongs_to_the_completion() -> None:
    tokenizer = tiny.fast_tokenizer(merges_words=True)
    assert "s " in tokenizer.batch_decode([[i] for i in tokenizer("two and two is four.")["input_ids"]])
    assert learned(PLAIN, tokenizer) == ["s four.<eos>"]


def test_plain_text_is_learned_whole() -> None:
    given = example(assistant("two and two"), rendering="plain")
    tokens = tokenize(given, tiny.fast_tokenizer(adds_bos=True))
    assert tokens.completion_tokens == len(tokens) - 1


def test_render_plain_joins_the_turns_of_a_chat_example_by_a_newline() -> None:
    tokenizer = tiny.fast_tokenizer()
    given = example(user("Two?"), assistant("It is."), user("Four?\n"), assistant("Yes."))
    ids = tokenize(given, tokenizer, render="plain").input_ids.tolist()
    assert tokenizer.decode(ids) == "Two?\nIt is.\nFour?\nYes.<eos>"
    assert learned(given, tokenizer, render="plain", loss_on="last") == ["Yes.<eos>"]


def test_render_chat_puts_plain_examples_through_the_template() -> None:
    parts = learned(PLAIN, tiny.fast_tokenizer(), render="chat", chat_template=tiny.CHATML)
    assert parts == [" four.<|im_end|>"]


def test_ready_ids_and_labels_stay_as_they_are() -> None:
    given = example(rendering="tokens", input_ids=(5, 6, 7, 8), labels=(5, -100, 7, 8))
    tokens = tokenize(given, tiny.fast_tokenizer(), loss_on="last")
    assert tokens.input_ids.tolist() == [5, 6, 7, 8]
    assert tokens.weights.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_ready_ids_of_another_vocabulary_are_an_error() -> None:
    given = example(rendering="tokens", input_ids=(5, 60_000), labels=(-100, 60_000))
    with pytest.raises(DataError, match="another model"):
        tokenize(given, tiny.fast_tokenizer())


def test_too_long_is_an_error_that_names_both_lengths() -> None:
    count = len(tokenize(PLAIN, tiny.fast_tokenizer()))
    assert len(tokenize(PLAIN, tiny.fast_tokenizer(), max_length=count)) == count
    with pytest.raises(DataError, match=rf"has {count} tokens, over the maximum of {count - 1}"):
        tokenize(PLAIN, tiny.fast_tokenizer(), max_length=count - 1)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_shortening_takes_from_the_beginning_of_the_prompt_and_nothing_learned(adds_bos: bool) -> None:
    tokenizer = tiny.fast_tokenizer(adds_bos=adds_bos)
    whole = tokenize(PLAIN, tokenizer)
    shortest = whole.completion_tokens + 1
    for length in range(shortest, len(whole) + 1):
        cut = tokenize(PLAIN, tokenizer, max_length=length, truncation="prompt")
        assert len(cut) == length
        assert cut.completion_tokens == whole.completion_tokens
        assert (
            cut.input_ids[-whole.completion_tokens :].tolist()
            == whole.input_ids[-whole.completion_tokens :].tolist()
        )
        assert (cut.input_ids[0] == tokenizer.bos_token_id) == adds_bos
    with pytest.raises(DataError, match="does not fit"):
        tokenize(PLAIN, tokenizer, max_length=shortest - 1, truncation="prompt")


def test_shortened_examples_are_counted() -> None:
    count = len(tokenize(PLAIN, tiny.fast_tokenizer()))
    done = tokenize_all([PLAIN, PLAIN], tiny.fast_tokenizer(), max_length=count - 2, truncation="prompt")
    assert done.notes == ("2 examples shortened at the beginning of the prompt to fit the maximum length.",)


def test_skipping_sets_aside_what_cannot_be_tokens_and_keeps_the_order() -> None:
    bad = example(rendering="tokens", input_ids=(5, 60_000), labels=(-100, 60_000), record={"row": 1})
    done = tokenize_all([PLAIN, bad, PLAIN], tiny.fast_tokenizer(), on_bad_rows="skip")
    assert len(done.tokens) == 2
    assert done.rejects[0].record == {"row": 1}
    assert not done.rejects[0].reason.startswith("file.jsonl")
    with pytest.raises(DataError):
        tokenize_all([PLAIN, bad], tiny.fast_tokenizer())


@pytest.mark.parametrize(
    "how", [{"loss_on": "some"}, {"render": "raw"}, {"truncation": "cut"}, {"max_length": 0}]
)
def test_unknown_choices_are_errors(how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        tokenize(PLAIN, tiny.fast_tokenizer(), **how)


def test_half_a_character_is_an_error_with_its_row() -> None:
    given = example(user("a"), assistant("\ud800"), rendering="plain")
    with pytest.raises(AssayError, match="row 3"):
        tokenize(given, tiny.fast_tokenizer())
