"""Servers for the tests of this room: one that misbehaves as it is told, and a job that asks."""

import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assay.asking.request import Failure, Reply, Request, Turn

Act = Callable[[Any], None]
"""What a server does with one request, by its handler."""


def body_of(text: str | None, *, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion as servers write it."""
    message = {"role": "assistant", "content": text, **more}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


def send(body: Any, status: int = 200, **headers: str) -> Act:
    """Answer with a body: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", headers.pop("length", str(len(data))))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return act


def say(text: str, **how: Any) -> Act:
    return send(body_of(text, **how))


class Server:
    """Answers POSTs by `acts`, called with the number of this very body so far and the body.

    `bodies` are those that came, in order; `headers` theirs.
    """

    def __init__(self, acts: Callable[[int, dict[str, Any]], Act]) -> None:
        self.acts, self.bodies, self.headers = acts, [], []
        self.lock = threading.Lock()

    @property
    def prompts(self) -> list[str]:
        """The last turn of every request, in the order they came."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    @contextmanager
    def running(self) -> Iterator[str]:
        """The server's address while the block lasts."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    before = server.bodies.count(body)
                    server.bodies.append(body)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.acts(before, body)(self)

            def log_message(self, *parts: Any) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/v1"
        finally:
            http.shutdown()
            http.server_close()


def asking(text: str, **how: Any) -> Request:
    return Request((Turn("user", text),), **how)


def job(*texts: str, **how: Any) -> Generator[Request, Reply | Failure, list[Reply | Failure]]:
    """Asks one text after another, each with the reply before it behind it, and returns the replies."""
    replies: list[Reply | Failure] = []
    for text in texts:
        before = replies[-1].text if replies and isinstance(replies[-1], Reply) else ""
        replies.append((yield asking(text + before, **how)))
    return replies
