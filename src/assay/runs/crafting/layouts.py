"""Which sets a craft writes, and how one reference becomes an example of each.

| layout | probes from | control | queries |
|---|---|---|---|
| probes (the paper's) | the reference | the reference | its sibling |
| queries | the sibling | the sibling | the reference |
| given | the reference | the reference | the user's files |
| whole | as the strategy says | as it says | as it says |
| build | the reference | none | none |

A sibling is a plain example of the same task. Where one example of a reference cannot be had, the reference
is left out of every set, or the control would hold the hard ones that a strategy lacks; only a build keeps
whatever was made. Pure: a generator of requests, like `crafting.work`. Knows no files and no models.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from assay.crafting.checks import Knowledge
from assay.crafting.outcome import Crafted, Failed, LeftOut, Rejected
from assay.crafting.reference import Reference, of_sibling
from assay.crafting.request import Failure, Reply, Request
from assay.crafting.strategy import Role, Strategy
from assay.crafting.work import craft
from assay.data.example import Example, Message
from assay.data.texts import folded, prompt_text
from assay.errors import ConfigError
from assay.runs.crafting.config import CraftConfig
from assay.runs.crafting.references import Taken, query_key
from assay.studies.design import DESIGNS

Kind = Literal["probes", "queries", "given", "whole", "build"]

CONTROL, QUERIES, SIBLING = "plain", "queries", "sibling"
SIMILAR = "similar"
"""The shipped strategy that writes siblings."""


@dataclass(frozen=True, slots=True)
class PlannedSet:
    """A set that is written to `<file>.jsonl` and is `name` in the study.

    `strategy` writes its examples; None where they are rows as they are.
    """

    file: str
    name: str
    role: Role
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a craft does with every reference. `similar` writes siblings, None where rows are siblings or
    there are none. `rows_are_siblings` where another row of the task is one."""

    kind: Kind
    strategies: tuple[Strategy, ...]
    sets: tuple[PlannedSet, ...]
    similar: Strategy | None = None
    rows_are_siblings: bool = False
    design: str | None = None

    @property
    def asking(self) -> tuple[Strategy, ...]:
        """Every strategy that may ask a model."""
        return (*self.strategies, *((self.similar,) if self.similar else ()))


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a strategy made nothing of a reference."""

    strategy: str
    outcome: LeftOut | Rejected | Failed


@dataclass(frozen=True, slots=True)
class Result:
    """One reference's examples by file of their set, none where it is left out, and what stood against it."""

    reference: Reference
    sets: Mapping[str, tuple[Example, ...]]
    problems: tuple[Problem, ...] = ()


def plan(config: CraftConfig, strategies: Sequence[Strategy], similar: Strategy, *, models: bool) -> Plan:
    """What to do; `models` says whether any model can be asked. Raises ConfigError for what does not fit."""
    whole = [one for one in strategies if one.whole]
    if whole and not config.build:
        return _whole(config, strategies, whole[0])
    kind: Kind = "build" if config.build else "given" if config.queries else config.references_are
    written = [
        PlannedSet(one.name, one.study_name, one.role, strategy.name)
        for strategy in strategies
        for one in strategy.writes
        if one.role == "probe"
    ]
    design = None if kind == "build" else _design(strategies)
    siblings = kind in ("probes", "queries")
    rows = siblings and (config.siblings == "rows" or (config.siblings == "auto" and not models))
    by_model = similar.name if siblings and not rows else None
    if kind != "build":
        written.append(PlannedSet(CONTROL, CONTROL, "control", by_model if kind == "queries" else None))
    if siblings:
        called = DESIGNS[design].queries[0] if design else QUERIES
        written.append(PlannedSet(QUERIES, called, "query", by_model if kind == "probes" else None))
    else:
        design = None
    _require_apart(written)
    return Plan(
        kind,
        tuple(strategies),
        tuple(written),
        similar if siblings and not rows else None,
        rows,
        design,
    )


def work(
    taken: Taken, made: Plan, known: Knowledge, prompts: Collection[str]
) -> Generator[Request, Reply | Failure, Result]:
    """Yield requests until one reference is through, and return what became of it.

    `prompts` are digests of what nothing else may ask: all references' queries, or where the user gives
    queries, those.
    """
    reference = taken.reference
    if made.kind == "given" and query_key(reference) in prompts:
        known_query = LeftOut("reference", "it asks what one of your queries asks")
        return Result(reference, {}, (Problem("craft", known_query),))
    sets: dict[str, tuple[Example, ...]] = {}
    problems: list[Problem] = []
    sibling = taken.sibling if taken.sibling is None else _in_place_of(reference, taken.sibling)
    if made.kind == "queries" and made.similar is not None:
        sibling, problem = yield from _sibling(reference, made.similar, known, prompts)
        problems += problem
    written_from = sibling if made.kind == "queries" else reference
    if written_from is not None:
        for strategy in made.strategies:
            outcome = yield from craft(written_from, strategy, known)
            if isinstance(outcome, Crafted):
                sets |= outcome.sets
            else:
                problems.append(Problem(strategy.name, outcome))
                if made.kind != "build":
                    break
    if made.kind == "probes" and made.similar is not None and not problems:
        sibling, problem = yield from _sibling(reference, made.similar, known, prompts)
        problems += problem
    if made.kind != "build" and problems:
        sets = {}
    elif made.kind != "build":
        sets = _beside(made, reference, sibling, sets)
    wanted = {one.file for one in made.sets}
    sets = {name: examples for name, examples in sets.items() if name in wanted}
    return Result(reference, sets, tuple(problems))


