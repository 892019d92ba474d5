"""One reference through one strategy: a generator that asks and is answered. Knows no client."""

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from assay.asking.request import Failure, Reply, Request, Turn
from assay.crafting.checks import CHECKS, Knowledge, no_leak
from assay.crafting.outcome import Crafted, Failed, LeftOut, Outcome, Rejected, Tried
from assay.crafting.reference import Reference
from assay.crafting.replies import UnreadableError, value_of
from assay.crafting.strategy import Ask, Check, Let, Strategy, Written
from assay.crafting.templates import Columns, FillingError, filled, holds
from assay.crafting.writing import example_of, part_of
from assay.data.answers import judge
from assay.data.example import Example
from assay.fingerprint import digest

Crafting = Generator[Request, Reply | Failure, Outcome]


def craft(reference: Reference, strategy: Strategy, known: Knowledge) -> Crafting:
    """Yield one request at a time, be sent its reply, and return what became of the reference.

    The same replies give the same requests and the same outcome, and no step asks more often than its
    `attempts`. A crafted example has the id `<reference>-<set>`, the reference's task and the turns before
    its query, and the reference as its pair.
    """
    missing = [name for name in strategy.columns if name not in reference.columns]
    if missing:
        return Rejected("columns", f"the row has no column {missing[0]!r}")
    work = _Work(reference, strategy, known, _names(reference, strategy, known))
    for step in strategy.steps:
        try:
            if isinstance(step, Let):
                work.let(step)
                continue
            stopped = yield from work.ask(step)
        except FillingError as error:
            return Rejected(step.name, str(error), asked=work.asked)
        if stopped is not None:
            return stopped
    return work.write()


@dataclass(slots=True)
class _Work:
    """What is known while a reference goes through its steps; `asked` counts requests."""

    reference: Reference
    strategy: Strategy
    known: Knowledge
    names: dict[str, Any] = field(repr=False)
    asked: int = 0

    def let(self, step: Let) -> None:
        """Set a value. What is chosen follows from the reference's id, so it is the same in every run."""
        text = step.text
        if text is None:
            text = step.choose[int(digest(self.reference.id, step.name), 16) % len(step.choose)]
        self.names[step.name] = filled(text, self.names)

    def ask(self, step: Ask) -> Generator[Request, Reply | Failure, Outcome | None]:
        """Get a value from the row or from a model; a reply that fails is asked for again."""
        given = self._given(step)
        if given is not None:
            reason = self._take(step, given)
            return self._wanted(step) if reason is None else self._no(step.name, [Tried(given.text, reason)])
        turns = self._shown(step)
        where = f"{self.strategy.name}, {step.name}, of {self.reference.id}"
        tried: list[Tried] = []
        for attempt in range(step.attempts):
            reply = yield Request(turns, step.by, step.temperature, step.max_tokens, attempt, where)
            self.asked += 1
            if isinstance(reply, Failure):
                return Failed(step.name, reply.reason, self.asked)
            reason = self._take(step, reply)
            if reason is None:
                return self._wanted(step)
            tried.append(Tried(_writable(reply.text), reason))
        return self._no(step.name, tried)

    def write(self) -> Outcome:
        """The finished example of every set, if all of them stand their checks."""
        sets = {}
        for one in self.strategy.writes:
            try:
                example = example_of(one, self.reference, self.names)
                reason = self._fault_of(one, example)
            except FillingError as error:
                return Rejected(one.name, str(error), asked=self.asked)
            if reason is not None:
                return self._no(one.name, [Tried(example.messages[-1].content, reason)])
            sets[one.name] = (example,)
        return Crafted(sets, self.asked)

    def _given(self, step: Ask) -> Reply | None:
        """What the row's columns give in place of a reply, None where they do not."""
        given = step.given
        if given is None or any(name not in self.reference.columns for name in given.columns):
            return None
        names = {name: self.reference.columns[name] for name in given.columns} | self.names
        if given.text is not None:
            return Reply(filled(given.text, names))
        return Reply(json.dumps({name: filled(text, names) for name, text in given.fields.items()}))

    def _shown(self, step: Ask) -> tuple[Turn, ...]:
        """The turns of a request. The student also sees what stands before the query, as in its training."""
        turns = [Turn(turn.role, filled(turn.text, self.names)) for turn in step.turns]
        if step.by != "student":
            return tuple(turns)
        own = turns[0].role == "system"
        before = [
            Turn(turn.role, turn.content)
            for turn in self.reference.before
            if turn.role != "tool" and not (own and turn.role == "system")
        ]
        return (*turns[:own], *before, *turns[own:])

    def _take(self, step: Ask, reply: Reply) -> str | None:
        """Make a reply the step's value, or say why it will not do."""
        if reply.cut_off:
            return f"it was cut off at {step.max_tokens} tokens"
        try:
            value = value_of(reply.text, step.read, step.names)
        except UnreadableError as error:
            return str(error)
        parts = {"": value} if isinstance(value, str) else vars(value)
        names = {**self.names, step.name: value}
        for check in step.checks:
            for part, text in parts.items():
                reason = self._checked(check, part, text, names) if check.of in (None, part) else None
                if reason is not None:
                    return f"{part}: {reason}" if part else reason
        reason = no_leak("\n\n".join(parts.values()), self.reference, {}, self.known)
        if reason is None:
            self.names[step.name] = value
        return reason

    def _fault_of(self, one: Written, example: Example) -> str | None:
        """Why a finished example will not do; checks look at its completion, or `of` its prompt."""
        for check in one.checks:
            part = check.of or "completion"
            reason = self._checked(check, part, part_of(example, part), self.names)
            if reason is not None:
                return f"{part}: {reason}" if check.of else reason
        written = "\n\n".join(turn.content for turn in example.messages)
        return no_leak(written, self.reference, {}, self.known)

    def _checked(self, check: Check, part: str, text: str, names: dict[str, Any]) -> str | None:
        """The reason of one check; a query is compared with the query, all else with the response."""
        against = self.reference.query if part in ("query", "prompt") else self.reference.response
        if check.against is not None:
            against = filled(check.against, names)
        options = {**check.options, "against": against}
        return CHECKS[check.name].function(text, self.reference, options, self.known)

    def _wanted(self, step: Ask) -> Outcome | None:
        if step.keep_if is None or holds(step.keep_if, self.names):
            return None
        return LeftOut(step.name, step.otherwise or f"it is not so that {step.keep_if}", self.asked)

    def _no(self, name: str, tried: list[Tried]) -> Rejected:
        return Rejected(name, tried[-1].reason, tuple(tried), self.asked)


def _writable(text: str) -> str:
    """The text with a question mark for every half of a surrogate pair, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _names(reference: Reference, strategy: Strategy, known: Knowledge) -> dict[str, Any]:
    """What every template may use from the start; `agrees(a, b)` compares two answers to the query."""

    def agrees(answer: str, other: str) -> bool:
        return judge(answer, other, known.comparing(reference), reference.query).right

    return {
        **{name: reference.columns[name] for name in strategy.columns},
        "query": reference.query,
        "response": reference.response,
        "task": reference.task or "",
        "id": reference.id,
        "earlier": reference.earlier,
        "columns": Columns(reference.columns),
        "agrees": agrees,
    }
