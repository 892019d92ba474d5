"""What a language model is to those who ask it: a name, room for so many requests, and replies in any order.

Knows no server, no weights and no strategy.
"""

from typing import Protocol

from assay.asking.request import Failure, Reply, Request


class Model(Protocol):
    """Who answers requests. One thread talks to it.

    `name` stands for the model in the cache of replies: models that answer otherwise have other names.
    """

    @property
    def name(self) -> str: ...

    @property
    def room(self) -> int:
        """How many requests it wants to have under way, at least 1."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `finished` now is worth its time: it has replies, or as much to do as it has room."""
        ...

    @property
    def retries(self) -> int:
        """How often it has asked again so far: after time-outs, "not now" and broken replies."""
        ...

    def start(self, request: Request) -> None:
        """Take a request. Never blocks for long."""
        ...

    def finished(self) -> list[tuple[Request, Reply | Failure]]:
        """Requests that came to an end since the last call, at least one if any is under way; blocks for it.

        Raises an AssayError where no request can be answered until a person has mended something.
        """
        ...

    def close(self) -> None:
        """Let go of threads, connections and weights; requests under way are forgotten."""
        ...
