"""Whatever a server does, a request ends in its reply, a failure that says why, or an error for a person."""

import logging
import sys
import threading
import time

import pytest

from assay.asking import endpoint as endpoints
from assay.asking.endpoint import Endpoint
from assay.asking.request import Failure, Reply, Turn
from assay.errors import ConfigError
from tests.asking.servers import Server, asking, body_of, say, send

KEY = "sk-proj-Zq81LmPw55TtRr0Xy7"
SOON = {"retry_after_ms": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(endpoints, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def ask(server: Server, *requests, **how):
    """Every request's answer, and the endpoint after it."""
    with server.running() as url:
        endpoint = Endpoint(url, "m", **{"max_retries": 3, "timeout": 20.0, **how})
        try:
            for request in requests or (asking("Hi"),):
                endpoint.start(request)
            found = []
            while len(found) < max(len(requests), 1):
                found += endpoint.finished()
        finally:
            endpoint.close()
    answers = dict(found)
    return [answers[request] for request in requests or (asking("Hi"),)], endpoint


def first(*acts):
    """The first acts for the first requests of a kind, the last for all others."""
    return Server(lambda before, body: acts[min(before, len(acts) - 1)])


def test_a_request_is_sent_as_it_is_and_its_reply_read():
    server = first(say("Four."))
    request = asking("2+2?", temperature=0.3, max_tokens=17)
    request = type(request)((Turn("system", "Be brief."), *request.turns), temperature=0.3, max_tokens=17)
    answers, endpoint = ask(server, request)
    assert answers == [Reply("Four.", False, 7, 3)]
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}],
            "temperature": 0.3,
            "max_tokens": 17,
        }
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert (endpoint.name, endpoint.retries) == ("m", 0)


def test_no_key_is_sent_where_none_belongs():
    server = first(say("Four."))
    ask(server, key_env=None)
    assert KEY not in str(server.headers)


def test_a_reply_that_was_cut_off_says_so():
    assert ask(first(say("Half a", finish="length")))[0] == [Reply("Half a", True, 7, 3)]


@pytest.mark.parametrize(
    "fault",
    [
        send({"error": {"message": "slow down"}}, 429, **SOON),
        send({"error": {"message": "slow down"}}, 429, retry_after="0.001"),
        send({"error": "boom"}, 500, **SOON),
        send(b"<html>Bad gateway</html>", 502, **SOON),
        send(b"", 503, **SOON),
        send(b'{"choices": [{"mess'),
        send({"choices": []}),
        send(body_of(None)),
        send({"choices": [{"index": 0}]}),
        send(body_of(f"Your headers: Bearer {KEY}")),
    ],
    ids=["429", "429s", "500", "502", "503", "malformed", "no-choices", "null", "no-message", "echo"],
)
def test_a_fault_that_passes_costs_a_retry_and_nothing_else(fault):
    server = first(fault, fault, say("Four."))
    answers, endpoint = ask(server)
    assert answers == [Reply("Four.", False, 7, 3)]
    assert len(server.bodies) == 3
    assert endpoint.retries == 2


def test_retry_after_is_what_the_client_waits(monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server = first(send({}, 429, retry_after="33"), send({}, 503, retry_after="7"), say("Four."))
    assert ask(server)[0] == [Reply("Four.", False, 7, 3)]
    assert waited == [33.0, 7.0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            send({"error": {"message": "slow down"}}, 429, **SOON),
            "the server answered 429: slow down, in 4 tries",
        ),
        (send({"detail": "boom"}, 500, **SOON), "the server answered 500: boom, in 4 tries"),
        (
            send(b'{"choices": [{"mess'),
            'the reply is not JSON, it begins \'{"choices": [{"mess\', in 4 tries',
        ),
        (send({"choices": []}), "the reply has no choices, in 4 tries"),
        (send(body_of(None)), "the reply has no content (finish_reason stop), in 4 tries"),
        (send(body_of(KEY)), "the reply repeats the key, in 4 tries"),
        (
            send({"error": {"message": f"bad {KEY[4:]}"}}, 500, **SOON),
            "500: its words hold a part of the key",
        ),
    ],
)
def test_a_fault_that_stays_is_a_failure_after_a_bounded_number_of_tries(fault, said):
    server = first(fault)
    (answer,), endpoint = ask(server)
    assert isinstance(answer, Failure)
    assert said in answer.reason
    assert not answer.refused
    assert len(server.bodies) == 4
    assert endpoint.retries == 3


def test_retries_of_the_client_and_of_broken_replies_come_out_of_one_number():
    fault = send({}, 500, **SOON)
    server = first(fault, send({}), fault, send({}), say("too late"))
    (answer,), endpoint = ask(server)
    assert answer == Failure("the reply has no choices, in 4 tries")
    assert (len(server.bodies), endpoint.retries) == (4, 3)


def slow(handler):
    time.sleep(1.5)


def dropped(handler):
    handler.close_connection = True
    handler.connection.close()


