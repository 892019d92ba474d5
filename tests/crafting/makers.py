"""Small references, strategies and scripted models for tests of crafting."""

from collections.abc import Callable
from pathlib import Path

from assay.asking.request import Failure, Reply, Request
from assay.crafting.checks import Knowledge
from assay.crafting.outcome import Outcome
from assay.crafting.reading import read_strategy
from assay.crafting.reference import Reference, reference_of
from assay.crafting.strategy import Strategy
from assay.crafting.work import craft
from assay.data.example import Example, Message, Source

Say = Callable[[Request], "str | Reply | Failure"]


def reference(
    query: str = "Anna has 12 pens and buys 7 more. How many pens does she have?",
    response: str = "19",
    *,
    id: str = "r1",
    task: str | None = "addition",
    before: tuple[Message, ...] = (),
    rendering: str = "chat",
    **columns: str,
) -> Reference:
    messages = (*before, Message("user", query), Message("assistant", response))
    return reference_of(
        Example(id, messages, Source("refs.jsonl", 1), task=task, rendering=rendering, record=columns)
    )


def carry_out(
    one: Reference, strategy: Strategy, say: Say, known: Knowledge | None = None
) -> tuple[Outcome, list[Request]]:
    """The outcome, and all that was asked, where `say` answers."""
    work = craft(one, strategy, known or Knowledge("numeric"))
    asked: list[Request] = []
    try:
        request = next(work)
        while True:
            asked.append(request)
            said = say(request)
            request = work.send(Reply(said) if isinstance(said, str) else said)
    except StopIteration as end:
        return end.value, asked


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def strategy_of(folder: Path, text: str) -> Strategy:
    return read_strategy(written(folder, text))
