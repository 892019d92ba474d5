"""Examples behind one another: their two places make up the joined conversation, token by token."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.data.example import Example, Message
from assay.data.joining import Joining, comparable
from assay.data.render import tokenize
from tests.data import tokenizers_for_tests as tiny
from tests.data.helpers import assistant, example, user
from tests.data.test_stock_templates import PLAIN_ENDS

ONE_TURN = example(user("What is two?"), assistant("It is ab."))
TWO_TURNS = example(user("Two?"), assistant("ab ab"), user("\nFour?"), assistant("It is four."))
SYSTEM = Message("system", "Be kind.")

TEMPLATES = {
    "chatml": tiny.CHATML,
    "with generation tags": tiny.TAGGED,
    "llama": tiny.LLAMA_LIKE,
    "mistral": tiny.INSTRUCTION_TAGS,
    "gemma": tiny.GEMMA_LIKE,
    "last turn ends otherwise": tiny.LAST_ENDS_OTHERWISE,
    "earlier reasoning is dropped": tiny.THINKING,
    "no special token": "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}",
}
ONE_CONVERSATION = (
    "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}" + tiny.CHATML
)


def written(tokenizer: Any, template: str, *examples: Example) -> list[int]:
    """The tokens of all turns as one conversation."""
    turns = [{"role": m.role, "content": m.content} for one in examples for m in one.messages]
    text = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def scored(tokens: Any) -> list[int]:
    ids: list[int] = tokens.input_ids[tokens.weights > 0].tolist()
    return ids


@pytest.mark.parametrize("first", [ONE_TURN, TWO_TURNS], ids=["one turn", "two turns"])
@pytest.mark.parametrize("second", [ONE_TURN, TWO_TURNS], ids=["one turn", "two turns"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_opening_and_following_are_the_template_over_all_turns(
    template: str, first: Example, second: Example
) -> None:
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=template)
    opening, following = joining.joined(first).opening, joining.joined(second).following
    assert [*opening, *following.input_ids] == written(tokenizer, template, first, second)
    assert joining.notes == ()


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_query_is_scored_on_the_tokens_it_is_scored_on_by_itself(template: str) -> None:
    tokenizer = tiny.fast_tokenizer()
    weighted = replace(
        TWO_TURNS, messages=(user("Two?"), assistant("ab", weight=0.5), user("Four?"), assistant("four"))
    )
    for one in (ONE_TURN, TWO_TURNS, weighted):
        own = tokenize(one, tokenizer, chat_template=template)
        following = Joining(tokenizer, chat_template=template).joined(one).following
        assert scored(following) == scored(own)
        assert following.weights[following.weights > 0].tolist() == own.weights[own.weights > 0].tolist()
        assert following.id == one.id


def test_a_slow_tokenizer_joins_as_well() -> None:
    tokenizer = tiny.SlowCharacters()
    template = TEMPLATES["no special token"]
    joining = Joining(tokenizer, chat_template=template)
    opening, following = joining.joined(TWO_TURNS).opening, joining.joined(ONE_TURN).following
    assert [*opening, *following.input_ids] == written(tokenizer, template, TWO_TURNS, ONE_TURN)


def test_a_following_leaves_its_system_turn_out_and_an_opening_keeps_it() -> None:
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=tiny.CHATML)
    with_system = joining.joined(replace(ONE_TURN, messages=(SYSTEM, *ONE_TURN.messages)))
    assert tokenizer.decode(with_system.opening).startswith("<|im_start|>system\nBe kind.")
    assert with_system.following.input_ids.tolist() == joining.joined(ONE_TURN).following.input_ids.tolist()
    assert joining.notes == (
        "1 example whose system turn or tools are left out where they follow a demonstration.",
    )


def test_tools_stay_with_the_demonstration() -> None:
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=tiny.WITH_TOOLS)
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    joined = joining.joined(replace(ONE_TURN, tools=(tool,)))
    assert "add" in tokenizer.decode(joined.opening)
    assert joined.following.input_ids.tolist() == joining.joined(ONE_TURN).following.input_ids.tolist()


def test_a_template_for_one_question_joins_by_a_blank_line_and_says_so() -> None:
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=ONE_CONVERSATION)
    joined = joining.joined(ONE_TURN)
    own = tokenize(ONE_TURN, tokenizer, chat_template=ONE_CONVERSATION)
    assert joined.opening.tolist() == [*own.input_ids, *tokenizer("\n\n")["input_ids"]]
    assert joined.following.input_ids.tolist() == own.input_ids.tolist()
    assert joining.notes == (
        "1 example joined by a blank line, since the chat template does not put one conversation behind "
        "another.",
    )


def test_learning_what_a_template_writes_first_joins_by_a_blank_line() -> None:
    """With the loss on all, a prelude is learned, and it does not come again behind a demonstration."""
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=tiny.LLAMA_LIKE, loss_on="all")
    own = tokenize(ONE_TURN, tokenizer, chat_template=tiny.LLAMA_LIKE, loss_on="all")
    assert scored(joining.joined(ONE_TURN).following) == scored(own)
    assert len(joining.notes) == 1


def test_an_example_tokenised_otherwise_behind_another_is_no_query() -> None:
    template = tiny.CHATML.replace("m.content", "(m.content | trim if loop.index0 > 1 else m.content)")
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=template)
    joined = joining.joined(example(user("Two?"), assistant("two ")))
    assert len(joined.following) == 0 and len(joined.opening) > 0
    assert len(joining.joined(ONE_TURN).following) > 0
    assert joining.notes == (
        "1 example not taken as a query: what is learned has other tokens behind a demonstration than by "
        "itself.",
    )


def test_a_conversation_that_nothing_may_follow_is_no_demonstration() -> None:
    tokenizer = tiny.fast_tokenizer()
    joining = Joining(tokenizer, chat_template=tiny.GEMMA_LIKE, loss_on="last")
    unfinished = example(user("Two?"), assistant("ab"), user("and?"))
    joined = joining.joined(
        replace(unfinished, messages=(*unfinished.messages[:2], user("and?", weight=1.0)))
    )
    assert len(joined.opening) == 0
    assert joining.notes == (
        "1 example not taken as a demonstration: the chat template lets nothing follow.",
    )


def test_a_demonstration_that_changes_how_the_next_question_is_written_is_none() -> None:
    """Its opening would not be the same whatever follows."""
    counting = "{% if loop.revindex == 2 %}{{ messages | length }}{% endif %}"
    template = tiny.CHATML.replace("{{ m.content }}", counting + "{{ m.content }}")
    joining = Joining(tiny.fast_tokenizer(), chat_template=template)
    assert len(joining.joined(ONE_TURN).opening) > 0
    assert len(joining.joined(TWO_TURNS).opening) == 0


def test_plain_examples_stand_behind_each_other_with_a_blank_line() -> None:
    tokenizer = tiny.fast_tokenizer(adds_bos=True)
    joining = Joining(tokenizer)
    joined = joining.joined(replace(ONE_TURN, rendering="plain"))
    assert tokenizer.decode(joined.opening) == "<bos>What is two?It is ab.\n\n"
    assert tokenizer.decode(joined.following.input_ids) == "What is two?It is ab.<eos>"
    assert tokenizer.decode(scored(joined.following)) == "It is ab.<eos>"
    assert joining.notes == ()


def test_ready_tokens_are_joined_as_they_are() -> None:
    tokenizer = tiny.fast_tokenizer()
    ids = (0, 20, 21, 22, 1)
    ready = Example(
        "r", (), ONE_TURN.source, rendering="tokens", input_ids=ids, labels=(-100, -100, 21, 22, 1)
    )
    joined = Joining(tokenizer).joined(ready)
    assert joined.opening.tolist() == [0, 20, 21, 22, *tokenizer("\n\n")["input_ids"]]
    assert joined.following.input_ids.tolist() == [20, 21, 22, 1]
    assert joined.following.weights.tolist() == [0, 1, 1, 1]


def test_a_completion_with_nothing_before_it_but_bos_is_scored_whole_behind_a_demonstration() -> None:
    tokenizer = tiny.fast_tokenizer()
    ready = Example("r", (), ONE_TURN.source, rendering="tokens", input_ids=(0, 20, 21), labels=(0, 20, 21))
    following = Joining(tokenizer).joined(ready).following
    assert following.input_ids.tolist() == [20, 21] and following.weights.tolist() == [1, 1]


def test_a_shortened_example_is_as_short_in_both_places() -> None:
    tokenizer = tiny.fast_tokenizer()
    how: Any = {"chat_template": tiny.LLAMA_LIKE, "max_length": 20, "truncation": "prompt"}
    joining = Joining(tokenizer, **how)
    own = tokenize(ONE_TURN, tokenizer, **how)
    joined = joining.joined(ONE_TURN)
    assert len(own) == 20 and len(tokenize(ONE_TURN, tokenizer, chat_template=tiny.LLAMA_LIKE)) > 20
    assert joined.opening.tolist() == own.input_ids.tolist()
    assert joined.following.input_ids.tolist() == own.input_ids[1:].tolist()
    assert joined.following.weights.tolist() == own.weights[1:].tolist()


def test_without_bos_the_first_scored_token_is_left_out() -> None:
    tokenizer = tiny.fast_tokenizer.__wrapped__()
    tokenizer.bos_token = None
    own = tokenize(ONE_TURN, tokenizer, chat_template=tiny.CHATML)
    joined = Joining(tokenizer, chat_template=tiny.CHATML).joined(ONE_TURN)
    assert scored(joined.following) == scored(own)[1:]
    assert scored(comparable(own, None)) == scored(own)[1:]
    assert np.array_equal(comparable(own, 0).weights, own.weights)


STOCK = (
    "llama3",
    "llama3_2",
    "gemma",
    "gemma3",
    "qwen2_5",
    "qwen3",
    "phi3",
    "cohere",
    "gptoss",
    "deepseekv3",
)


@pytest.mark.parametrize("name", STOCK)
def test_templates_as_models_ship_them_join(name: str) -> None:
    folder = Path(pytest.importorskip("trl").__file__).parent / "chat_templates"
    if not (folder / f"{name}.jinja").exists():
        pytest.skip(f"no {name} here")
    tokenizer, template = tiny.fast_tokenizer.__wrapped__(), (folder / f"{name}.jinja").read_text()
    ends = [*dict.fromkeys(PLAIN_ENDS.values()), "<|return|>", "<|end|>", "<｜end▁of▁sentence｜>"]
    tokenizer.add_special_tokens({"additional_special_tokens": ends})
    joining = Joining(tokenizer, chat_template=template)
    opening, following = joining.joined(TWO_TURNS).opening, joining.joined(ONE_TURN).following
    assert [*opening, *following.input_ids] == written(tokenizer, template, TWO_TURNS, ONE_TURN)
    assert joining.notes == ()
