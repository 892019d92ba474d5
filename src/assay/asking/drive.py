"""Many generators that ask, a few models that answer, and a cache between them.

A bounded window of jobs is open at a time, so memory does not grow with their number. What is in the cache
is asked of nobody, what two jobs ask at once is asked once, and every reply is in the cache before a job sees
it. Knows no strategy, no server and no weights.
"""

import heapq
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from assay.asking.cache import Cache, address
from assay.asking.model import Model
from assay.asking.request import By, Failure, Reply, Request
from assay.asking.spent import Spent
from assay.errors import ConfigError

T = TypeVar("T")
Job = Generator[Request, Reply | Failure, T]

OPEN = 4
"""Jobs open for each request that the models have room for, so that a slow one holds up none of them."""
GONE = 5
"""Failures in a row after which a model that never answered is taken for gone."""
GONE_LATER = 25
"""The same for one that has answered before, or refuses the requests themselves. At least twice what it has
room for, so that a server may start again beneath all that is under way."""
BETWEEN_LOOKS = 0.01
"""Seconds, where several models work at once."""


def drive(
    jobs: Iterable[Job[T]],
    models: Mapping[By, Model],
    cache: Cache,
    *,
    spent: dict[str, Spent] | None = None,
) -> Iterator[T]:
    """What each job returns, in the order of `jobs`.

    A job yields requests one at a time and is sent what came of each: a reply (from the cache, or asked for
    now), or a Failure, which is not kept. `spent` is filled while this runs: counts by the model's name.
    Models are not closed. Raises ConfigError for a request to whom no model is named for, for two models of
    one name, and for a model that is plainly gone; what a model's `start` and `finished` raise goes on.
    Replies that were heard by then are in the cache.
    """
    driving: _Driving[T] = _Driving(models, cache, {} if spent is None else spent)
    source, at_end = iter(jobs), False
    try:
        while True:
            yield from driving.ended()
            if not at_end and len(driving.line) < driving.window:
                job = next(source, None)
                at_end = job is None
                if job is not None:
                    driving.enter(job)
            elif driving.line:
                driving.hear()
            else:
                return
    finally:
        for live in driving.line.values():
            live.job.close()


@dataclass(slots=True, eq=False)
class _Live(Generic[T]):
    """A job that was begun. `outcome` holds what it returned, once it did."""

    number: int
    job: Job[T]
    outcome: list[T] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Asking:
    """A model and what is asked of it; `queue` has what is not yet started, earlier jobs first."""

    model: Model
    spent: Spent
    queue: list[tuple[int, str, Request]] = field(default_factory=list)
    under_way: int = 0
    answered: bool = False
    in_a_row: int = 0

    def start(self) -> None:
        while self.queue and self.under_way < self.model.room:
            self.model.start(self.queue[0][2])
            heapq.heappop(self.queue)
            self.under_way += 1

    def finished(self) -> list[tuple[Request, Reply | Failure]]:
        found = self.model.finished()
        self.under_way -= len(found)
        self.spent.retries = self.model.retries
        for _, answer in found:
            self.spent.ended(answer)
        return found

    def note(self, answer: Reply | Failure) -> None:
        """Raise ConfigError where so many failures in a row say that no more can be hoped for.

        What a model refuses that has answered others is the request's own fault.
        """
        if isinstance(answer, Reply):
            self.answered, self.in_a_row = True, 0
            return
        if answer.refused and self.answered:
            return
        self.in_a_row += 1
        soon = not (self.answered or answer.refused)
        if self.in_a_row >= (GONE if soon else max(GONE_LATER, 2 * self.model.room)):
            raise ConfigError(
                f"{self.model.name} gave no reply to {self.in_a_row} requests in a row, to the last because "
                f"{answer.reason}; mend that and run the same again: what was answered so far is kept."
            )


class _Driving(Generic[T]):
    """The window of jobs in `line`, by number, and who waits for what."""

    def __init__(self, models: Mapping[By, Model], cache: Cache, spent: dict[str, Spent]) -> None:
        self.line: dict[int, _Live[T]] = {}
        self._cache = cache
        self._entered = 0
        self._waiting: dict[str, list[_Live[T]]] = {}
        self._asking: dict[str, _Asking] = {}
        self._by: dict[By, _Asking] = {}
        for by, model in models.items():
            asking = self._asking.get(model.name)
            if asking is None:
                asking = _Asking(model, spent.setdefault(model.name, Spent()))
                self._asking[model.name] = asking
            elif asking.model is not model:
                raise ConfigError(
                    f"Two models are named {model.name!r}, and replies are kept by name; rename one."
                )
            self._by[by] = asking
        self.window = OPEN * sum(asking.model.room for asking in self._asking.values()) or 1

    def enter(self, job: Job[T]) -> None:
        """Begin a job, the last in line."""
        live = _Live(self._entered, job)
        self.line[self._entered] = live
        self._entered += 1
        self._go_on(live, None)
        for asking in self._asking.values():
            asking.start()

    def ended(self) -> Iterator[T]:
        """What the first in line have returned; they leave."""
        while self.line and (first := next(iter(self.line.values()))).outcome:
            del self.line[first.number]
            yield first.outcome[0]

    def hear(self) -> None:
        """Wait for answers, keep them all, then let those go on who waited for them."""
        for asking in self._worthwhile():
            name = asking.model.name
            for request, answer in self._kept(name, asking.finished()):
                asking.note(answer)
                for place, live in enumerate(self._waiting.pop(address(name, request))):
                    if isinstance(answer, Reply):
                        asking.spent.given(answer, again=place > 0)
                    self._go_on(live, answer)
        for asking in self._asking.values():
            asking.start()

    def _kept(
        self, name: str, found: list[tuple[Request, Reply | Failure]]
    ) -> list[tuple[Request, Reply | Failure]]:
        """What came, failures first; replies as they stand in the cache from now on."""
        replies = [(request, answer) for request, answer in found if isinstance(answer, Reply)]
        stand = self._cache.put_all(name, replies)
        failures = [(request, answer) for request, answer in found if isinstance(answer, Failure)]
        return [*failures, *((request, reply) for (request, _), reply in zip(replies, stand, strict=True))]

    def _worthwhile(self) -> list[_Asking]:
        """Models to hear now: those that are ready, or the only one that is at work."""
        while True:
            busy = [asking for asking in self._asking.values() if asking.under_way]
            ready = busy if len(busy) == 1 else [asking for asking in busy if asking.model.ready]
            if ready:
                return ready
            time.sleep(BETWEEN_LOOKS)

    def _go_on(self, live: _Live[T], answer: Reply | Failure | None) -> None:
        """Send a job what it waited for, and what the cache answers, until it must wait or has returned."""
        while True:
            try:
                request = next(live.job) if answer is None else live.job.send(answer)
            except StopIteration as end:
                live.outcome.append(end.value)
                return
            if request.by not in self._by:
                raise ConfigError(f"There is a request to the {request.by}, and no model is named for it.")
            asking = self._by[request.by]
            name = address(asking.model.name, request)
            if name in self._waiting:
                self._waiting[name].append(live)
                return
            answer = self._cache.get(asking.model.name, request)
            if answer is None:
                self._waiting[name] = [live]
                heapq.heappush(asking.queue, (live.number, name, request))
                return
            asking.spent.given(answer, again=True)