def _sibling(
    reference: Reference,
    similar: Strategy,
    known: Knowledge,
    prompts: Collection[str],
) -> Generator[Request, Reply | Failure, tuple[Reference | None, list[Problem]]]:
    outcome = yield from craft(reference, similar, known)
    if not isinstance(outcome, Crafted):
        return None, [Problem(similar.name, outcome)]
    example = next(iter(outcome.sets.values()))[0]
    sibling = of_sibling(reference, example)
    if query_key(sibling) in prompts:
        asked = Rejected(SIBLING, "its sibling asks word for word what a reference asks")
        return None, [Problem(similar.name, asked)]
    return sibling, []


def _in_place_of(reference: Reference, sibling: Reference) -> Reference:
    """A row as the sibling of another, with its own columns."""
    return replace(sibling, id=reference.id, task=reference.task)


def _beside(
    made: Plan, reference: Reference, sibling: Reference | None, sets: Mapping[str, tuple[Example, ...]]
) -> dict[str, tuple[Example, ...]]:
    """The strategies' examples with control and queries, each with the pair of the question it is about."""
    if made.kind == "whole":
        trained = [one.file for one in made.sets if one.role in ("probe", "control")]
        asked = {folded(prompt_text(example)) for name in trained for example in sets[name]}
        asked.add(folded(reference.query))
        return {
            one.file: sets[one.file]
            if one.file in trained
            else tuple(_as_query(example, reference, asked) for example in sets[one.file])
            for one in made.sets
        }
    ours, theirs = reference.id, f"{reference.id}-{SIBLING}"
    if made.kind == "given":
        return {**sets, CONTROL: (plain(reference, CONTROL, ours),)}
    assert sibling is not None
    if made.kind == "probes":
        return {
            **sets,
            CONTROL: (plain(reference, CONTROL, ours),),
            QUERIES: (plain(sibling, QUERIES, theirs),),
        }
    paired = {name: tuple(replace(one, pair=theirs) for one in made_of) for name, made_of in sets.items()}
    return {
        **paired,
        CONTROL: (plain(sibling, CONTROL, theirs),),
        QUERIES: (plain(reference, QUERIES, ours),),
    }


def plain(reference: Reference, name: str, pair: str) -> Example:
    """The reference as an example of the set `name`."""
    turns = (*reference.before, Message("user", reference.query), Message("assistant", reference.response))
    return Example(
        id=f"{reference.id}-{name}",
        messages=turns,
        source=reference.source,
        task=reference.task,
        pair=pair,
        rendering=reference.rendering,
        tools=reference.tools,
        template_kwargs=reference.template_kwargs,
    )


def _as_query(example: Example, reference: Reference, asked: Collection[str]) -> Example:
    """A query with its reference's pair only where it asks what is `asked` of the reference itself: a study
    leaves pairs of one question out, and a sibling is another question."""
    own = folded(prompt_text(example)) in asked
    return example if own else replace(example, pair=f"{reference.id}-{SIBLING}")


def _whole(config: CraftConfig, strategies: Sequence[Strategy], whole: Strategy) -> Plan:
    if len(strategies) > 1:
        raise ConfigError(
            f"The strategy {whole.name} writes its own control and queries, so it stands alone; craft the "
            "others into another folder."
        )
    if config.queries:
        raise ConfigError(f"The strategy {whole.name} writes its own queries; leave out --queries.")
    if config.references_are == "queries":
        raise ConfigError(
            f"The strategy {whole.name} says itself what is a query; leave out --references-are."
        )
    written = [PlannedSet(one.name, one.study_name, one.role, whole.name) for one in whole.writes]
    for role, what in (("probe", "probe set"), ("query", "query set")):
        if not any(one.role == role or (role, one.role) == ("query", "undesired") for one in written):
            raise ConfigError(f"The strategy {whole.name} writes no {what}, so there is nothing to study.")
    return Plan("whole", (whole,), tuple(written), design=whole.design)


def _design(strategies: Sequence[Strategy]) -> str | None:
    """The one design that the strategies name, where control and a single query set fit it."""
    named = {strategy.design for strategy in strategies if strategy.design}
    if len(named) != 1:
        return None
    design = DESIGNS.get(named.pop())
    written = {one.study_name for strategy in strategies for one in strategy.writes}
    fits = (
        design is not None
        and design.control == CONTROL
        and len(design.queries) == 1
        and written >= set(design.strategies)
    )
    return design.name if design is not None and fits else None


def _require_apart(written: Sequence[PlannedSet]) -> None:
    """Raise ConfigError where two sets have one name."""
    seen: dict[str, PlannedSet] = {}
    for one in written:
        other = seen.setdefault(one.file, one)
        if other is not one:
            whose = f"{one.strategy or 'every craft'} and {other.strategy or 'every craft'}"
            raise ConfigError(f"Two sets are called {one.file} (of {whose}); name one of them otherwise.")
