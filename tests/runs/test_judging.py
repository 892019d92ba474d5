"""Whatever a judge's server does, every answer ends as what came of it, and nothing is asked twice."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from assay.asking import endpoint as endpoints
from assay.asking.cache import Cache
from assay.data.example import Example, Message, Source
from assay.errors import ConfigError
from assay.judging.judgement import Case, Counts, Pairing
from assay.runs.judging import JudgeConfig, agree_with_people, compare_answers, judge_answers
from tests.asking.servers import Server, say, send
from tests.judging.bench import CASES, answer_in, cases, verdict

SOON = {"retry_after_ms": "1"}
GONE = "http://127.0.0.1:9/v1"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(endpoints, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def at(url, **how) -> JudgeConfig:
    return JudgeConfig(endpoint=url, model="m", **{"max_retries": 2, "timeout": 20.0, **how})


def by_answer(acts):
    """A server that does, for the words of an answer up to a colon, the first act for the first request of a
    kind, and so on, the last for all others."""

    def act(before, body):
        mine = acts[answer_in(body).partition(":")[0]]
        return mine[min(before, len(mine) - 1)]

    return Server(act)


def case(number, answer) -> Case:
    return Case(f"q{number}", "2+2?", "It is 4.", answer)


BAD = {
    "right": [verdict(True)],
    "wrong": [verdict(False)],
    "busy": [send({"error": {"message": "slow down"}}, 429, **SOON), verdict(True)],
    "down": [send({}, 503, **SOON)],
    "broken": [send(b'{"choices": [{"mess'), verdict(False)],
    "garbled": [send(b"<html>")],
    "refuses": [say("I'm sorry, but I can't judge this.")],
    "filtered": [send({"error": {"message": "content policy"}}, 400)],
    "babbles": [say("It is a fine day.")],
    "cut": [verdict(True, finish="length")],
}


def test_each_fault_of_a_server_is_counted_as_what_it_is_and_never_as_wrong(tmp_path):
    kinds = [*BAD, "right", "wrong"]
    asked = [case(number, f"{kind}: {number}") for number, kind in enumerate(kinds)]
    server = by_answer(BAD)
    with server.running() as url:
        found = judge_answers(asked, at(url), tmp_path / "replies.sqlite")
    assert [one.example_id for one in found.verdicts] == [one.id for one in asked]
    ended = dict(zip(kinds, found.verdicts, strict=True))
    right = {kind: one.right for kind, one in ended.items()}
    assert right == {
        "right": True,
        "wrong": False,
        "busy": True,
        "broken": False,
        **dict.fromkeys(("down", "garbled", "refuses", "filtered", "babbles", "cut")),
    }
    assert {kind for kind, one in ended.items() if one.refused} == {"refuses", "filtered"}
    assert {kind for kind, one in ended.items() if one.failed} == {"down", "garbled"}
    assert {kind for kind, one in ended.items() if one.unreadable} == {"babbles", "cut"}
    assert "503" in ended["down"].reason
    assert "content policy" in ended["filtered"].reason
    assert ended["refuses"].reason == "I'm sorry, but I can't judge this."
    assert Counts.of(found.verdicts) == Counts(12, 3, 3, 2, 2, 2, asked=9 + 3 * 3)
    assert found.spent.failures == 3
    assert found.spent.retries == 1 + 1 + 2 + 2


def test_a_server_that_hangs_is_a_failure_after_bounded_tries(tmp_path):
    enough = threading.Event()
    hanging = by_answer({"hangs": [lambda handler: enough.wait(30)], "right": [verdict(True)]})
    with hanging.running() as url:
        found = judge_answers(
            [case(0, "right: a"), case(1, "hangs: b")],
            at(url, timeout=0.3, max_retries=1),
            tmp_path / "replies.sqlite",
        )
        enough.set()
    assert [(one.right, one.failed) for one in found.verdicts] == [(True, False), (None, True)]
    assert "no reply within 0.3 seconds" in found.verdicts[1].reason
    assert len(hanging.bodies) == 3


def test_a_rerun_asks_again_only_after_failures(tmp_path):
    asked = [case(number, f"{kind}: {number}") for number, kind in enumerate(BAD)]
    kept = tmp_path / "replies.sqlite"
    with by_answer(BAD).running() as url:
        first = judge_answers(asked, at(url, max_retries=1), kept)
    mended = by_answer({**BAD, **{kind: [verdict(True)] for kind in ("down", "garbled", "filtered")}})
    with mended.running() as url:
        second = judge_answers(asked, at(url), kept)
    assert {answer_in(body).partition(":")[0] for body in mended.bodies} == {"down", "garbled", "filtered"}
    for before, after in zip(first.verdicts, second.verdicts, strict=True):
        assert after == before or (before.right is None and after.right is True)
    assert second.spent.calls == 3
    third = judge_answers(asked, at(GONE), kept)
    assert third.verdicts == second.verdicts
    assert (third.spent.calls, third.spent.used) == (0, second.spent.used)


def test_equal_answers_to_a_question_are_asked_about_once(tmp_path):
    server = by_answer({"right": [verdict(True)]})
    with server.running() as url:
        found = judge_answers([case(n, "right: a") for n in range(20)], at(url), tmp_path / "replies.sqlite")
    assert len(server.bodies) == 1
    assert (found.spent.calls, found.spent.cached) == (1, 19)
    assert Counts.of(found.verdicts).right == 20


def test_a_judge_that_is_gone_says_so_and_what_it_said_before_is_kept(tmp_path):
    asked = [case(number, f"right: {number}") for number in range(60)]
    kept = tmp_path / "replies.sqlite"
    dying = Server(lambda before, body: verdict(True) if len(dying.bodies) <= 10 else send({}, 503, **SOON))
    with dying.running() as url, pytest.raises(ConfigError, match=r"m gave no reply .* run the same again"):
        judge_answers(asked, at(url, max_retries=0, concurrency=2), kept)
    alive = by_answer({"right": [verdict(True)]})
    with alive.running() as url:
        assert Counts.of(judge_answers(asked, at(url), kept).verdicts).right == 60
    assert len(alive.bodies) == 50


def start(url: str, folder: Path) -> subprocess.Popen:
    places = [str(folder / "replies.sqlite"), str(folder / "out")]
    return subprocess.Popen([sys.executable, "-m", "tests.judging.bench", url, *places], cwd=ROOT)


def test_a_killed_run_goes_on_to_the_same_judgements(tmp_path):
    """The judge babbles at first about every fifth answer, so that some need a second try."""
    enough, go_on = threading.Event(), threading.Event()

    def act(before, body):
        number = int(answer_in(body).split()[1])
        if number % 5 == 0 and body["temperature"] == 0:
            return say("hm")
        return verdict(number % 2 == 0)

    def killing(before, body):
        if len(server.bodies) > 40 and not go_on.is_set():
            enough.set()
            return lambda handler: go_on.wait(60)
        return act(before, body)

    server = Server(killing)
    with server.running() as url:
        killed = start(url, tmp_path)
        assert enough.wait(60)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        go_on.set()
        cache = Cache(tmp_path / "replies.sqlite")
        kept = len(cache)
        cache.close()
        before = Counter(json.dumps(body) for body in server.bodies)
        found = judge_answers(cases(), at(url, concurrency=4), tmp_path / "replies.sqlite")
    asked = Counter(json.dumps(body) for body in server.bodies)
    with Server(act).running() as url:
        undisturbed = judge_answers(cases(), at(url), tmp_path / "other.sqlite")
    assert found.verdicts == undisturbed.verdicts
    assert [one.right for one in found.verdicts] == [number % 2 == 0 for number in range(CASES)]
    assert {one.asked for one in found.verdicts} == {1, 2}
    assert found.spent.calls == len(asked) - kept
    again = {body for body, times in asked.items() if times > 1}
    assert again <= before.keys()
    assert len(again) <= sum(before.values()) - kept <= 2 * 4 + 4
    assert asdict(found.spent.used) == asdict(undisturbed.spent.used)


def test_two_answers_are_compared_in_both_orders_and_a_liking_for_a_place_decides_nothing(tmp_path):
    def act(before, body):
        text = body["messages"][0]["content"]
        likes_place = "2+2" in text
        first_is_good = text.index("good") < text.index("bad") if "good" in text else False
        return say(json.dumps({"better": "A" if likes_place or first_is_good else "B"}))

    pairs = [
        Pairing("place", "2+2?", "four", "five"),
        Pairing("first", "3+3?", "good", "bad"),
        Pairing("second", "3+3?", "bad", "good"),
    ]
    server = Server(act)
    with server.running() as url:
        found = compare_answers(pairs, at(url), tmp_path / "replies.sqlite")
    assert [one.better for one in found.verdicts] == ["tie", "first", "second"]
    assert [one.swayed for one in found.verdicts] == [True, False, False]
    # The second and third pair are one pair turned round, so they share their two requests.
    assert len(server.bodies) == 4


def test_agreement_with_people_is_of_the_answers_that_they_judged(tmp_path):
    rows = [("right: a", 1), ("right: b", 0), ("wrong: c", "no"), ("refuses: d", 1), ("right: e", None)]
    turns = (Message("user", "2+2?"), Message("assistant", "4"))
    examples = [
        Example(f"q{place}", turns, Source("people.jsonl", place), record={"said": said, "human": label})
        for place, (said, label) in enumerate(rows, 1)
    ]
    with by_answer(BAD).running() as url:
        found = agree_with_people(
            examples, at(url), tmp_path / "replies.sqlite", answer="said", label="human"
        )
        refused = agree_with_people(
            examples[3:4], at(url), tmp_path / "replies.sqlite", answer="said", label="human"
        )
    agreed = found.agreement
    assert (agreed.both_right, agreed.judge_only, agreed.people_only, agreed.both_wrong) == (1, 1, 0, 1)
    assert (agreed.without_verdict, agreed.without_label) == (1, 1)
    assert [one.right for one in found.judged.verdicts] == [True, True, False, None, True]
    assert found.labels == (True, False, False, True, None)
    assert refused.agreement is None


def test_a_real_server_judges_as_its_model_does_in_memory(served_url, served_model, tmp_path):
    """A tiny random model, a few of whose words are verdicts; both ways of asking must come to the same."""
    asked = [
        Case(f"q{number}", f"w{number} w{number + 2}", "w3", f"w{number % 7 + 1} w{number % 5 + 2}")
        for number in range(10, 20)
    ]
    how = {"attempts": 1, "max_tokens": 60}
    endpoint = JudgeConfig(endpoint=served_url, model=str(served_model), concurrency=3, **how)
    kept = tmp_path / "replies.sqlite"
    found = judge_answers(asked, endpoint, kept)
    local = judge_answers(asked, JudgeConfig(local=str(served_model), **how), tmp_path / "local.sqlite")
    assert found.verdicts == local.verdicts
    assert found.judge == str(served_model)
    assert found.spent.failures == found.spent.bought.uncounted == 0
    patient = endpoint.model_copy(update={"attempts": 3})
    tried = judge_answers(asked, patient, kept)
    gone = patient.model_copy(update={"endpoint": GONE})
    assert judge_answers(asked, gone, kept).verdicts == tried.verdicts
    counts = Counts.of(tried.verdicts)
    assert counts.failed == counts.refused == 0
    assert counts.right + counts.wrong > 0
    assert counts.judged == 10


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "name the judge"),
        ({"endpoint": "http://h/v1"}, "both or neither"),
        ({"model": "m"}, "both or neither"),
        ({"endpoint": "http://h/v1", "model": "m", "local": "x"}, "name the judge"),
        ({"endpoint": "http://me:secret@h/v1", "model": "m"}, "without a user name"),
        ({"local": "x", "attempts": 0}, "attempts"),
    ],
)
def test_settings_that_name_no_judge_are_told(values, said):
    with pytest.raises(ValueError, match=said):
        JudgeConfig(**values)
