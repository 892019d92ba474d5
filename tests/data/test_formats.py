"""Every format of the table, read from one record."""

from typing import Any

import pytest

from assay.data.columns import ColumnMapping
from assay.data.drafts import Draft, Options, checked
from assay.data.example import Message
from assay.data.fields import RowError, label
from assay.data.formats import COLUMNS, FORMATS, detect, named
from assay.errors import ConfigError

ASKED = Message("user", "Hi")
ANSWERED = Message("assistant", "Hello!")


def read(record: dict[str, Any], **options: Any) -> Draft:
    """The one draft of a record, by the format that is detected."""
    found = detect([record])
    assert found is not None
    (draft,) = found.read(record, Options(**options))
    return checked(draft)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        (
            "messages",
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]},
        ),
        (
            "messages",
            {"messages": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]'},
        ),
        (
            "messages",
            {
                "conversations": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello!"},
                ]
            },
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "value": "Hi"}]},
                    {
                        "role": "assistant",
                        "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}],
                    },
                ]
            },
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
        ),
        ("swift-conversation", {"conversation": [{"human": "Hi", "assistant": "Hello!"}]}),
        ("alpaca", {"instruction": "Hi", "input": "", "output": "Hello!"}),
        ("alpaca", {"instruction": "Hi", "output": "Hello!", "input": None, "history": [], "system": ""}),
        ("instances", {"instruction": "Hi", "instances": [{"input": "", "output": "Hello!"}]}),
        ("query-response", {"query": "Hi", "response": "Hello!"}),
        ("question-answer", {"question": "Hi", "answer": "Hello!"}),
        ("preference", {"question": "Hi", "chosen": "Hello!", "rejected": "No."}),
    ],
)
def test_the_same_exchange_in_every_format(name: str, record: dict[str, Any]) -> None:
    assert detect([record]) is named(name)
    draft = read(record)
    assert draft.messages == (ASKED, ANSWERED)
    assert draft.rendering == "chat"


def test_names_in_the_table_are_unique_and_samples_are_detected_as_themselves() -> None:
    import json

    names = [row.name for row in (*FORMATS, COLUMNS)]
    assert len(set(names)) == len(names)
    for row in FORMATS:
        record = json.loads(row.sample)
        assert detect([record]) is row
        checked(row.read(record, Options())[0])


def test_strings_of_prompt_and_completion_are_plain_and_lists_are_chat() -> None:
    plain = read({"prompt": "Hi", "completion": " Hello!"})
    assert plain.rendering == "plain"
    assert plain.messages == (ASKED, Message("assistant", " Hello!"))
    lists = read(
        {
            "prompt": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello!"},
                {"role": "user", "content": "Bye"},
            ],
            "completion": [{"role": "assistant", "content": "See you."}],
        }
    )
    assert lists.rendering == "chat"
    assert [message.weight for message in lists.messages] == [None, 0.0, None, None]


@pytest.mark.parametrize("text", ['["a", "b"]', '[{"name": "f"}]', "[1, 2]", "[INST] x"])
def test_text_in_brackets_is_text(text: str) -> None:
    assert read({"prompt": text, "completion": text}).messages[1].content == text
    assert read({"prompt": text, "chosen": text, "rejected": "b"}).messages[1].content == text
    assert read({"question": text, "answer": text}).messages[1].content == text


def test_text_is_a_completion_without_a_prompt() -> None:
    assert read({"text": "Once."}) == Draft((Message("assistant", "Once."),), "plain")


@pytest.mark.parametrize(
    ("key", "value", "weight"),
    [
        ("train", False, 0.0),
        ("loss", True, 1.0),
        ("loss_weight", 0.25, 0.25),
        ("weight", 2, 2.0),
        ("loss_scale", None, None),
    ],
)
def test_loss_weights_under_their_names(key: str, value: object, weight: float | None) -> None:
    draft = read(
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a", key: value}]}
    )
    assert draft.messages[1].weight == weight


@pytest.mark.parametrize("value", [-1, "much", float("nan"), float("inf"), [1]])
def test_loss_weights_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(RowError, match="weight"):
        read({"messages": [{"role": "assistant", "content": "a", "weight": value}]})


def test_tool_calls_tools_and_reasoning_in_every_spelling() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    tools = '[{"name": "f", "parameters": {}}]'
    spellings: list[dict[str, Any]] = [
        {
            "messages": [
                {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "reasoning", "value": "hm"},
                        {"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                    ],
                }
            ]
        },
    ]
    for record in spellings:
        draft = read({**record, "tools": tools})
        assert draft.messages == (Message("assistant", "", None, (call,), "hm"),)
        assert draft.tools == ({"type": "function", "function": {"name": "f", "parameters": {}}},)
    shared = read(
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "1"},
                {"from": "gpt", "value": "One."},
            ]
        }
    )
    assert [message.role for message in shared.messages] == ["user", "assistant", "tool", "assistant"]
    assert shared.messages[1].tool_calls == (call,)