@pytest.mark.parametrize(
    "fault", [slow, dropped, send(b'{"cho', length="9000")], ids=["slow", "drop", "short"]
)
def test_a_server_that_says_nothing_or_half_is_asked_again(fault):
    def cut(handler):
        fault(handler)
        handler.close_connection = True

    server = first(cut, say("Four."))
    answers, endpoint = ask(server, timeout=0.5)
    assert answers == [Reply("Four.", False, 7, 3)]
    assert (len(server.bodies), endpoint.retries) == (2, 1)


def test_time_outs_and_broken_connections_that_stay_are_failures():
    (answer,), _ = ask(first(slow), timeout=0.2, max_retries=0)
    assert answer == Failure("no reply within 0.2 seconds")
    (answer,), _ = ask(first(dropped), max_retries=0)
    assert answer.reason.startswith("the connection broke (")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_not_taken_is_its_own_fault_and_not_repeated(status):
    server = first(send({"error": {"message": "The prompt is too long."}}, status))
    (answer,), endpoint = ask(server)
    assert answer == Failure(f"the server answered {status}: The prompt is too long", refused=True)
    assert (len(server.bodies), endpoint.retries) == (1, 0)


def test_half_a_character_in_a_prompt_is_its_own_fault():
    (answer,), _ = ask(first(say("Four.")), asking("half \ud83d"))
    assert answer == Failure("the prompt holds half a character (a lone surrogate)", refused=True)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            {"error": {"message": f"Incorrect API key provided: {KEY}"}},
            "refuses the key in the environment",
        ),
        (403, {"error": {"message": f"no: {KEY[:9]}***"}}, "lets nobody ask 'm' with the key"),
        (404, {"error": {"message": "no model m"}}, "has no model 'm', or takes no chat completions there"),
        (402, {"message": "pay"}, "no quota left (402: pay)"),
        (429, {"error": {"message": "over", "code": "insufficient_quota"}}, "no quota left (429: over)"),
    ],
)
def test_what_a_person_must_mend_ends_the_run_in_one_sentence_without_the_key(status, body, said):
    server = first(send(body, status, **SOON))
    with pytest.raises(ConfigError) as raised:
        ask(server, max_retries=0)
    assert said in str(raised.value)
    assert KEY[:9] not in str(raised.value)
    assert len(server.bodies) == 1


def test_replies_that_came_before_a_refused_key_are_given_first_and_nothing_is_asked_after_it():
    late = threading.Event()

    def act(handler):
        late.set()
        say("late")(handler)

    acts = {"good": say("Four."), "bad": send({}, 401)}
    server = Server(lambda before, body: acts.get(body["messages"][-1]["content"], act))
    with server.running() as url:
        endpoint = Endpoint(url, "m", concurrency=1)
        for text in ("good", "bad", "late"):
            endpoint.start(asking(text))
        assert not late.wait(1.0)
        assert endpoint.finished() == [(asking("good"), Reply("Four.", False, 7, 3))]
        for _ in range(2):
            with pytest.raises(ConfigError, match="401"):
                endpoint.finished()
        endpoint.close()
    assert server.prompts == ["good", "bad"]


def test_no_more_requests_are_under_way_than_there_is_room_for():
    at_once, most, three = [], [], threading.Barrier(3, timeout=30)

    def act(handler):
        at_once.append(1)
        most.append(len(at_once))
        three.wait()
        at_once.pop()
        say("Four.")(handler)

    requests = [asking(str(number)) for number in range(12)]
    answers, _ = ask(Server(lambda before, body: act), *requests, concurrency=3)
    assert answers == [Reply("Four.", False, 7, 3)] * 12
    assert max(most) == 3


def test_a_model_that_wants_the_other_limit_is_given_it():
    wrong = send({"error": {"message": "Use 'max_completion_tokens' instead of 'max_tokens'."}}, 400)
    server = Server(lambda before, body: wrong if "max_tokens" in body else say("Four."))
    answers, _ = ask(server, asking("a", max_tokens=5), asking("b", max_tokens=5), concurrency=1)
    assert answers == [Reply("Four.", False, 7, 3)] * 2
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 5, 5]


def test_nothing_is_sent_before_the_first_request_and_then_a_dead_address_is_told_at_once():
    with Server(lambda before, body: say("x")).running() as url:
        pass
    endpoint = Endpoint(url, "m")
    with pytest.raises(ConfigError, match=r"Nothing answers at .*start the server, or correct --endpoint"):
        endpoint.start(asking("Hi"))
    assert endpoint.finished() == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"timeout": 0.0}, "timeout"),
        ({"max_retries": -1}, "max-retries"),
    ],
)
def test_settings_that_make_no_sense_are_refused(how, said):
    with pytest.raises(ConfigError, match=f"{said} is"):
        Endpoint("http://127.0.0.1:9/v1", "m", **how)


def test_without_the_client_a_person_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"pip install 'assay\[llm\]'"):
        Endpoint("http://127.0.0.1:9/v1", "m")


def test_the_key_is_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    ask(first(send({"error": {"message": KEY}}, 500, **SOON), say("Four.")))
    shown = "".join(record.getMessage() + str(record.__dict__) for record in caplog.records)
    assert "POST" in shown
    assert KEY not in shown
