"""A real server: `transformers serve` answers through the client as its model does in memory."""

import pytest

from assay.asking.cache import Cache
from assay.asking.drive import drive
from assay.asking.endpoint import Endpoint
from assay.asking.local import Local
from assay.asking.request import Failure, Reply
from assay.errors import ConfigError
from tests.asking.servers import asking, job

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9", "w2 w2", "w9 w1"]


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_greedy_replies_are_those_of_the_model_in_memory_and_a_rerun_needs_no_server(
    served_url, served_model, tmp_path
):
    how = {"temperature": 0.0, "max_tokens": 7}
    endpoint = Endpoint(served_url, str(served_model), concurrency=3)
    cache, spent = Cache(tmp_path / "replies.sqlite"), {}
    jobs = [(text, "w3 ") for text in TEXTS]
    found = list(drive((job(*texts, **how) for texts in jobs), {"writer": endpoint}, cache, spent=spent))
    endpoint.close()
    local = Local.open(str(served_model), device="cpu")
    other = Cache(tmp_path / "local.sqlite")
    expected = list(drive((job(*texts, **how) for texts in jobs), {"writer": local}, other))
    assert found == expected
    assert {reply.cut_off for replies in found for reply in replies} == {True, False}
    counts = spent[str(served_model)]
    assert (counts.failures, counts.retries, counts.bought.uncounted) == (0, 0, 0)
    assert counts.calls == len(cache) == counts.bought.replies
    nobody = Endpoint("http://127.0.0.1:9/v1", str(served_model))
    assert list(drive((job(*texts, **how) for texts in jobs), {"writer": nobody}, cache)) == found


def test_sampled_attempts_differ(served_url, served_model):
    endpoint = Endpoint(served_url, str(served_model), concurrency=2)
    requests = [asking("w1", temperature=2.0, max_tokens=8, attempt=attempt) for attempt in range(6)]
    for request in requests:
        endpoint.start(request)
    found = []
    while len(found) < len(requests):
        found += endpoint.finished()
    endpoint.close()
    assert all(isinstance(reply, Reply) for _, reply in found)
    assert len({reply.text for _, reply in found}) > 1


def test_another_models_name_is_refused_in_the_servers_words(served_url):
    endpoint = Endpoint(served_url, "no/such-model", max_retries=0)
    endpoint.start(asking("w1"))
    try:
        ((_, answer),) = endpoint.finished()
    except ConfigError as error:
        answer = Failure(str(error), refused=True)
    endpoint.close()
    assert answer.refused
    assert "no/such-model" in answer.reason


def test_an_address_without_v1_is_told(served_url):
    endpoint = Endpoint(served_url.removesuffix("/v1"), "m")
    endpoint.start(asking("w1"))
    with pytest.raises(ConfigError, match=r"takes no chat completions there .*mostly ends in /v1"):
        endpoint.finished()
    endpoint.close()
