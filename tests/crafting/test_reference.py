import pytest

from assay.crafting.reference import of_sibling, reference_of
from assay.data.example import Example, Message, Source
from assay.errors import DataError
from tests.crafting.makers import reference


def example(*turns, record=None, **kwargs):
    messages = tuple(Message(*turn) if isinstance(turn, tuple) else turn for turn in turns)
    return Example("a", messages, Source("f", 3), record=record or {}, **kwargs)


def test_a_reference_is_the_last_query_and_response_and_what_stands_before():
    one = reference_of(
        example(
            ("system", "S"), ("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"), task="t"
        )
    )
    assert (one.query, one.response, one.task, one.id) == ("3", "4", "t", "a")
    assert [turn.content for turn in one.before] == ["S", "1", "2"]
    assert one.earlier == "user: 1\n\nassistant: 2"


def test_columns_are_cells_that_are_texts_or_numbers():
    record = {"a": "x\\ny", "b": 3, "c": 0.5, "d": None, "e": ["x"], "f": True, "g": " "}
    one = example(("user", "q"), ("assistant", "r"), record=record)
    assert reference_of(one).columns == {"a": "x\\ny", "b": "3", "c": "0.5"}
    assert reference_of(one, unescape=True).columns["a"] == "x\ny"


def test_a_reasoning_models_response_is_what_it_says():
    message = Message("assistant", "4", reasoning="2 and 2")
    assert reference_of(example(("user", "q"), message)).response == "4"


@pytest.mark.parametrize(
    "bad",
    [
        example(("assistant", "r")),
        example(("system", "s"), ("assistant", "r")),
        example(("user", " "), ("assistant", "r")),
        example(("user", "q"), ("assistant", " ")),
        example(("user", "q"), Message("assistant", "r", tool_calls=({"function": {}},))),
        example(rendering="tokens", input_ids=(1, 2)),
    ],
)
def test_what_has_no_query_and_response_is_refused_with_file_and_row(bad):
    with pytest.raises(DataError, match=r"^f, row 3: a "):
        reference_of(bad)


def test_a_sibling_takes_the_references_place_without_its_columns():
    one = reference(rationale="x")
    sibling = example(("user", "q"), ("assistant", "r"))
    there = of_sibling(one, sibling)
    assert (there.id, there.task, there.source) == (one.id, one.task, one.source)
    assert (there.query, there.response, there.columns) == ("q", "r", {})
