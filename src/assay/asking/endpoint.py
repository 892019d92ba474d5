"""A model behind any OpenAI-compatible server, asked through the `openai` client by several threads at once.

The client itself waits and asks again after time-outs, broken connections, 429 and 5xx; replies with a broken
body are asked for again out of the same number of retries.
"""

import random
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

from assay.asking.completion import error_message, half_a_character, read_completion
from assay.asking.request import Failure, Reply, Request
from assay.asking.server import KEY_ENV, Server
from assay.errors import ConfigError

FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
"""Seconds before a broken reply is asked for again: the first time, and at most; they double."""
FOR_NOW = (408, 409, 429)
"""Statuses below 500 that the client asks again after."""


class Endpoint:
    """The model `name` at the address `url`, as a `asking.model.Model`.

    `key_env` names the environment variable with the key, None sends none. At most `concurrency` requests are
    under way, each with `timeout` seconds for a try and `max_retries` further tries. Nothing is sent before
    the first `start`. Raises ConfigError for an address or a key that will not do and where the `openai`
    package is missing; `start` where nothing answers; `finished` where the server refuses the key (401, 403),
    knows no such model or address (404), or the account has no quota left.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        key_env: str | None = KEY_ENV,
        concurrency: int = 8,
        timeout: float = 300.0,
        max_retries: int = 5,
    ) -> None:
        for option, value, least in (("concurrency", concurrency, 1), ("max-retries", max_retries, 0)):
            if value < least:
                raise ConfigError(f"{option} is {value}; it must be at least {least}.")
        if not 0 < timeout < float("inf"):
            raise ConfigError(f"timeout is {timeout:g}; it must be a number of seconds above 0.")
        self.name, self.room = name, concurrency
        self._server = Server.at(url, key_env)
        self._timeout, self._max_retries = timeout, max_retries
        self._openai = _openai()
        self._client = self._openai.OpenAI(
            base_url=self._server.url,
            api_key=self._server.key.get_secret_value() if self._server.key else "none",
            timeout=timeout,
            max_retries=max_retries,
        )
        self._limit = "max_tokens"
        self._asked: SimpleQueue[Request | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Request, Reply | Failure | Exception]] = SimpleQueue()
        self._threads, self._under_way, self._retries = 0, 0, 0
        self._lock, self._halt = threading.Lock(), threading.Event()
        self._stopped: Exception | None = None

    @property
    def ready(self) -> bool:
        return not self._done.empty()

    @property
    def retries(self) -> int:
        return self._retries

    def start(self, request: Request) -> None:
        if not self._threads:
            self._server.reach(self._timeout)
        self._under_way += 1
        self._asked.put(request)
        if self._threads < min(self.room, self._under_way):
            self._threads += 1
            threading.Thread(target=self._work, name=f"{self.name}-{self._threads}", daemon=True).start()

    def finished(self) -> list[tuple[Request, Reply | Failure]]:
        found: list[tuple[Request, Reply | Failure]] = []
        while self._under_way and self._stopped is None:
            try:
                request, answer = self._done.get(block=not found)
            except Empty:
                break
            self._under_way -= 1
            if isinstance(answer, Exception):
                self._stopped = answer
            else:
                found.append((request, answer))
        if self._stopped is not None and not found:
            raise self._stopped
        return found

    def close(self) -> None:
        self._halt.set()
        for _ in range(self._threads):
            self._asked.put(None)
        self._client.close()

    def _work(self) -> None:
        """One thread: requests one after another, until something stops all of them."""
        while (request := self._asked.get()) is not None and not self._halt.is_set():
            try:
                self._done.put((request, self._answer(request)))
            except Exception as error:
                self._halt.set()
                self._done.put((request, error))

    def _answer(self, request: Request) -> Reply | Failure:
        """The reply to a request after all the tries it takes. Raises ConfigError for what ends the run."""
        if any(half_a_character(turn.content) for turn in request.turns):
            return Failure("the prompt holds half a character (a lone surrogate)", refused=True)
        left = self._max_retries
        while True:
            limit = self._limit
            try:
                raw = self._create(request, limit, left)
            except self._openai.APIStatusError as error:
                self._count(error)
                if limit == "max_tokens" and _wants_other_limit(error):
                    self._limit = "max_completion_tokens"
                    continue
                return self._refused(error)
            except self._openai.APITimeoutError as error:
                self._count(error)
                return Failure(f"no reply within {self._timeout:g} seconds{self._tries}")
            except self._openai.APIConnectionError as error:
                self._count(error)
                return Failure(
                    f"the connection broke ({self._server.without_key(_cause(error))}){self._tries}"
                )
            self._add_retries(raw.retries_taken)
            left -= raw.retries_taken
            reply = self._read(raw.http_response.content)
            if isinstance(reply, Reply):
                return reply
            if left <= 0:
                return Failure(f"{reply}{self._tries}")
            time.sleep(_wait(self._max_retries - left))
            self._add_retries(1)
            left -= 1

    def _create(self, request: Request, limit: str, retries: int) -> Any:
        messages = [{"role": turn.role, "content": turn.content} for turn in request.turns]
        return self._client.with_options(max_retries=retries).chat.completions.with_raw_response.create(
            model=self.name,
            messages=messages,
            temperature=request.temperature,
            **{limit: request.max_tokens},
        )

    def _read(self, body: bytes) -> Reply | str:
        reply = read_completion(body)
        if isinstance(reply, str):
            return self._server.without_key(reply)
        return "the reply repeats the key" if self._server.holds_key(reply.text) else reply

    def _refused(self, error: Any) -> Failure:
        """What a status means: a Failure of this request, or a ConfigError for the whole run."""
        status, url = int(error.status_code), self._server.url
        said = self._server.without_key(error_message(error.body))
        because = f"{status}: {said}" if said else str(status)
        if status in (401, 403):
            raise ConfigError(self._server.about_key(status, self.name)) from None
        if status == 404:
            raise ConfigError(
                f"{url} has no model {self.name!r}, or takes no chat completions there ({because}); check "
                "--model, and --endpoint, which mostly ends in /v1."
            ) from None
        if status == 402 or error.code == "insufficient_quota":
            raise ConfigError(
                f"The account at {url} has no quota left ({because}); see to it there."
            ) from None
        again = self._tries if status in FOR_NOW or status >= 500 else ""
        return Failure(f"the server answered {because}{again}", refused=status in (400, 413, 422))

    @property
    def _tries(self) -> str:
        return f", in {self._max_retries + 1} tries" if self._max_retries else ""

    def _count(self, error: Any) -> None:
        """The tries that a request took before the client gave it up."""
        taken = error.request.headers.get("x-stainless-retry-count", "0")
        self._add_retries(int(taken) if taken.isdigit() else 0)

    def _add_retries(self, times: int) -> None:
        with self._lock:
            self._retries += times


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise ConfigError(
            "Asking an endpoint takes the openai client, which is not installed; pip install 'assay[llm]'."
        ) from error
    return openai


def _wants_other_limit(error: Any) -> bool:
    """Whether `max_completion_tokens` is asked for in place of `max_tokens`, as by OpenAI's newer models."""
    return error.status_code == 400 and "max_completion_tokens" in error_message(error.body)


def _cause(error: BaseException) -> str:
    """The innermost reason of a broken connection."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error).strip().rstrip(".") or type(error).__name__


def _wait(tries: int) -> float:
    """Seconds before the next try, after so many."""
    return min(FIRST_WAIT * 2.0**tries, LONGEST_WAIT) * random.uniform(0.75, 1.0)
