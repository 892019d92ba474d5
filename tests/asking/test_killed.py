"""A kill in the middle loses no reply that was kept, repeats none, and leaves no trace of the key."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from assay.asking.cache import Cache
from tests.asking.asker import JOBS
from tests.asking.servers import Server, asking, say

KEY = "sk-proj-Zq81LmPw55TtRr0Xy7"
AFTER = 47
"""Requests that are answered before the kill; those that come then wait for it."""
ROOT = Path(__file__).parents[2]


def expected(number: int) -> list[str]:
    first = f"<first {number} >"
    return [first, f"<then {number} {first}>"]


def start(url: str, folder: Path, **how) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.asking.asker",
            url,
            str(folder / "replies.sqlite"),
            str(folder / "out"),
        ],
        cwd=ROOT,
        env={**os.environ, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "OPENAI_LOG": "debug"},
        **how,
    )


def test_a_rerun_asks_only_for_what_was_not_kept(tmp_path):
    enough = threading.Event()

    def act(handler, text):
        if len(server.bodies) > AFTER and not again:
            enough.set()
            handler.close_connection = True
            enough_read.wait(60)
            return
        say(f"<{text}>")(handler)

    again: list[bool] = []
    enough_read = threading.Event()
    server = Server(lambda before, body: lambda handler: act(handler, body["messages"][-1]["content"]))
    with server.running() as url, (tmp_path / "log").open("w") as log:
        killed = start(url, tmp_path, stdout=log, stderr=log)
        assert enough.wait(60)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        enough_read.set()
        cache = Cache(tmp_path / "replies.sqlite")
        kept = {text for text in server.prompts if cache.get("m", asking(text))}
        assert len(cache) == len(kept)
        cache.close()
        before = Counter(server.prompts)
        again.append(True)
        assert start(url, tmp_path, stdout=log, stderr=log).wait(120) == 0
        log.flush()
    asked = Counter(server.prompts)
    assert json.loads((tmp_path / "out").read_text()) == [expected(number) for number in range(JOBS)]
    assert len(asked) == 2 * JOBS
    assert {text for text, times in asked.items() if times > 1} <= before.keys() - kept
    assert sum(before.values()) - len(kept) <= 2 * 4 + 4
    assert all(header["authorization"] == f"Bearer {KEY}" for header in server.headers)
    assert (tmp_path / "log").stat().st_size > 1000
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes(), file
