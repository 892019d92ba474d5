import pytest

from assay.crafting.replies import UnreadableError, fields, label, value_of


@pytest.mark.parametrize(
    "text",
    [
        '{"query": "a {b}", "response": "c"}',
        'Here you are:\n```json\n{"query": "a {b}", "response": "c", "note": 1}\n```\nGood luck!',
        'A try {not json} and then {"query": "a {b}",\n "response": "c"}',
        '{"query": "x", "response": "old"} No, better: {"query": "a {b}", "response": "c"}',
        '<think>{"query": "no", "response": "no"}</think>{"query": "a {b}", "response": " c "}',
    ],
)
def test_fields_are_found_wherever_the_last_whole_object_stands(text):
    value = value_of(text, "json", ("query", "response"))
    assert vars(value) == {"query": "a {b}", "response": "c"}


def test_line_breaks_in_strings_and_values_that_are_no_text_are_kept():
    assert fields('{"a": "x\ny", "b": [1, "ü"]}', ("a", "b")) == {"a": "x\ny", "b": '[1, "ü"]'}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no object", "no JSON object with query and response"),
        ('{"query": "a"}', "no JSON object with query and response"),
        ('{"query": "a", "response": ""}', "response is empty"),
        ('{"query": "a", "response": null}', "response is empty"),
        ('{"query": "a", "response": "b"', "no JSON object"),
        ('["query", "response"]', "no JSON object"),
        ('{"query": "a", "response": "\\ud800"}', "broken character"),
        ('{"query": ' + "1" * 5000 + ', "response": 2}', "no JSON object"),
        ("{" * 5000, "no JSON object"),
        ("", "the reply is empty"),
        ("<think>hm</think>  ", "the reply is empty"),
    ],
)
def test_what_is_no_such_object_is_told(text, reason):
    with pytest.raises(UnreadableError, match=reason):
        value_of(text, "json", ("query", "response"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is similar at first, but: Not similar.", "not similar"),
        ("NOT similar? No: similar", "similar"),
        ("**similar**", "similar"),
        ("dissimilar, I would say similar; similarity is high", "similar"),
    ],
)
def test_the_last_and_longest_label_counts_as_a_word_of_its_own(text, said):
    assert label(text, ("similar", "not similar")) == said


def test_the_longer_of_two_labels_counts_where_one_begins_with_the_other():
    assert label("It is good enough.", ("good", "good enough")) == "good enough"


def test_labels_of_scripts_without_spaces_are_found():
    assert label("这个回答不满足要求", ("满足", "不满足")) == "不满足"


def test_a_reply_without_a_label_is_told():
    with pytest.raises(UnreadableError, match="none of good, bad"):
        value_of("goodness", "label", ("good", "bad"))


def test_reasoning_is_no_part_of_a_text():
    assert value_of("<think>bad</think>\n good \n", "text") == "good"
