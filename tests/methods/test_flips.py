"""The query sets of influence pruning, by hand: who turned right, who turned wrong, and with which target."""

import math

import pytest

from assay.data.answers import Answer
from assay.data.example import Example, Message, Source
from assay.errors import DataError
from assay.methods.flips import Question, find_flips, require
from assay.shares import wilson


def question(name: str, reference: str = "4", task: str | None = "sum", prompt: str = "2 and 2?") -> Question:
    messages = (Message("system", "be short"), Message("user", prompt), Message("assistant", reference))
    example = Example(name, messages, Source("q.jsonl", 1), task=task, pair="p", record={"id": name})
    return Question(example, prompt, reference)


def answers(*texts: str, cut: tuple[int, ...] = ()) -> list[Answer]:
    return [Answer(f"q{i}", text, i in cut) for i, text in enumerate(texts)]


QUESTIONS = [question(f"q{i}") for i in range(6)]
BEFORE = answers("5", "4", "4", "5", "6", "4", cut=(5,))
AFTER = answers("4", "The answer is 7.", "4", "8", "4, I think", "9", cut=(3,))
"""wrong→right, right→wrong, right→right, wrong→cut off, wrong→right, cut off→wrong."""


def ids(examples) -> list[str]:
    return [example.id for example in examples]


def test_c_turned_right_and_i_turned_wrong():
    flips = find_flips(QUESTIONS, BEFORE, AFTER)
    assert ids(flips.correct) == ["q0", "q4"]
    assert ids(flips.incorrect) == ["q1"]
    assert [one.query_set for one in flips.outcomes] == ["C", "I", None, None, "C", None]
    assert [one.right_before for one in flips.outcomes] == [False, True, True, False, False, False]
    assert [one.right_after for one in flips.outcomes] == [True, False, True, False, True, False]


def test_all_wrong_takes_every_wrong_answer_that_ended():
    flips = find_flips(QUESTIONS, BEFORE, AFTER, incorrect="all-wrong")
    assert ids(flips.incorrect) == ["q1", "q5"]
    assert ids(flips.correct) == ["q0", "q4"]


def test_the_target_of_c_is_the_reference_and_that_of_i_the_models_own_answer():
    flips = find_flips(QUESTIONS, BEFORE, AFTER)
    assert flips.correct[1].messages == QUESTIONS[4].example.messages
    assert flips.incorrect[0].messages == (
        *QUESTIONS[1].example.messages[:-1],
        Message("assistant", "The answer is 7."),
    )


def test_the_target_of_c_may_be_the_models_own_right_answer():
    flips = find_flips(QUESTIONS, BEFORE, AFTER, correct_target="own")
    assert [example.messages[-1].content for example in flips.correct] == ["4", "4, I think"]


def test_targets_keep_id_and_task_and_are_paired_with_their_question():
    flips = find_flips(QUESTIONS, BEFORE, AFTER)
    for example in (*flips.correct, *flips.incorrect):
        assert (example.task, example.pair) == ("sum", example.id)
    assert flips.correct[0].record == {"id": "q0"}
    assert flips.incorrect[0].record == {}


def test_an_answer_that_was_cut_off_is_wrong_even_where_it_says_the_right_thing():
    flips = find_flips(QUESTIONS[:1], answers("4", cut=(0,)), answers("4"))
    assert ids(flips.correct) == ["q0"]
    flips = find_flips(QUESTIONS[:1], answers("4"), answers("4", cut=(0,)), incorrect="all-wrong")
    assert not flips.outcomes[0].right_after
    assert not flips.incorrect


def test_an_empty_answer_is_wrong_and_no_target():
    flips = find_flips(QUESTIONS[:1], answers("4"), answers(" \n"))
    assert (flips.correct, flips.incorrect) == ((), ())
    assert any("1 wrong answer said nothing" in note for note in flips.notes)


def test_thinking_of_a_wrong_answer_becomes_the_reasoning_of_the_target():
    said = answers("<think>\n2 and 2\nis 5\n</think>\n\n5")
    turn = find_flips(QUESTIONS[:1], answers("4"), said).incorrect[0].messages[-1]
    assert (turn.content, turn.reasoning) == ("5", "2 and 2\nis 5")
    said = answers("the prompt opened it\n</think>\n5")
    turn = find_flips(QUESTIONS[:1], answers("4"), said).incorrect[0].messages[-1]
    assert (turn.content, turn.reasoning) == ("5", "the prompt opened it")


