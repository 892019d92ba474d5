"""One reference through one strategy: a generator that asks and is answered. Knows no client and no thread."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from assay.crafting.outcome import Outcome
from assay.crafting.reference import Reference
from assay.crafting.request import Failure, Reply, Request
from assay.crafting.strategy import Strategy
from assay.data.answers import Check


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What checks need besides the reference: how answers are compared, and the evaluation text, hashed."""

    answers: Check = "normalised"
    leaks: Any | None = None


def craft(
    reference: Reference, strategy: Strategy, known: Knowledge
) -> Generator[Request, Reply | Failure, Outcome]:
    """Yield one request at a time, be sent its reply, and return what became of the reference.

    The same replies give the same requests and the same outcome. A crafted example has the id
    `<reference>-<set>`, the reference's task, and the reference as its pair.
    """
    raise NotImplementedError
    yield
