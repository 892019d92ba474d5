"""An answer is right when it says what the reference says, in the forms that models write it in."""

import csv
import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.data.answers import judge, pick_check, reference_text
from assay.data.choices import options_of
from assay.data.example import Example, Message, Source
from assay.data.final_answer import final_answer
from assay.data.normalise import normalised
from assay.data.numerals import numbers

OPTIONS = "How far?\nOptions:\n(A) 300 km\n(B) 992\n(C) none of these\n(D) a bird"
CHECKS = ("exact", "normalised", "numeric", "choice")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("72", "72"),
        ("She sold 24.\nShe sold 48+24 = <<48+24=72>>72 clips.\n#### 72", "72"),
        ("so 48 + 24 = 72. So the answer is 72.", "72"),
        ("The final answer is: $\\boxed{\\frac{14}{3}}$. I hope it is correct.", "\\frac{14}{3}"),
        ("We get \\boxed{5}, no. Therefore the correct answer is 6.", "6"),
        ("**Answer:** Paris", "Paris"),
        ("**Answer**: Paris", "Paris"),
        ("The answer to the question would be Paris.", "Paris"),
        ("### Final Answer\n\n**42**\n", "42"),
        ("#### Final answer:\n42", "42"),
        ("Step 1: think.\nA: 18", "18"),
        ("<think>the answer is 3</think>\n\nIt is 4", "It is 4"),
        ("the answer is below:\n- Paris", "below:"),
        ("所以答案是72", "72"),
        ("first line\nlast line\n\n", "last line"),
        ("I hope this answer is helpful.", "I hope this answer is helpful"),
        ("\\boxed{unclosed {brace}", "unclosed {brace}"),
        ("and so on...", "and so on..."),
        ("", ""),
    ],
)
def test_the_final_answer_is_what_stands_behind_the_last_cue_or_on_the_last_line(text, expected):
    assert final_answer(text) == expected


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("72", "#### 72"),
        ("The answer is 72 clips.", "48/2 = 24\n#### 72"),
        ("#### 1,080", "1080"),
        ("$1,080.00", "1080"),
        ("She pays $ 5.", "5.0"),
        ("-5", "−5"),
        ("it fell to -$5", "-5"),
        ("it fell to $-5", "-5"),
        ("$\\boxed{\\frac{3}{4}}$", "0.75"),
        ("\\boxed{\\dfrac{-3}{4}}", "-0.75"),
        ("\\boxed{\\frac34}", "3/4"),
        ("1 1/2 hours", "1.5"),
        ("1½", "3/2"),
        (".5", "1/2"),
        ("50%", "50"),
        ("50 percent", "50%"),
        ("50%", "0.5"),
        ("10{,}000", "10000"),
        ("10\u202f000", "10000"),
        ("４２", "42"),
        ("1.5e3", "1500"),
        ("100 m2", "100"),
        ("共72个", "72"),
        ("The answer is 20 - 5 = $15", "15"),
        ("The answer is 5 of the 10 apples", "5"),
        ("It is 12.", "12"),
        ("24 in May. 48+24 = <<48+24=72>>72 in all", "72"),
        ("The answer is 72. I hope this answer is helpful.", "72"),
        ("A: 70000", "The profit is 70,000\nA: 70000"),
        ("0.1", "1/10"),
        ("007", "7"),
        ("<think>maybe 5</think>7", "7"),
    ],
)
def test_equal_numbers_are_right(answer, reference):
    assert judge(answer, reference, "numeric").right


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("72", "71"),
        ("72.5", "72"),
        ("5", "-5"),
        ("0.333333333333333333", "1/3"),
        ("1,2,3", "123"),
        ("seventy two", "72"),
        ("", "72"),
        ("1/0", "1"),
        ("no number", "0"),
        ("2 - 72", "-72"),
        ("- 72", "-72"),
        ("50%", "5"),
        ("9" * 100_000, "9"),
        ("1e999", "1e998"),
        ("the answer is 5", "10"),
        ("4 7", "7"),
        ("so the answer is 4 7.", "4"),
        ("4 7", "47"),
        ("3, 5", "5"),
    ],
)
def test_other_numbers_are_wrong(answer, reference):
    assert not judge(answer, reference, "numeric").right


def test_numbers_are_exact_where_floats_are_not():
    assert judge("9007199254740993", "9007199254740993.0", "numeric").right
    assert not judge("9007199254740993", "9007199254740992", "numeric").right
    assert judge("0.3", "3/10", "numeric").right


def test_what_was_compared_is_said():
    judged = judge("So the answer is $1,080.", "#### 1080", "numeric")
    assert (judged.answer, judged.reference) == ("1080", "1080")
    judged = judge("who knows", "#### 1080", "numeric")
    assert (judged.right, judged.answer, judged.reference) == (False, "who knows", "1080")