def test_fields_that_arrow_fills_with_none_count_as_absent() -> None:
    argument = {"x": 1, "y": None}
    record = {
        "messages": [
            {"role": "user", "content": "Hi", "tool_calls": None, "weight": None},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": argument}}],
            },
        ],
        "chosen": None,
        "rejected": None,
        "tools": None,
    }
    draft = read(record)
    assert draft.messages[1].tool_calls[0]["function"]["arguments"] == {"x": 1}


def test_history_and_system_stand_before_the_question() -> None:
    record = {"instruction": "c", "input": "d", "output": "e", "history": [["a", "b"]], "system": "s"}
    assert [message.content for message in read(record).messages] == ["s", "a", "b", "c\nd", "e"]


@pytest.mark.parametrize("response", ["chosen", "rejected"])
@pytest.mark.parametrize("shape", ["strings", "lists", "whole", "no-prompt", "dicts"])
def test_pairs_with_and_without_prompt(shape: str, response: str) -> None:
    def said(role: str, content: str) -> dict[str, str]:
        return {"role": role, "content": content}

    prompt = [said("user", "Hi"), said("assistant", "Yes?"), said("user", "Well")]
    answers = {"chosen": "good", "rejected": "bad"}
    records: dict[str, dict[str, Any]] = {
        "strings": {"prompt": "Well", **answers},
        "lists": {"prompt": prompt, **{key: [said("assistant", text)] for key, text in answers.items()}},
        "whole": {
            "prompt": "Well",
            **{key: [*prompt, said("assistant", text)] for key, text in answers.items()},
        },
        "no-prompt": {key: [*prompt, said("assistant", text)] for key, text in answers.items()},
        "dicts": {"messages": prompt, **{key: said("assistant", text) for key, text in answers.items()}},
    }
    draft = read(records[shape], response=response)
    assert draft.messages[-1] == Message("assistant", answers[response])
    assert draft.messages[-2] == Message("user", "Well")
    if shape == "strings":
        assert draft.rendering == "plain"
    else:
        assert [message.weight for message in draft.messages] == [None, 0.0, None, None]


def test_strings_without_a_prompt_share_their_beginning_up_to_a_whole_word() -> None:
    draft = read(
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Yes, yellow",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Yes, yes",
        }
    )
    assert [message.content for message in draft.messages] == ["\n\nHuman: Hi\n\nAssistant: Yes, ", "yellow"]


def test_ready_tokens_take_labels_or_masks_or_are_learned_whole() -> None:
    ids = [7, 8, 9]
    assert read({"input_ids": ids, "labels": [-100, 8, 9]}).labels == (-100, 8, 9)
    assert read({"input_ids": ids, "completion_mask": [0, 0, 1]}).labels == (-100, -100, 9)
    assert read({"input_ids": ids}).labels == (7, 8, 9)
    padded = read({"input_ids": [0, *ids], "labels": [-100, 7, 8, 9], "attention_mask": [0, 1, 1, 1]})
    assert (padded.input_ids, padded.labels) == ((7, 8, 9), (7, 8, 9))


@pytest.mark.parametrize(
    "record",
    [
        {"input_ids": []},
        {"input_ids": [1, "a"]},
        {"input_ids": [1, -2]},
        {"input_ids": [1, 2], "labels": [1]},
        {"input_ids": [1, 2], "labels": [2, -100]},
        {"input_ids": [1, 2], "labels": [1, -100]},
        {"input_ids": [1, 2], "completion_mask": [1]},
        {"input_ids": [1, 2], "attention_mask": [1]},
    ],
)
def test_ready_tokens_that_cannot_be_are_refused(record: dict[str, Any]) -> None:
    with pytest.raises(RowError):
        read(record)


@pytest.mark.parametrize("key", ["completion_mask", "assistant_masks"])
@pytest.mark.parametrize("mask", [[0, 1], [0, 1, 1, 1]])
def test_a_mask_of_another_length_than_the_tokens_is_refused(key: str, mask: list[int]) -> None:
    """Alone, beside the other mask, and beside labels, which would go before it."""
    other = ({"completion_mask", "assistant_masks"} - {key}).pop()
    for beside in ({}, {other: [0, 1, 1]}, {"labels": [-100, 8, 9]}):
        with pytest.raises(RowError, match=f"'{key}' has a length of {len(mask)}, but there are 3"):
            read({"input_ids": [7, 8, 9], key: mask, **beside})


