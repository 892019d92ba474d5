"""A real server: `transformers serve` answers through the client as its model does in memory."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from assay.asking.cache import Cache
from assay.asking.drive import drive
from assay.asking.endpoint import Endpoint
from assay.asking.local import Local
from assay.asking.request import Failure, Reply
from assay.errors import ConfigError
from assay.models.loading import quiet
from tests.asking.servers import asking, job
from tests.models.builders import tiny_model, tokenizer

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9", "w2 w2", "w9 w1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model whose replies differ and sometimes end."""
    folder = tmp_path_factory.mktemp("serve") / "model"
    made, words = tiny_model(tied=False), tokenizer()
    words.chat_template += "{% if add_generation_prompt %}assistant {% endif %}"
    made.generation_config.do_sample = True
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6.0)
    with quiet():
        made.save_pretrained(folder)
        words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    """The address of a server that is started once and killed after the last test."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    command = Path(sys.executable).with_name("transformers")
    if not command.is_file():
        pytest.skip("this transformers has no command")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = tmp_path_factory.mktemp("log") / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [str(command), "serve", str(model), *how],
            stdout=out,
            stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            for _ in range(1200):
                assert server.poll() is None, log.read_text()
                if healthy(port):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


def healthy(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return direct.open(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_greedy_replies_are_those_of_the_model_in_memory_and_a_rerun_needs_no_server(url, model, tmp_path):
    how = {"temperature": 0.0, "max_tokens": 7}
    endpoint = Endpoint(url, str(model), concurrency=3)
    cache, spent = Cache(tmp_path / "replies.sqlite"), {}
    jobs = [(text, "w3 ") for text in TEXTS]
    found = list(drive((job(*texts, **how) for texts in jobs), {"writer": endpoint}, cache, spent=spent))
    endpoint.close()
    local = Local.open(str(model), device="cpu")
    other = Cache(tmp_path / "local.sqlite")
    expected = list(drive((job(*texts, **how) for texts in jobs), {"writer": local}, other))
    assert found == expected
    assert {reply.cut_off for replies in found for reply in replies} == {True, False}
    counts = spent[str(model)]
    assert (counts.failures, counts.retries, counts.bought.uncounted) == (0, 0, 0)
    assert counts.calls == len(cache) == counts.bought.replies
    nobody = Endpoint("http://127.0.0.1:9/v1", str(model))
    assert list(drive((job(*texts, **how) for texts in jobs), {"writer": nobody}, cache)) == found


def test_sampled_attempts_differ(url, model):
    endpoint = Endpoint(url, str(model), concurrency=2)
    requests = [asking("w1", temperature=2.0, max_tokens=8, attempt=attempt) for attempt in range(6)]
    for request in requests:
        endpoint.start(request)
    found = []
    while len(found) < len(requests):
        found += endpoint.finished()
    endpoint.close()
    assert all(isinstance(reply, Reply) for _, reply in found)
    assert len({reply.text for _, reply in found}) > 1


def test_another_models_name_is_refused_in_the_servers_words(url):
    endpoint = Endpoint(url, "no/such-model", max_retries=0)
    endpoint.start(asking("w1"))
    try:
        ((_, answer),) = endpoint.finished()
    except ConfigError as error:
        answer = Failure(str(error), refused=True)
    endpoint.close()
    assert answer.refused
    assert "no/such-model" in answer.reason


def test_an_address_without_v1_is_told(url):
    endpoint = Endpoint(url.removesuffix("/v1"), "m")
    endpoint.start(asking("w1"))
    with pytest.raises(ConfigError, match=r"takes no chat completions there .*mostly ends in /v1"):
        endpoint.finished()
    endpoint.close()
