"""A reply is safe once it is put, and found by what decides it alone."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from assay.asking.cache import Cache, address
from assay.asking.request import Reply, Request, Turn
from assay.errors import ConfigError

REQUEST = Request((Turn("system", "Be brief."), Turn("user", "2+2?\x00\u2028\ud83d")))
REPLY = Reply("4, “four” 四\n", True, 12, None)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "new" / "replies.sqlite"


def test_a_reply_comes_back_as_it_was_in_another_process_life(path):
    cache = Cache(path)
    assert cache.get("m", REQUEST) is None
    assert cache.put("m", REQUEST, REPLY) == REPLY
    cache.close()
    again = Cache(path)
    assert again.get("m", REQUEST) == REPLY
    assert len(again) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, turns=(Turn("user", "Be brief."), *REQUEST.turns[1:])),
        replace(REQUEST, turns=(Turn("system", "Be brief. 2+2?"),)),
        replace(REQUEST, temperature=0.8),
        replace(REQUEST, max_tokens=9),
        replace(REQUEST, attempt=1),
    ],
)
def test_whatever_decides_a_reply_makes_another_request(path, other):
    cache = Cache(path)
    cache.put("m", REQUEST, REPLY)
    assert cache.get("m", other) is None
    assert cache.get("n", REQUEST) is None


def test_who_asks_and_for_what_decides_nothing(path):
    cache = Cache(path)
    cache.put("m", REQUEST, REPLY)
    assert cache.get("m", replace(REQUEST, by="judge", where="another")) == REPLY
    assert address("m", replace(REQUEST, temperature=1)) == address("m", replace(REQUEST, temperature=1.0))


def test_the_first_reply_stands(path):
    one, two = Cache(path), Cache(path)
    assert one.put("m", REQUEST, REPLY) == REPLY
    assert two.put("m", REQUEST, Reply("5")) == REPLY
    assert two.get("m", REQUEST) == REPLY


def test_threads_and_files_opened_twice_lose_nothing(path):
    caches = [Cache(path), Cache(path)]

    def put(number: int) -> None:
        caches[number % 2].put("m", replace(REQUEST, attempt=number), Reply(str(number)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(60)))
    assert [caches[0].get("m", replace(REQUEST, attempt=n)).text for n in range(60)] == [
        str(n) for n in range(60)
    ]


def test_what_was_put_outlives_a_kill(path):
    script = (
        "import os, signal, sys; from pathlib import Path; from assay.asking.cache import Cache; "
        "from assay.asking.request import *; cache = Cache(Path(sys.argv[1])); "
        "[cache.put('m', Request((Turn('user', str(n)),)), Reply(str(n))) for n in range(5)]; "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", script, str(path)], env=os.environ, check=False)
    assert died.returncode == -9
    assert [Cache(path).get("m", Request((Turn("user", str(n)),))).text for n in range(5)] == list("01234")


def test_files_that_are_no_cache_are_refused_and_left_alone(tmp_path):
    text, other, newer = (tmp_path / name for name in ("notes.txt", "other.db", "newer.db"))
    text.write_text("my notes, which are long enough to be no empty database file " * 20)
    for file, script in ((other, "CREATE TABLE mine (x)"), (newer, "PRAGMA user_version = 99")):
        with sqlite3.connect(file) as database:
            database.execute(script)
    for file in (text, other, newer):
        before = file.read_bytes()
        with pytest.raises(ConfigError, match=file.name):
            Cache(file)
        assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        Cache(tmp_path / "file" / "replies.sqlite")
    with pytest.raises(ConfigError, match="cannot be used"):
        Cache(tmp_path)
