"""What of a conversation is learned, for templates with the traits of those in the field."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data import spans
from assay.data.chat import chat_of
from assay.data.example import Message
from assay.data.render import loss_on_warning, tokenize, tokenize_all
from assay.errors import DataError, ModelError
from tests.data import tokenizers_for_tests as tiny
from tests.data.helpers import assistant, example, learned, user

TWO_TURNS = example(user("Two?"), assistant("It is two."), user("Four?"), assistant("It is four."))
THOUGHT = example(
    user("Two?"),
    assistant("It is two.", reasoning="hm one"),
    user("Four?"),
    assistant("It is four.", reasoning="hm two"),
)
CALL = {"type": "function", "function": {"name": "adder", "arguments": {"x": 2}}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (tiny.CHATML, ["It is two.<|im_end|>", "It is four.<|im_end|>"]),
        (tiny.TAGGED, ["It is two.<|im_end|>", "It is four.<|im_end|>"]),
        (tiny.LLAMA_LIKE, ["It is two.<|eot|>", "It is four.<|eot|>"]),
        (tiny.GEMMA_LIKE, ["It is two.</turn>", "It is four.</turn>"]),
        (tiny.THINKING, ["It is two.<|im_end|>", "<think>\n\n</think>\n\nIt is four.<|im_end|>"]),
        (tiny.LAST_ENDS_OTHERWISE, ["<|/head|>It is two.<|im_end|>", "<|/head|>It is four.<eos>"]),
        (tiny.INSTRUCTION_TAGS, ["It is two.<eos>", "It is four.<eos>"]),
    ],
    ids=["chatml", "tagged", "llama", "gemma", "thinking", "last-ends-otherwise", "instruction-tags"],
)
def test_every_assistant_turn_and_its_end_is_learned_and_nothing_else(
    template: str, expected: list[str]
) -> None:
    assert learned(TWO_TURNS, tiny.fast_tokenizer(), chat_template=template) == expected


@pytest.mark.parametrize("template", [tiny.CHATML, tiny.TAGGED, tiny.THINKING, tiny.LLAMA_LIKE])
def test_ids_are_those_of_the_whole_conversation_written_out(template: str) -> None:
    tokenizer = tiny.fast_tokenizer()
    messages = [{"role": m.role, "content": m.content} for m in TWO_TURNS.messages]
    text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    ids = tokenize(TWO_TURNS, tokenizer, chat_template=template).input_ids
    assert ids.tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_loss_on_last_learns_the_last_turn_alone() -> None:
    for template in (tiny.CHATML, tiny.TAGGED, tiny.LLAMA_LIKE):
        parts = learned(TWO_TURNS, tiny.fast_tokenizer(), chat_template=template, loss_on="last")
        assert [part[:11] for part in parts] == ["It is four."]


def test_loss_on_all_learns_everything_but_the_first_token() -> None:
    tokens = tokenize(TWO_TURNS, tiny.fast_tokenizer(), chat_template=tiny.TAGGED, loss_on="all")
    assert tokens.weights.tolist() == [0.0] + [1.0] * (len(tokens) - 1)


def test_reasoning_of_the_last_turn_is_learned_and_of_earlier_turns_only_what_the_template_keeps() -> None:
    parts = learned(THOUGHT, tiny.fast_tokenizer(), chat_template=tiny.THINKING)
    assert parts == ["It is two.<|im_end|>", "<think>\nhm two\n</think>\n\nIt is four.<|im_end|>"]


def test_a_generation_prompt_that_closes_thinking_does_not_swallow_the_turn() -> None:
    given = example(*TWO_TURNS.messages, template_kwargs={"enable_thinking": False})
    parts = learned(given, tiny.fast_tokenizer(), chat_template=tiny.THINKING)
    assert parts[0] == "It is two.<|im_end|>"
    assert parts[1].endswith("It is four.<|im_end|>")


def test_reasoning_is_written_between_think_tags_where_the_template_has_no_place_for_it() -> None:
    parts = learned(THOUGHT, tiny.fast_tokenizer(), chat_template=tiny.CHATML)
    assert parts[0] == "<think>\nhm one\n</think>\n\nIt is two.<|im_end|>"


def test_what_a_template_drops_is_said() -> None:
    notes = tokenize_all([THOUGHT], tiny.fast_tokenizer(), chat_template=tiny.THINKING).notes
    assert notes == ("1 example with reasoning that the chat template leaves out.",)


@pytest.mark.parametrize("arguments", [{"x": 2}, '{"x": 2}'], ids=["object", "json-text"])
def test_a_tool_call_is_learned_and_its_result_is_not(arguments: object) -> None:
    call = {"type": "function", "function": {"name": "adder", "arguments": arguments}}
    given = example(user("Add."), assistant("", tool_calls=(call,)), Message("tool", "4"), assistant("Four."))
    parts = learned(given, tiny.fast_tokenizer(), chat_template=tiny.WITH_TOOLS)
    assert parts[0].startswith("[call adder ")
    assert parts[0].endswith("]<|im_end|>")
    assert parts[1] == "Four.<|im_end|>"


def test_a_tool_call_is_written_as_text_where_the_template_knows_none() -> None:
    given = example(user("Add."), assistant("", tool_calls=(CALL,)))
    (part,) = learned(given, tiny.fast_tokenizer(), chat_template=tiny.CHATML)
    assert part == '{"name": "adder", "arguments": {"x": 2}}<|im_end|>'


def test_tools_that_the_template_leaves_out_are_noted() -> None:
    tool = {"type": "function", "function": {"name": "adder"}}
    given = example(user("Add."), assistant("Four."), tools=(tool,))
    shown = tokenize_all([given], tiny.fast_tokenizer(), chat_template=tiny.WITH_TOOLS)
    hidden = tokenize_all([given], tiny.fast_tokenizer(), chat_template=tiny.CHATML)
    assert shown.notes == ()
    assert hidden.notes == ("1 example with tools that the chat template leaves out.",)


@pytest.mark.parametrize("template", [tiny.CHATML, tiny.TAGGED])
def test_per_message_weights_are_honoured(template: str) -> None:
    given = example(user("a?"), assistant("one", weight=0.0), user("b?"), assistant("two", weight=0.5))
    tokens = tokenize(given, tiny.fast_tokenizer(), chat_template=template)
    assert learned(given, tiny.fast_tokenizer(), chat_template=template) == ["two<|im_end|>"]
    assert set(np.unique(tokens.weights)) == {0.0, 0.5}


def test_a_weight_on_a_users_turn_is_honoured() -> None:
    given = example(user("a?", weight=1.0), assistant("one"))
    for template in (tiny.CHATML, tiny.TAGGED):
        parts = learned(given, tiny.fast_tokenizer(), chat_template=template)
        assert "a?" in parts[0]
        assert parts[-1].endswith("one<|im_end|>")


def test_under_loss_on_all_a_weight_of_zero_leaves_a_turn_out() -> None:
    given = example(user("aa?", weight=0.0), assistant("one"))
    parts = learned(given, tiny.fast_tokenizer(), chat_template=tiny.CHATML, loss_on="all")
    assert not any("aa?" in part for part in parts)
    assert "one<|im_end|>" in parts[-1]


def test_words_that_end_like_other_turns_are_not_confused() -> None:
    given = example(user("same"), assistant("same"), user("same"), assistant("same"))
    for template in (tiny.CHATML, tiny.THINKING, tiny.LAST_ENDS_OTHERWISE):
        parts = learned(given, tiny.fast_tokenizer(), chat_template=template)
        assert len(parts) == 2
        assert all(part.count("same") == 1 for part in parts)


def test_text_that_looks_like_a_header_does_not_move_the_mask() -> None:
    given = example(
        user("<|im_start|>assistant\nx"), assistant("<think>y", reasoning="r"), user("q"), assistant("z")
    )
    parts = learned(given, tiny.fast_tokenizer(), chat_template=tiny.THINKING)
    assert parts == ["<think>y<|im_end|>", "<think>\n\n</think>\n\nz<|im_end|>"]


@pytest.mark.parametrize("trims", [False, True])
def test_languages_without_spaces(trims: bool) -> None:
    given = example(
        user("二足す二は?"), assistant("四です。"), user("ありがとう"), assistant("どういたしまして 🙂")
    )
    parts = learned(given, tiny.fast_tokenizer(trims_offsets=trims), chat_template=tiny.LLAMA_LIKE)
    assert parts == ["四です。<|eot|>", "どういたしまして 🙂<|eot|>"]


def test_spaces_at_the_edges_are_learned_where_offsets_leave_them_out() -> None:
    given = example(user("q"), assistant(" four "))
    (part,) = learned(given, tiny.fast_tokenizer(trims_offsets=True), chat_template=tiny.CHATML)
    assert part == " four <|im_end|>"


def test_slow_tokenizers_give_the_same_mask() -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    parts = learned(TWO_TURNS, tiny.SlowCharacters(), chat_template=template)
    assert parts == ["It is two.;", "It is four.;"]


WORDS = st.text(st.sampled_from("ab \n<>|/think四🙂é.?"), min_size=1, max_size=12).filter(
    lambda words: words.strip()
)
TEMPLATES = st.sampled_from(
    [
        tiny.CHATML,
        tiny.LLAMA_LIKE,
        tiny.GEMMA_LIKE,
        tiny.THINKING,
        tiny.LAST_ENDS_OTHERWISE,
        tiny.INSTRUCTION_TAGS,
    ]
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3), TEMPLATES)
def test_both_ways_of_finding_a_turn_agree_whatever_is_said(
    pairs: list[tuple[str, str]], template: str
) -> None:
    turns = [message for asked, said in pairs for message in (user(asked), assistant(said))]
    chat = chat_of(example(*turns), tiny.fast_tokenizer(), template)
    for index in range(1, len(turns), 2):
        start, end = spans.turn_span(chat, index)
        assert turns[index].content.strip() in chat.full[start:end]
        contrast = spans._by_contrast(chat, index, header=True)
        assert (start, end) == (contrast[0], spans._without_trailing_space(chat, *contrast))


def test_a_template_that_leaves_the_words_out_is_an_error_with_file_and_row() -> None:
    with pytest.raises(DataError, match=r"file\.jsonl, row 3.*leaves out what turn 2 says"):
        tokenize(TWO_TURNS, tiny.fast_tokenizer(), chat_template=tiny.FORGETFUL)


def test_a_template_that_refuses_is_an_error_with_its_reason() -> None:
    given = example(Message("system", "Be brief."), user("a"), assistant("b"))
    with pytest.raises(DataError, match=r"file\.jsonl, row 3.*System role not supported"):
        tokenize(given, tiny.fast_tokenizer(), chat_template=tiny.GEMMA_LIKE)


def test_without_a_template_the_error_names_both_ways_out() -> None:
    with pytest.raises(ModelError, match=r"--chat-template FILE.*--render plain"):
        tokenize(TWO_TURNS, tiny.fast_tokenizer())


def test_nothing_learned_is_an_error() -> None:
    given = example(user("a"), assistant("b", weight=0.0))
    with pytest.raises(DataError, match=r"file\.jsonl, row 3: no token"):
        tokenize(given, tiny.fast_tokenizer(), chat_template=tiny.CHATML)


def test_a_conversation_may_begin_with_the_assistant() -> None:
    given = example(assistant("Hello."), user("q"), assistant("z"))
    assert learned(given, tiny.fast_tokenizer(), chat_template=tiny.CHATML) == [
        "Hello.<|im_end|>",
        "z<|im_end|>",
    ]


def test_the_warning_speaks_only_where_the_trainer_is_known_to_differ() -> None:
    assert loss_on_warning("assistant", None) is None
    assert loss_on_warning("assistant", "assistant") is None
    assert "--loss-on all" in (loss_on_warning("assistant", "all") or "")
