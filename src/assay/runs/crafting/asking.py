"""The models of a craft, opened where they are needed, and its work carried through with them.

Nothing is opened, and no cache made, where the rows hold everything. Knows no strategy.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from assay.asking.cache import Cache
from assay.asking.drive import drive
from assay.asking.model import Model
from assay.asking.request import By, Failure, Reply, Request
from assay.asking.spent import Price, Spent
from assay.data.render import Render
from assay.runs.crafting.config import CraftConfig, Place, places
from assay.runs.crafting.needs import Needs
from assay.runs.crafting.working import Result

Job = Generator[Request, Reply | Failure, Result]


class Answers:
    """Results in the order of their references, and what asking has taken so far, by the model's name."""

    def __init__(self, results: Iterator[Result], spent: Mapping[str, Spent]) -> None:
        self._results, self._spent = results, spent

    def __iter__(self) -> Iterator[Result]:
        return self._results

    @property
    def spent(self) -> Spent:
        return Spent.total(self._spent.values())


@contextmanager
def answered(
    jobs: Iterable[Job], config: CraftConfig, needs: Needs, kept: Path, *, render: Render = "auto"
) -> Iterator[Answers]:
    """Results of the jobs, asked of the models that they need; replies are kept at `kept`.

    `render` is how a student that is loaded here was taught: "plain" where the references are two strings
    without a chat template. Raises as opening a model and `asking.drive` do. A cache in which nothing came
    to be kept is taken away again.
    """
    roles = {one.step.by for one in needs.asking.values()}
    if not roles or config.from_columns is not None:
        yield Answers(map(alone, jobs), {})
        return
    chosen = {by: place for by, place in places(config).items() if by in roles}
    new = not kept.exists()
    with ExitStack() as open_things:
        models: dict[tuple[Place, Render], Model] = {}
        keys: dict[By, tuple[Place, Render]] = {
            by: (place, render if by == "student" and place.endpoint is None else "auto")
            for by, place in chosen.items()
        }
        for place, how in keys.values():
            if (place, how) not in models:
                models[place, how] = open_things.enter_context(closing(opened(place, config, how)))
        cache = Cache(kept)
        open_things.callback(_close, cache, kept, new)
        spent: dict[str, Spent] = {}
        driven: Any = drive(jobs, {by: models[key] for by, key in keys.items()}, cache, spent=spent)
        open_things.callback(driven.close)
        yield Answers(driven, spent)


class Manner(Protocol):
    """How an endpoint is asked: requests under way at once, seconds for a try, further tries."""

    @property
    def concurrency(self) -> int: ...

    @property
    def timeout(self) -> float: ...

    @property
    def max_retries(self) -> int: ...


def opened(place: Place, config: Manner, render: Render = "auto") -> Model:
    """The model at a place. Raises ConfigError or ModelError where it cannot be asked."""
    if place.endpoint is None:
        from assay.asking.local import Local

        return Local.open(place.name, render=render)
    from assay.asking.endpoint import Endpoint

    return Endpoint(
        place.endpoint,
        place.name,
        key_env=place.key_env,
        concurrency=config.concurrency,
        timeout=config.timeout,
        max_retries=config.max_retries,
    )


def _close(cache: Cache, kept: Path, new: bool) -> None:
    empty = not len(cache)
    cache.close()
    if new and empty:
        kept.unlink(missing_ok=True)


def alone(job: Job) -> Result:
    """A job that has everything it needs in its rows."""
    try:
        next(job)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("a row that needs a model is set aside before")


def price_of(config: CraftConfig) -> Price | None:
    return None if config.price is None else Price(config.price.prompt, config.price.completion)
