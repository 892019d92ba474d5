"""Strategies from YAML files: the grammar, and every mistake by its line."""

from dataclasses import dataclass
from pathlib import Path

from assay.crafting.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in a strategy's file; `line` counts from 1."""

    line: int
    sentence: str


def shipped() -> tuple[str, ...]:
    """Names of the strategies that come with assay, sorted."""
    raise NotImplementedError


def read_strategy(name_or_path: str | Path) -> Strategy:
    """A shipped strategy by its name, or a file of your own; raises ConfigError with the first mistake."""
    raise NotImplementedError


def mistakes(path: str | Path) -> list[Mistake]:
    """Everything that is wrong in a file, by line; empty where `read_strategy` reads it."""
    raise NotImplementedError