def test_a_list_of_numbers_is_compared_as_text():
    assert judge("so the answer is 4 7 .", "4 7", "numeric").right
    assert not judge("so the answer is 4 8.", "4 7", "numeric").right


def test_a_reference_without_a_number_is_compared_as_text():
    assert judge("The answer is twelve.", "Twelve", "numeric").right
    assert not judge("The answer is 12.", "Twelve", "numeric").right


@pytest.mark.parametrize(
    "answer",
    [
        "(B)",
        "B",
        "B.",
        "b",
        "(b)",
        "**B**",
        "[B]",
        "B) 992",
        "B: 992",
        "b) 992",
        "B - 992",
        "(B) 992, as said",
        "\\boxed{B}",
        "\\boxed{\\text{(B)}}",
        "The answer is B.",
        "The answer is (B), because",
        "So the correct answer is option B",
        "2240 - 1120 = 992, so (B).",
        "The answer is 992.",
        "992",
        "答案是（B）",
        "(B)\n\nExplanation: it is far.",
        "<think>(A)?</think>\nB",
        "The answer is clear: it is far.\nThe answer is (B)\nI hope the answer is useful",
    ],
)
@pytest.mark.parametrize("reference", ["(B)", "B", "992", "So the answer is (B)."])
def test_the_same_option_is_right_however_it_is_named(answer, reference):
    assert judge(answer, reference, "choice", OPTIONS).right


@pytest.mark.parametrize(
    "answer",
    [
        "(A)",
        "A",
        "E",
        "The answer is a bird.",
        "300 km",
        "B or A",
        "",
        "(A) or (B)",
        "A bird. 992",
        "I think so",
    ],
)
def test_another_option_is_wrong(answer):
    assert not judge(answer, "(B)", "choice", OPTIONS).right


def test_an_article_is_no_option():
    assert judge("The answer is a bird.", "(D)", "choice", OPTIONS).right
    assert not judge("The answer is a fish.", "(A)", "choice", OPTIONS).right


@pytest.mark.parametrize(
    "question",
    [
        "How far?\n(A) 300\n(B) 992\n(C) x",
        "How far? (A) 300 (B) 992 (C) x",
        "How far?\nA. 300\nB. 992\nC. x",
        "How far?\n- (A) 300\n- (B) 992\n- (C) x",
        "How far?\nA) 300\nB) 992\nC) x\nAnswer with a letter.",
        "Say.\nA. no\nB. yes\n\nHow far?\nA: 300\nB: 992\nC: x",
    ],
)
def test_options_are_read_from_the_question(question):
    assert options_of(question) == {"A": "300", "B": "992", "C": "x"}


def test_no_options_are_read_where_there_are_none():
    assert options_of("A. Smith said (A) once.\nOptions:\n- yes\n- no") == {}


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("The Eiffel Tower", "eiffel tower."),
        ("  yes ", "Yes"),
        ("Yes. Floyd is a band.", "yes"),
        ("yes\n\nbecause Floyd is a band", "yes"),
        ("Reason it.\nSo the answer is St. Louis.", "St. Louis"),
        ("It doesn’t.", "it doesn't"),
        ("well-known", "well known"),
        ("1,234 fish", "1234 fish"),
        ("$\\dfrac{1}{2}$", "\\frac{1}{2}"),
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})"),
        ("x=5", "x = 5"),
        ("90^\\circ", "90"),
        ("\\boxed{\\text{Evelyn}}", "Evelyn"),
        ("one\ntwo", "One \n two"),
        ("４ ７", "4 7"),
    ],
)
def test_texts_are_equal_but_for_case_punctuation_articles_and_spaces(answer, reference):
    assert judge(answer, reference, "normalised").right


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("no", "yes"),
        ("3.5", "35"),
        ("-5", "5"),
        ("-x", "x"),
        ("1/2", "12"),
        ("p+q", "p q"),
        ("The", "A"),
        ("?", "!"),
        ("", ""),
        ("", "the"),
        ("x\ntwo", "one\ntwo"),
        ("The answer is 4. No, the answer is 5.", "4"),
        ("4, 7", "4"),
        ("4 8", "4 7"),
    ],
)
def test_texts_that_mean_something_else_are_wrong(answer, reference):
    assert not judge(answer, reference, "normalised").right


def test_exact_means_every_character_but_the_white_space_around():
    assert judge(" print(1)\n", "print(1)", "exact").right
    assert not judge("Print(1)", "print(1)", "exact").right
    assert not judge("The answer is 1", "1", "exact").right


