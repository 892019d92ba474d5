"""Whatever a judge says, a case ends in a verdict or in the reason why there is none, never in a guess."""

import pytest

from assay.asking.request import Failure, Reply
from assay.judging.judgement import Case, Contest, Counts, Judgement, Pairing, Preference
from assay.judging.work import AGAIN, Manner, compare, judge

CASE = Case("q1", "2+2?", "4", "Four.")
PAIR = Pairing("q1", "2+2?", "Four.", "Five.")
RIGHT, WRONG = Reply('{"reason": "fits", "verdict": 1}'), Reply('{"reason": "misses", "verdict": 0}')
NO, BABBLE = Reply("I'm sorry, I can't."), Reply("hm")


def through(job, *answers):
    """What a job returns, and what it asked, answered in turn."""
    asked = []
    try:
        request = next(job)
        for answer in answers:
            asked.append(request)
            request = job.send(answer)
    except StopIteration as end:
        assert len(asked) == len(answers)
        return end.value, asked
    raise AssertionError("the job wants more answers")


def prefers(better):
    return Reply(f'{{"reason": "it is {better}", "better": "{better}"}}')


def test_a_verdict_ends_a_case():
    assert through(judge(CASE), RIGHT)[0] == Judgement("q1", True, "fits", asked=1)
    assert through(judge(CASE), WRONG)[0] == Judgement("q1", False, "misses", asked=1)


def test_a_reply_that_cannot_be_read_is_asked_for_again_warmer_and_the_judge_is_asked():
    found, asked = through(judge(CASE, Manner(max_tokens=99)), BABBLE, NO, WRONG)
    assert found == Judgement("q1", False, "misses", asked=3)
    assert [(one.attempt, one.temperature) for one in asked] == [(0, 0.0), (1, AGAIN), (2, AGAIN)]
    assert {(one.by, one.max_tokens, one.where) for one in asked} == {("judge", 99, "judging q1")}
    assert len({one.turns for one in asked}) == 1


def test_tries_are_bounded_and_none_ends_in_a_verdict():
    found, _ = through(judge(CASE), BABBLE, BABBLE, BABBLE)
    assert found == Judgement("q1", None, "the reply holds no verdict: 'hm'", unreadable=True, asked=3)
    found, _ = through(judge(CASE, Manner(attempts=2)), BABBLE, NO)
    assert found == Judgement("q1", None, "I'm sorry, I can't.", refused=True, asked=2)


def test_a_failure_ends_a_case_without_a_verdict():
    found, _ = through(judge(CASE), BABBLE, Failure("no reply within 5 seconds"))
    assert found == Judgement("q1", None, "no reply within 5 seconds", failed=True, asked=2)
    found, _ = through(judge(CASE), Failure("400: content filter", refused=True))
    assert found == Judgement("q1", None, "400: content filter", refused=True, asked=1)


@pytest.mark.parametrize("answer", ["", " \n", "<think>4</think>\n"])
def test_an_empty_answer_is_wrong_without_asking(answer):
    found, asked = through(judge(Case("q1", "2+2?", "4", answer)))
    assert (found.right, found.reason, asked) == (False, "the answer is empty", [])


@pytest.mark.parametrize(
    ("plain", "turned", "better", "orders"),
    [
        ("A", "B", "first", ("first", "first")),
        ("B", "A", "second", ("second", "second")),
        ("tie", "tie", "tie", ("tie", "tie")),
        ("A", "A", "tie", ("first", "second")),
        ("B", "B", "tie", ("second", "first")),
        ("A", "tie", "tie", ("first", "tie")),
    ],
)
def test_only_orders_that_agree_decide_between_two_answers(plain, turned, better, orders):
    found, asked = through(compare(PAIR), prefers(plain), prefers(turned))
    assert (found.better, found.orders, found.asked) == (better, orders, 2)
    assert found.swayed == (orders[0] != orders[1])
    assert asked[0].turns != asked[1].turns


def test_a_pair_without_one_of_its_verdicts_is_no_tie():
    found, _ = through(compare(PAIR, Manner(attempts=1)), BABBLE)
    assert (found.better, found.orders, found.unreadable) == (None, (None, None), True)
    found, _ = through(compare(PAIR), prefers("A"), Failure("busy"))
    assert (found.better, found.orders, found.failed, found.asked) == (None, ("first", None), True, 2)
    assert not found.swayed


def test_equal_answers_tie_without_asking():
    found, asked = through(compare(Pairing("q1", "2+2?", "4", "<think>hm</think> 4\n")))
    assert (found.better, found.asked, asked) == ("tie", 0, [])


def test_judgements_are_counted_by_how_they_ended():
    found = [
        through(judge(CASE), RIGHT)[0],
        through(judge(CASE), BABBLE, WRONG)[0],
        through(judge(CASE), NO, NO, NO)[0],
        through(judge(CASE), BABBLE, BABBLE, BABBLE)[0],
        through(judge(CASE), Failure("busy"))[0],
    ]
    counts = Counts.of(found)
    assert counts == Counts(judged=5, right=1, wrong=1, refused=1, unreadable=1, failed=1, asked=10)
    assert counts.without_verdict == 3


def test_a_liking_for_a_place_is_seen():
    pairs = [Preference("q", "tie", ("first", "second"), "")] * 3
    pairs += [Preference("q", "first", ("first", "first"), "")] * 2
    pairs += [Preference("q", None, (None, None), "")]
    contest = Contest.of(pairs)
    assert contest == Contest(
        first=2, second=0, ties=3, swayed=3, without_verdict=1, shown_first=8, shown_second=2
    )
