"""Which sets a craft writes.

| layout | probes from | control | queries |
|---|---|---|---|
| probes (the paper's) | the reference | the reference | its sibling |
| queries | the sibling | the sibling | the reference |
| given | the reference | the reference | the user's files |
| whole | as the strategy says | as it says | as it says |
| build | the reference | none | none |

A sibling is a plain example of the same task. Knows no files and no models, and not how an example is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assay.crafting.strategy import Role, Strategy
from assay.errors import ConfigError
from assay.runs.crafting.config import CraftConfig
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
