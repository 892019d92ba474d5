"""Strategies and references for tests, and somebody who answers requests by a rule."""

import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from assay.asking.request import Failure, Reply, Request
from assay.crafting.checks import Knowledge
from assay.crafting.reference import Reference
from assay.crafting.strategy import Ask, Check, Given, Strategy, TurnText, Written
from assay.data.example import Source

KNOWN = Knowledge()


def reference(number: int = 1, task: str = "add", **changes: Any) -> Reference:
    values: dict[str, Any] = {
        "id": f"{task}-{number}",
        "task": task,
        "query": f"what is {number} plus {number} ?",
        "response": str(2 * number),
        "source": Source("refs.jsonl", number),
        **changes,
    }
    return Reference(**values)


def user(text: str) -> TurnText:
    return TurnText("user", text)


def assistant(text: str) -> TurnText:
    return TurnText("assistant", text)


def strategy(name: str = "cot", **changes: Any) -> Strategy:
    """Asks once, for a text that ends with the reference's answer; takes the column `why` instead."""
    values: dict[str, Any] = {
        "name": name,
        "what": "a test",
        "steps": (
            Ask(
                "text",
                (user(f"{name} {{{{ query }}}} {{{{ response }}}}"),),
                given=Given(("why",), "{{ why }} so {{ response }}"),
                checks=(Check("matches", {"pattern": r"\d$"}),),
                attempts=2,
            ),
        ),
        "writes": (Written(name, (user("{{ query }} think."), assistant("{{ text }}"))),),
        **changes,
    }
    return Strategy(**values)


SIMILAR = Strategy(
    "similar",
    "a sibling",
    (Ask("sibling", (user("similar {{ query }}"),), read="json", names=("query", "response")),),
    (Written("similar", (user("{{ sibling.query }}"), assistant("{{ sibling.response }}"))),),
)


def sibling_reply(request: Request) -> str:
    """A sibling by the number in the question: of n it is the question about n + 1000."""
    number = int(next(word for word in request.turns[-1].content.split() if word.isdigit())) + 1000
    return json.dumps({"query": f"what is {number} plus {number} ?", "response": str(2 * number)})


def writes(request: Request) -> str:
    """The right reply to the two strategies above."""
    said = request.turns[-1].content
    return sibling_reply(request) if said.startswith("similar") else f"because it is so, {said.split()[-1]}"


def through(
    work: Generator[Request, Reply | Failure, Any], reply: Callable[[Request], str | Failure] = writes
) -> tuple[Any, list[Request]]:
    """What a generator returns when it is answered by a rule, and what it asked."""
    asked: list[Request] = []
    answer: Reply | Failure | None = None
    while True:
        try:
            request = next(work) if answer is None else work.send(answer)
        except StopIteration as done:
            return done.value, asked
        asked.append(request)
        said = reply(request)
        answer = Reply(said) if isinstance(said, str) else said


def write_rows(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