def test_ready_tokens_get_the_models_own_ids_behind_the_same_prompt():
    ready = Example(
        "q0", (), Source("t", 1), rendering="tokens", input_ids=(5, 6, 7, 1), labels=(-100, -100, 7, 1)
    )
    before, after = Answer("q0", "4", False, (7, 1)), Answer("q0", "five", False, (8, 9, 1))
    flips = find_flips([Question(ready, "2 and 2?", "4")], [before], [after])
    (target,) = flips.incorrect
    assert target.input_ids == (5, 6, 8, 9, 1)
    assert target.labels == (-100, -100, 8, 9, 1)
    (target,) = find_flips([Question(ready, "2 and 2?", "4")], [after], [before]).correct
    assert (target.input_ids, target.labels) == (ready.input_ids, ready.labels)


def test_each_task_has_the_check_of_its_references():
    asked = [
        question("q0", "4"),
        question("q1", "(B)", "choice", "which?\n(A) two\n(B) three"),
        question("q2", "Paris", None),
    ]
    flips = find_flips(asked, answers("5", "A", "London"), answers("4.0", "It is three.\nB", "paris."))
    assert [one.check for one in flips.outcomes] == ["numeric", "choice", "normalised"]
    assert ids(flips.correct) == ["q0", "q1", "q2"]
    assert flips.notes[-1] == (
        "Answers are compared as numeric for sum (every reference is a number); choice for choice (every "
        "reference names an option of its question); normalised for questions without a task (the references "
        "are neither numbers nor options of their questions)."
    )
    flips = find_flips(asked, answers("5", "A", "London"), answers("4.0", "(B)", "paris."), check="exact")
    assert ids(flips.correct) == ["q1"]
    assert flips.notes[-1] == "Answers are compared as exact, as asked for."


def test_the_sentences_count_everything():
    flips = find_flips(QUESTIONS, BEFORE, AFTER)
    assert flips.notes == (
        "Of 6 questions, right before: 2 (33.3%, 95% interval 9.7% to 70.0%); right after: 3 (50.0%, 95% "
        "interval 18.8% to 81.2%).",
        "2 went from wrong to right, 1 from right to wrong, 1 stayed right and 2 stayed wrong.",
        "C: 2 questions that went from wrong to right, with the reference completion as target. I: 1 "
        "question that went from right to wrong, with the later model's own answer as target.",
        "1 answer before and 1 after had not ended at the limit and count as wrong; 0 of them would be in I "
        "and are left out, as they are no whole answers.",
        "Answers are compared as numeric: every reference is a number.",
    )
    notes = find_flips(QUESTIONS, BEFORE, AFTER, incorrect="all-wrong", correct_target="own").notes
    assert notes[2] == (
        "C: 2 questions that went from wrong to right, with the later model's own right answer as target. "
        "I: 2 questions that are wrong afterwards, with the later model's own answer as target."
    )
    assert "1 of them would be in I" in notes[3]


def test_the_interval_is_where_the_share_lies_at_its_edge():
    """Wilson's limits p solve |k/n − p| = z √(p (1 − p) / n)."""
    for successes, trials in ((0, 7), (3, 7), (7, 7), (45, 120)):
        for limit in wilson(successes, trials):
            error = math.sqrt(max(0.0, limit * (1 - limit) / trials))
            assert abs(successes / trials - limit) == pytest.approx(1.959963984540054 * error, abs=1e-7)
    assert wilson(3, 7)[0] < 3 / 7 < wilson(3, 7)[1]


def test_an_empty_set_says_what_to_do():
    same = find_flips(QUESTIONS, answers(*"454545"), answers(*"454545"))
    with pytest.raises(DataError) as error:
        require(same, "C", "I")
    assert str(error.value) == (
        "None of 6 questions went from wrong to right (3 stayed right, 3 stayed wrong), so the query set C "
        "is empty; give more questions, or a later checkpoint."
    )
    with pytest.raises(DataError) as error:
        require(same, "I")
    assert str(error.value) == (
        "The query set I is empty: of 6 questions 0 went from right to wrong and 3 are wrong afterwards, 0 "
        "of them because the answer was cut off; give more questions, another checkpoint or --incorrect "
        "all-wrong."
    )
    cut = find_flips(QUESTIONS[:2], answers("4", "5"), answers("5", "4", cut=(0,)))
    require(cut, "C")
    with pytest.raises(DataError, match="another checkpoint or a higher --max-new-tokens"):
        require(cut, "C", "I")
    require(find_flips(QUESTIONS, BEFORE, AFTER), "C", "I")


def test_no_questions_are_an_error():
    with pytest.raises(DataError, match="There are no questions"):
        find_flips([], [], [])
