"""Key checkpoints and labels are read in the forms that people write them in, and nothing else is guessed."""

import pytest

from assay.data.example import Example, Message, Source
from assay.errors import DataError
from assay.judging.columns import case_of, human_label, key_checkpoints_of, labelled_case
from assay.judging.judgement import Case


def example(**record) -> Example:
    turns = (Message("user", "2+2?"), Message("assistant", "4"))
    return Example("q1", turns, Source("eval.jsonl", 3), record=record)


@pytest.mark.parametrize(
    "value",
    [["says 4", " is short "], ("says 4", "is short"), '["says 4", "is short"]', "says 4\n\nis short\n"],
)
def test_key_checkpoints_are_a_list_or_lines(value):
    assert key_checkpoints_of(value, "here") == ("says 4", "is short")


@pytest.mark.parametrize("value", [None, float("nan"), "", [], "  \n"])
def test_a_question_may_have_no_key_checkpoints(value):
    assert key_checkpoints_of(value, "here") == ()


def test_brackets_that_are_no_json_are_lines():
    assert key_checkpoints_of("[a] is named\n[b] is not", "here") == ("[a] is named", "[b] is not")


@pytest.mark.parametrize("value", [7, [1, 2], {"a": "b"}, "[1, 2]"])
def test_what_are_no_key_checkpoints_is_told(value):
    with pytest.raises(DataError, match=r"^here: key checkpoints are a list of texts"):
        key_checkpoints_of(value, "here")


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, True), (0, False), (1.0, True), (True, True), ("No", False), (" right ", True), ("0", False)],
)
def test_a_label_is_read(value, label):
    assert human_label(value, "here") is label


@pytest.mark.parametrize("value", [None, "", " ", float("nan")])
def test_an_empty_cell_is_no_label(value):
    assert human_label(value, "here") is None


@pytest.mark.parametrize("value", [2, 0.5, "maybe", "10"])
def test_another_label_is_told(value):
    with pytest.raises(DataError, match=r"^here: the label is .*; give 1 or 0"):
        human_label(value, "here")


def test_a_case_is_an_example_with_an_answer():
    row = example(key_checkpoints=["says 4"], musts="says four")
    assert case_of(row, "Four.") == Case("q1", "2+2?", "4", "Four.", ("says 4",))
    assert case_of(row, "Four.", name="q1-s0", column="musts").key_checkpoints == ("says four",)
    assert case_of(row, "Four.", name="q1-s0").id == "q1-s0"


def test_an_answer_that_people_judged_stands_in_its_row():
    row = example(said="Four.", human="yes")
    assert labelled_case(row, answer="said", label="human") == (Case("q1", "2+2?", "4", "Four."), True)
    with pytest.raises(DataError, match=r"eval.jsonl, row 3: there is no column 'label'"):
        labelled_case(row, answer="said", label="label")
    with pytest.raises(DataError, match="is no text"):
        labelled_case(example(said=4, human=1), answer="said", label="human")
