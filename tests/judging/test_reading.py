"""A judge's reply is read as it was meant, or not at all."""

import pytest

from assay.asking.request import Reply
from assay.judging.reading import comparison_of, verdict_of


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"reason": "fits", "verdict": 1}', True),
        ('{"reason": "misses a point", "verdict": 0}', False),
        ('{"verdict": "0"}', False),
        ('{"verdict": true}', True),
        ('{"verdict": "Incorrect."}', False),
        ('So:\n```json\n{"reason": "fits",\n "verdict": 1}\n```\n', True),
        ('{"verdict": 1} On second thoughts: {"verdict": 0}', False),
        ('<think>{"verdict": 0}</think>{"verdict": 1}', True),
        ('{"result": {"verdict": 1}}', True),
        ('{"reason": "it says "4" and not 5", "verdict": 0}', False),
        ('{"reason": "cut short", "verdict": 1', True),
        ("The answer lists 3 of 4 steps.\n**Verdict:** 0", False),
        ("Verdict: 1.", True),
        ("my verdict is 1, because it fits", True),
        ("verdict = 0 (it misses step 1)", False),
        ("It meets all of them.\n1", True),
        ("**0**", False),
        ("The final verdict is: `1`", True),
        ("**Verdict: 0**", False),
        ("Verdict: 1 - it fits", True),
    ],
)
def test_a_verdict_is_read_wherever_it_stands(text, right):
    assert verdict_of(Reply(text)).value is right


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<think>1</think>",
        "hm",
        "It gets step 1 right.",
        "1 of 4 points is met.",
        '{"reason": "half of it", "verdict": 0.5}',
        '{"reason": "fits", "verdict": null}',
        '{"reason": "fits"}',
        '{"verdict": [1]}',
        '{"reason": "one short sentence", "verdict": 1 or 0}',
        "verdict: 0, 1",
        "verdict: 1/0",
        "verdict: 0-1",
        "verdict: 1.5",
        "verdict: 10",
        "The verdict is 1 point off.",
        "[1",
        "{" * 3000,
    ],
)
def test_what_is_no_verdict_is_not_taken_for_one(text):
    heard = verdict_of(Reply(text))
    assert heard.value is None
    assert not heard.refused
    assert heard.reason


def test_a_reply_that_was_cut_off_is_no_verdict():
    heard = verdict_of(Reply('{"verdict": 1}', cut_off=True))
    assert heard.value is None
    assert "cut off" in heard.reason


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m very sorry. No.",
        "Sorry, this is not something I do.",
        "I cannot assist with this request.",
        "As an AI, I have no opinions.",
        "We're unable to process this.",
        "抱歉，我无法回答。",
    ],
)
def test_a_refusal_is_known(text):
    heard = verdict_of(Reply(text))
    assert (heard.value, heard.refused) == (None, True)
    assert comparison_of(Reply(text)).refused


def test_a_verdict_behind_an_apology_counts():
    assert verdict_of(Reply('Sorry for the wait. {"verdict": 1}')).value is True


def test_a_reason_is_kept_on_one_line_and_without_half_characters():
    assert verdict_of(Reply('{"reason": "two\nlines", "verdict": 1}')).reason == "two lines"
    assert verdict_of(Reply('{"reason": "\\ud800", "verdict": 1}')).reason == "?"
    assert len(verdict_of(Reply('{"reason": "' + "a" * 5000 + '", "verdict": 1}')).reason) == 500


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ('{"reason": "clearer", "better": "A"}', "first"),
        ('{"better": "b"}', "second"),
        ('{"better": "Answer B"}', "second"),
        ('{"better": "Tie"}', "tie"),
        ("Better: **B**", "second"),
        ("Better: Tie.", "tie"),
        ("Both are fine.\ntie", "tie"),
        ("better: a clear answer", None),
        ("Better: A clearer answer is B.", None),
        ('{"better": "A" or "B" or "tie"}', None),
        ("A is good. B is good.", None),
        ('{"better": "both"}', None),
    ],
)
def test_a_preference_is_read_or_not_at_all(text, better):
    assert comparison_of(Reply(text)).value == better