@pytest.mark.parametrize(
    ("references", "questions", "check"),
    [
        (["48 + 24 = 72\n#### 72", "#### 10"], ["how many?", "how?"], "numeric"),
        (["72", "-3.5", "$1,000", "50%"], ["?"] * 4, "numeric"),
        (["so \\boxed{72}", "\\boxed{1/2}"], ["?"] * 2, "numeric"),
        (["(A)", "(C)"], [OPTIONS, OPTIONS], "choice"),
        (["A", "992"], [OPTIONS, OPTIONS], "choice"),
        (["(A)", "(B)"], ["as above?", "as above?"], "choice"),
        (["a", "b"], ["first letter?", "last letter?"], "normalised"),
        (["4 7", "1 2"], ["?", "?"], "normalised"),
        (["yes", "no"], ["- yes\n- no"] * 2, "normalised"),
        (["72 clips", "12"], ["?", "?"], "normalised"),
        (["1"] * 19 + ["none"], ["?"] * 20, "numeric"),
        (["1"] * 18 + ["none"] * 2, ["?"] * 20, "normalised"),
        ([], [], "normalised"),
    ],
)
def test_a_check_is_picked_by_the_form_of_the_references(references, questions, check):
    assert pick_check(references, questions).check == check


def test_picking_says_why():
    assert pick_check(["1", "2"], ["?", "?"]).because == "every reference is a number"
    assert pick_check(["1"] * 19 + ["none"], ["?"] * 20).because == (
        "nearly every reference (19 of 20) is a number"
    )


def test_the_reference_is_what_the_last_turn_says_without_its_reasoning():
    def said(*turns):
        return reference_text(Example("x", (Message("user", "?"), *turns), Source("f", 1)))

    assert said(Message("assistant", "4", reasoning="2 and 2")) == "4"
    assert said(Message("assistant", "", reasoning="2 and 2")) == "2 and 2"


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
@example("\\boxed{" * 50, "}" * 50, "(A) (B) (A)")
@example("1/0 %", "0/0", "A. \nB. \n")
@example("-", "−.", "<think>")
@example("\ud800", "٣", "²")
def test_no_text_makes_a_check_fail(answer, reference, question):
    for check in CHECKS:
        judged = judge(answer, reference, check, question)
        assert isinstance(judged.right, bool)
        assert judge(answer, reference, check, question) == judged
    assert pick_check([reference], [question]).check in CHECKS


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_more(text):
    once = normalised(text)
    assert normalised(once) == once or not any(c.isalnum() for c in text)


def test_verdicts_on_gsm8k_solutions_are_those_recorded_with_them(shared_data: Path):
    """Solutions of four models to every fifth of GSM8K's test questions, with recorded correctness."""
    path = shared_data / "gsm8k" / "example_model_solutions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[::5]]
    found = [
        (judge(one["solution"], row["ground_truth"], "numeric").right, one["is_correct"])
        for row in rows
        for one in row.values()
        if isinstance(one, dict)
    ]
    assert len(found) == 4 * 264
    assert all(ours == theirs for ours, theirs in found)
    assert pick_check([row["ground_truth"] for row in rows], [""] * len(rows)).check == "numeric"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("aqua", "choice"),
        ("creak", "normalised"),
        ("ecqa", "normalised"),
        ("gsm8k", "numeric"),
        ("qasc", "choice"),
        ("sensemaking", "normalised"),
        ("strategyqa", "normalised"),
    ],
)
def test_flan_answers_are_found_behind_their_rationales(shared_data: Path, name: str, check: str):
    """200 rows: the row's own answer is right in every form, that of the row before only if it is equal."""
    with (shared_data / "flan_cot" / f"{name}_train.tsv").open(encoding="utf-8") as file:
        rows = [
            [cell.replace("\\n", "\n") for cell in row]
            for row in islice(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 200)
        ]
    questions, answers, rationales = zip(*rows, strict=True)
    picked = pick_check(answers, questions)
    assert picked.check == check
    for form in ("{a}", "{r} So the answer is {a}.", "{r}\nTherefore: $\\boxed{{{a}}}$.", "{r}\n#### {a}"):
        for i, (question, answer, rationale) in enumerate(rows):
            said = [form.format(a=one, r=rationale) for one in (answer, answers[i - 1])]
            right = [judge(text, answer, check, question).right for text in said]
            assert right == [True, answer == answers[i - 1]]
    with_rationale = [f"{r} So the answer is {a}." for a, r in zip(answers, rationales, strict=True)]
    assert pick_check(with_rationale, questions).check == check


def test_a_number_is_where_its_text_says():
    (found,) = numbers("it is  -1,200.5 kg")
    assert "it is  -1,200.5 kg"[found.start : found.end] == "-1,200.5"
