"""How one reference becomes an example of every set that is planned.

Where one example of a reference cannot be had, the reference is left out of every set, or the control would
hold the hard ones that a strategy lacks; only a build keeps whatever was made. Pure: a generator of requests,
like `crafting.work`. Knows no files and no models.
"""

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, replace

from assay.asking.request import Failure, Reply, Request
from assay.crafting.checks import Knowledge
from assay.crafting.outcome import Crafted, Failed, LeftOut, Rejected, Tried
from assay.crafting.reference import Reference, of_sibling, reference_of
from assay.crafting.strategy import Strategy
from assay.crafting.work import craft
from assay.data.example import Example, Message
from assay.data.texts import folded, prompt_text
from assay.runs.crafting.layouts import CONTROL, QUERIES, SIBLING, Plan
from assay.runs.crafting.references import Taken, query_key


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
    if made.kind != "build" and not problems:
        sets = _beside(made, reference, sibling, sets)
        problems += _taken_queries(made, reference, sets, prompts)
    if made.kind != "build" and problems:
        sets = {}
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
        return None, [_asked_before(similar.name, SIBLING, sibling)]
    return sibling, []


def _taken_queries(
    made: Plan, reference: Reference, sets: Mapping[str, tuple[Example, ...]], prompts: Collection[str]
) -> list[Problem]:
    """Queries of a whole strategy that ask what another reference asks, which is trained on."""
    if made.kind != "whole":
        return []
    queries = [
        (one, reference_of(example))
        for one in made.sets
        if one.role in ("query", "undesired")
        for example in sets[one.file]
        if example.pair != reference.id
    ]
    return [
        _asked_before(one.strategy or "", one.file, asking)
        for one, asking in queries
        if query_key(asking) in prompts
    ]


def _asked_before(strategy: str, step: str, asking: Reference) -> Problem:
    reason = "it asks word for word what a reference asks"
    return Problem(strategy, Rejected(step, reason, (Tried(asking.query, reason),)))


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
