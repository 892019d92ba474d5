"""Which models a craft will ask, found out before any is: a step asks unless every row has its columns.

Knows no clients.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from assay.asking.request import By
from assay.crafting.reference import Reference
from assay.crafting.strategy import Ask, Strategy
from assay.errors import ConfigError
from assay.runs.crafting.config import CraftConfig
from assay.runs.crafting.layouts import Plan
from assay.runs.crafting.references import Taken

HOW = {
    "writer": "--endpoint URL --model NAME, or --local MODEL",
    "student": "--student CHECKPOINT (the model under study), or --student-endpoint URL --student-model NAME",
    "judge": "--judge-endpoint URL --judge-model NAME",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """A step that asks a model, and the first reference (or its sibling) that it must ask for."""

    strategy: str
    step: Ask
    first: Reference

    @property
    def missing(self) -> str | None:
        """The column that would have spared the question, None where no column can."""
        if self.step.given is None:
            return None
        return next((name for name in self.step.given.columns if name not in self.first.columns), None)


@dataclass(slots=True)
class Needs:
    """Told of every reference, knows which steps ask. `calls` counts requests, one attempt each."""

    plan: Plan
    asking: dict[tuple[str, str], Asking] = field(default_factory=dict)
    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: int = 0

    def see(self, taken: Taken) -> None:
        self.seen += 1
        for one in asked_of(self.plan, taken):
            key = one.strategy, one.step.name
            self.asking.setdefault(key, one)
            self.calls[key] = self.calls.get(key, 0) + 1

    def require(self, config: CraftConfig, roles: Iterable[By]) -> None:
        """Raise ConfigError for the first step that asks a model which is not there."""
        known = set(roles)
        for one in self.asking.values():
            if one.step.by in known or self._set_aside(config, one):
                continue
            step = f"The strategy {one.strategy} asks the {one.step.by} for {one.step.name!r}"
            row = f"; {one.first.source} has no column {one.missing!r}" if one.missing else ""
            if config.from_columns is not None:
                raise ConfigError(
                    f"{step}{row}, and with --from-columns no model is asked; name the column there "
                    f"({one.missing}=COLUMN), or give rows and models instead."
                    if one.missing
                    else f"{step}, which no column can give; leave out --from-columns and give "
                    f"{HOW[one.step.by]}."
                )
            raise ConfigError(f"{step}{row}; give {HOW[one.step.by]}.")

    def _set_aside(self, config: CraftConfig, one: Asking) -> bool:
        """Whether some rows alone lack the column, and such rows may be set aside."""
        few = self.calls[one.strategy, one.step.name] < self.seen
        return config.from_columns is not None and config.on_bad_rows == "skip" and few


def asked_of(plan: Plan, taken: Taken) -> list[Asking]:
    """The steps that ask a model for one reference."""
    return [
        Asking(strategy.name, step, about or taken.reference)
        for strategy, about in written_from(plan, taken)
        for step in strategy.asks
        if not is_given(step, about)
    ]


def written_from(plan: Plan, taken: Taken) -> list[tuple[Strategy, Reference | None]]:
    """Each strategy with what it starts from; None for a sibling that a model is yet to write."""
    rows: list[tuple[Strategy, Reference | None]] = []
    if plan.similar is not None:
        rows.append((plan.similar, taken.reference))
    start = taken.reference if plan.kind != "queries" else taken.sibling
    return [*rows, *((strategy, start) for strategy in plan.strategies)]


def is_given(step: Ask, about: Reference | None) -> bool:
    """Whether a row has all that makes a model's answer needless."""
    return (
        step.given is not None
        and about is not None
        and all(about.columns.get(name) for name in step.given.columns)
    )
