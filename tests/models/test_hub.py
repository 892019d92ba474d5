"""A hub that does not answer costs one question and one sentence, and what it gave before still serves."""

import logging
import socket
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from huggingface_hub import constants

from assay.data.tables import read_rows
from assay.errors import AssayError, DataError, ModelError
from assay.models import hub
from assay.models.discover import discover
from assay.models.hub import fetch
from assay.models.loading import load_config, load_tokenizer
from assay.online import CHATTY, hub_answers, hushed


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub on this machine where nothing listens, an empty cache, and nobody who may wait."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited to try again"))


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: load_tokenizer(["nobody/nothing"]), "No tokenizer could be loaded from nobody/nothing"),
        (lambda: load_config("nobody/nothing"), "could not be loaded from the hub"),
        (lambda: discover("nobody/nothing"), "the hub could not be reached"),
        pytest.param(
            lambda: list(read_rows("hub:nobody/nothing")),
            "the hub could not be reached",
            marks=pytest.mark.skipif(find_spec("datasets") is None, reason="datasets is optional"),
        ),
    ],
    ids=["tokenizer", "config", "checkpoint", "rows"],
)
def test_without_an_answer_there_is_one_sentence_and_no_noise(
    ask: Callable[[], object], says: str, nobody_there: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not hub_answers()
    with pytest.raises(AssayError, match=says) as raised:
        ask()
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_any_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            asked.append((url, timeout))

    monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
    assert hub_answers()
    assert asked == [(constants.ENDPOINT, constants.HF_HUB_ETAG_TIMEOUT)]


def test_offline_rows_are_left_to_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits there, so nobody asks; what the cache of `datasets` holds is its own business."""
    pytest.importorskip("datasets")
    monkeypatch.setattr("assay.data.hub.hub_answers", lambda: pytest.fail("asked the hub"))
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: [{"a": "b"}])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert list(read_rows("hub:me/data")) == [(1, {"a": "b"})]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("assay.data.hub.hub_answers", lambda: False)
    with pytest.raises(DataError, match="hub:me/data cannot be read: the hub could not be reached"):
        list(read_rows("hub:me/data"))


def test_what_the_hub_gave_before_serves_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, and the knowledge that there is none."""
    commit = "a" * 40
    cached = tmp_path / "models--me--model"
    for folder in ("refs", f"snapshots/{commit}", f".no_exist/{commit}"):
        (cached / folder).mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots" / commit / "config.json").write_text("{}")
    (cached / ".no_exist" / commit / "adapter_config.json").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    assert fetch("me/model", "config.json") == cached / "snapshots" / commit / "config.json"
    assert fetch("me/model", "adapter_config.json") is None
    assert discover("me/model").checkpoints[0].kind == "full"
    with pytest.raises(ModelError, match="could not be reached"):
        fetch("me/model", "other.json")


def test_a_path_here_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda: pytest.fail("asked the hub"))
    assert hub.cache_only(str(tmp_path))


def test_silence_ends_where_it_began() -> None:
    before = [logging.getLogger(name).level for name in CHATTY]
    child = logging.getLogger("huggingface_hub.utils._http")
    with pytest.raises(KeyError), hushed():
        assert not child.isEnabledFor(logging.WARNING)
        raise KeyError
    assert [logging.getLogger(name).level for name in CHATTY] == before
