"""Replies by what was asked: one SQLite file in which a reply is safe as soon as it is put.

Whatever ends the process, what was put is there (where the power fails, the last moments may be missing). A
reply is found by its model's name and by all that decides it: turns, temperature, most tokens, attempt. Who
asks, for what and where the model runs are no part of it, and no address or key comes near the file.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from assay.asking.request import Reply, Request
from assay.errors import ConfigError

VERSION = 1
PATIENCE = 60.0
"""Seconds to wait for another process that writes to the same file."""


def asked(model: str, request: Request) -> str:
    """What decides a reply, as JSON in ASCII; equal for equal requests to models of the same name."""
    return json.dumps(
        {
            "model": model,
            "turns": [[turn.role, turn.content] for turn in request.turns],
            "temperature": float(request.temperature),
            "max_tokens": request.max_tokens,
            "attempt": request.attempt,
        },
        allow_nan=False,
    )


def address(model: str, request: Request) -> str:
    """SHA-256 of `asked`, 64 hex digits: the name of a reply."""
    return hashlib.sha256(asked(model, request).encode()).hexdigest()


class Cache:
    """The replies in the file at `path`, made where it is missing. Threads and processes may share it.

    Raises ConfigError where the file cannot be opened or written, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._said():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)
        with self._said(), self._file:
            version = self._file.execute("PRAGMA user_version").fetchone()[0]
            tables = self._file.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            if version != VERSION and (version or tables):
                raise ConfigError(f"{path} is a database, but none of replies; name another file.")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS replies (address TEXT PRIMARY KEY, asked TEXT NOT NULL, "
                "text TEXT NOT NULL, cut_off INTEGER NOT NULL, prompt_tokens INTEGER, "
                "completion_tokens INTEGER) WITHOUT ROWID"
            )
            self._file.execute(f"PRAGMA user_version = {VERSION}")
        with self._said():
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")

    def get(self, model: str, request: Request) -> Reply | None:
        """The reply that is kept, None where there is none."""
        with self._lock, self._said():
            row = self._file.execute(
                "SELECT text, cut_off, prompt_tokens, completion_tokens FROM replies WHERE address = ?",
                (address(model, request),),
            ).fetchone()
        return None if row is None else Reply(row[0], bool(row[1]), row[2], row[3])

    def put(self, model: str, request: Request, reply: Reply) -> Reply:
        """`put_all` for one reply."""
        return self.put_all(model, [(request, reply)])[0]

    def put_all(self, model: str, replies: Sequence[tuple[Request, Reply]]) -> list[Reply]:
        """Keep replies, all or none; gives back those that stand, the first that were put."""
        rows = [
            (
                address(model, request),
                asked(model, request),
                reply.text,
                reply.cut_off,
                reply.prompt_tokens,
                reply.completion_tokens,
            )
            for request, reply in replies
        ]
        with self._lock, self._said(), self._file:
            self._file.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", rows)
        return [self.get(model, request) or reply for request, reply in replies]

    def __len__(self) -> int:
        with self._lock, self._said():
            return int(self._file.execute("SELECT COUNT(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        self._file.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What SQLite and the file system refuse, in a sentence."""
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise ConfigError(
                f"The cache of replies {self._path} cannot be used: {str(error).rstrip('.')}; "
                "name another file, or mend this one."
            ) from error
