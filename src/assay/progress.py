"""How long work says how far it is, without knowing who listens.

The library never prints. A function that works for long takes `progress: Progress = SILENT`;
the command line passes one that draws bars.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[float], None]


class Progress(Protocol):
    def stage(self, label: str, total: float, unit: str) -> AbstractContextManager[Advance]:
        """A stage of `total` units of work; call the yielded function with units just finished."""
        ...

    def note(self, sentence: str) -> None:
        """One sentence that a person should read now."""
        ...


class Silent:
    """Says nothing."""

    @contextmanager
    def stage(self, label: str, total: float, unit: str) -> Iterator[Advance]:
        yield lambda amount: None

    def note(self, sentence: str) -> None:
        return None


SILENT = Silent()
