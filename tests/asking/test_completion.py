"""A chat completion's body is a reply or a clause that says what is wrong with it."""

import json

import pytest

from assay.asking.completion import error_message, read_completion
from assay.asking.request import Reply
from tests.asking.servers import body_of


def read(body):
    return read_completion(json.dumps(body).encode())


def test_text_tokens_and_the_end_are_read():
    assert read(body_of("Yes.")) == Reply("Yes.", False, 7, 3)
    assert read(body_of(" kept as it is \n")) == Reply(" kept as it is \n", False, 7, 3)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_reply_that_did_not_end_by_itself_is_cut_off(finish):
    assert read(body_of("Half a", finish=finish)) == Reply("Half a", True, 7, 3)


def test_nothing_said_before_the_limit_is_a_reply_that_is_cut_off():
    assert read(body_of(None, finish="length")) == Reply("", True, 7, 3)


def test_a_refusal_that_stands_apart_is_the_text():
    assert read(body_of(None, refusal="I cannot.")) == Reply("I cannot.", False, 7, 3)


@pytest.mark.parametrize("usage", [None, "many", {}, {"prompt_tokens": "7", "completion_tokens": True}])
def test_tokens_that_nobody_counted_are_not_known(usage):
    assert read({**body_of("Yes."), "usage": usage}) == Reply("Yes.", False, None, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"choices": [{"message": {"con', "not JSON"),
        (b"<html><h1>It works!</h1></html>", "not JSON, it begins '<html><h1>It works!"),
        (b"", "not JSON, it begins with nothing"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "the reply has no choices"),
        (b'{"choices": []}', "the reply has no choices"),
        (b'{"choices": null, "error": {"message": "overloaded"}}', "no choices: overloaded"),
        (b'{"choices": ["x"]}', "no choices"),
        (b'{"choices": [{"text": "x"}]}', "without a message"),
        (json.dumps(body_of(None)).encode(), "no content (finish_reason stop)"),
        (
            json.dumps(body_of(None, finish="content_filter")).encode(),
            "no content (finish_reason content_filter)",
        ),
        (json.dumps(body_of([{"type": "text", "text": "x"}])).encode(), "content is not text"),
        (json.dumps(body_of("half \ud83d")).encode(), "half a character"),
    ],
)
def test_a_broken_body_is_told(body, said):
    found = read_completion(body)
    assert isinstance(found, str)
    assert said in found


def test_the_words_of_a_server_are_found_wherever_servers_put_them():
    assert error_message({"error": {"message": "too\n long."}}) == "too long"
    assert error_message({"message": "too long"}) == "too long"
    assert error_message({"error": "too long"}) == "too long"
    assert error_message({"detail": [{"loc": ["body"], "msg": "too long"}]}) == "too long"
    assert error_message("too long") == "too long"
    assert error_message(None) == error_message({"error": 3}) == error_message([]) == ""
    assert len(error_message("x" * 5000)) == 300
