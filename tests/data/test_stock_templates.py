"""Templates as models ship them, where TRL is installed and brings copies along."""

from pathlib import Path
from typing import Any

import pytest

from tests.data import tokenizers_for_tests as tiny
from tests.data.helpers import assistant, example, learned, user

TURNS = (user("Two?"), assistant("It is two."), user("Four?"), assistant("It is four."))
THOUGHT = (
    user("Two?"),
    assistant("It is two.", reasoning="hm one"),
    user("Four?"),
    assistant("It is four.", reasoning="hm two"),
)
PLAIN_ENDS = {
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "qwen2_5": "<|im_end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "phi3": "<|end|>",
    "cohere": "<|END_OF_TURN_TOKEN|>",
}


@pytest.fixture(scope="module")
def templates() -> Path:
    trl = pytest.importorskip("trl")
    folder = Path(trl.__file__).parent / "chat_templates"
    if not folder.is_dir():
        pytest.skip("this TRL brings no templates along")
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = tiny.fast_tokenizer.__wrapped__()
    made.add_special_tokens(
        {"additional_special_tokens": [*dict.fromkeys(PLAIN_ENDS.values()), "<|return|>"]}
    )
    return made


@pytest.mark.parametrize("name", PLAIN_ENDS)
def test_each_turn_is_its_words_and_its_end(templates: Path, tokenizer: Any, name: str) -> None:
    file = templates / f"{name}.jinja"
    if not file.exists():
        pytest.skip(f"no {name} here")
    first, last = learned(example(*TURNS), tokenizer, chat_template=file.read_text())
    assert first == f"It is two.{PLAIN_ENDS[name]}"
    assert last.startswith(f"It is four.{PLAIN_ENDS[name]}")


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("qwen3", "It is two.<|im_end|>", "<think>\nhm two\n</think>\n\nIt is four.<|im_end|>"),
        (
            "gptoss",
            "<|channel|>final<|message|>It is two.<|end|>",
            "<|channel|>analysis<|message|>hm two<|end|><|start|>assistant"
            "<|channel|>final<|message|>It is four.<|return|>",
        ),
    ],
)
def test_templates_that_rewrite_earlier_turns(
    templates: Path, tokenizer: Any, name: str, first: str, last: str
) -> None:
    file = templates / f"{name}.jinja"
    if not file.exists():
        pytest.skip(f"no {name} here")
    assert learned(example(*THOUGHT), tokenizer, chat_template=file.read_text()) == [first, last]