def test_both_masks_together_learn_what_both_allow() -> None:
    both = {"completion_mask": [0, 1, 1], "assistant_masks": [1, 0, 1]}
    assert read({"input_ids": [7, 8, 9], **both}).labels == (-100, -100, 9)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "a", "completion": "  "}, "field 'completion' is empty"),
        ({"prompt": ["a"], "completion": "b"}, "should be an object"),
        ({"prompt": 3, "completion": "b"}, "should be text but is a number"),
        ({"prompt": "a", "completion": float("nan")}, "NaN"),
        ({"question": "a", "answer": ["b"]}, "should be text but is a list"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no assistant turn"),
        (
            {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]},
            "the last turn is by the user",
        ),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "unknown role 'wizard'"),
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, "turn 2 should be an object"),
        ({"messages": [{"role": "assistant", "content": 5}]}, "should be text"),
        ({"messages": [{"role": "assistant", "content": [{"type": "image", "url": "x"}]}]}, "kind 'image'"),
        ({"messages": [{"role": "assistant", "content": "\ud800"}]}, "lone surrogate"),
        ({"conversations": [{"from": "function_call", "value": "no json"}]}, "is not JSON"),
        ({"conversations": [{"from": "function_call", "value": '{"name": "f"}'}]}, "no 'arguments'"),
        ({"instruction": "", "input": "", "output": "x"}, "both empty"),
        ({"instruction": "a", "output": "x", "history": [["only one"]]}, "entry 1"),
        ({"instruction": "a", "output": "x", "tools": "[1]"}, "list of objects"),
        (
            {
                "messages": [{"role": "assistant", "content": "a"}],
                "chat_template_kwargs": {"chat_template": "{{ 1 }}"},
            },
            "may not set chat_template",
        ),
        ({"chosen": "same", "rejected": "same", "prompt": None}, None),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(record: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert read(record).messages[-1].content == "same"
        return
    with pytest.raises(RowError, match=reason):
        read(record)


def test_detection_goes_with_the_majority_and_finds_nothing_in_strange_rows() -> None:
    alpaca, strange = {"instruction": "a", "output": "b"}, {"text": "x"}
    assert detect([strange, alpaca, alpaca]) is named("alpaca")
    assert detect([{"a": 1}]) is None
    assert detect([]) is None


def mapped(record: dict[str, Any], mapping: ColumnMapping) -> list[str]:
    (draft,) = COLUMNS.read(record, Options(columns=mapping))
    return [message.content for message in draft.messages]


def test_columns_and_templates_are_filled_in_and_nothing_is_evaluated() -> None:
    mapping = ColumnMapping.parse(
        "q,a,r",
        prompt="q",
        completion=r"{r}\nSo the answer is {a}. {{as is}}",
        system="Think.{a}",
        unescape=True,
    )
    record = {"q": r"one\ntwo \times", "a": "(B)", "r": "{q} {q.__class__} {0}"}
    assert mapped(record, mapping) == [
        "Think.(B)",
        "one\ntwo \\times",
        "{q} {q.__class__} {0}\nSo the answer is (B). {as is}",
    ]


def test_a_template_reaches_into_objects_of_the_row_but_not_into_python() -> None:
    mapping = ColumnMapping(prompt="q", completion="{model.solution}")
    assert mapped({"q": "a", "model": {"solution": "b"}}, mapping) == ["a", "b"]
    with pytest.raises(RowError, match=r"column 'q\.__class__' is missing"):
        mapped({"q": "a"}, ColumnMapping(prompt="q", completion="{q.__class__}"))


@pytest.mark.parametrize("cell", [None, 1.5, True, ["x"], float("nan")])
def test_cells_that_are_no_text_are_refused_and_whole_numbers_are_taken(cell: object) -> None:
    mapping = ColumnMapping(prompt="q", completion="a")
    assert mapped({"q": "x", "a": 4}, mapping) == ["x", "4"]
    with pytest.raises(RowError):
        mapped({"q": "x", "a": cell}, mapping)


def test_mappings_that_cannot_be_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="both a prompt and a completion"):
        ColumnMapping(prompt="q")
    with pytest.raises(ConfigError, match="twice"):
        ColumnMapping.parse("a,a")
    with pytest.raises(ConfigError, match="uses z"):
        ColumnMapping.parse("a,b", prompt="a", completion="{z}")


def test_labels_are_text_or_whole_numbers() -> None:
    assert label({"id": 7}, "id") == "7"
    assert label({"id": " a "}, "id") == "a"
    assert label({"id": ""}, "id") is None
    assert label({}, "id") is None
    for bad in (1.5, True, ["a"]):
        with pytest.raises(RowError):
            label({"id": bad}, "id")
