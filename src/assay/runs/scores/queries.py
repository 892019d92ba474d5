"""The queries of a scoring: every set's examples as tokens, side by side. Knows a tokenizer, but no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from assay.data.example import Example, Reject, Tokens
from assay.data.labels import with_tasks
from assay.data.texts import content_key
from assay.errors import DataError
from assay.fingerprint import digest
from assay.runs.inputs import Part, part_digest_fields, read_file, tokenise
from assay.runs.scores.config import ScoreConfig


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Examples of all query sets, q of them, sets one after another; parallel tuples."""

    sets: tuple[str, ...]
    ids: tuple[str, ...]
    tasks: tuple[str | None, ...]
    examples: tuple[Example, ...]
    tokens: tuple[Tokens, ...]
    rejects: tuple[Reject, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int[np.ndarray, "q"]:
        """Completion tokens of each."""
        return np.array([tokens.completion_tokens for tokens in self.tokens], dtype=np.int64)

    def columns(self) -> list["Column"]:
        """The aggregates of the sets: each set as a whole, then each of its tasks."""
        found = []
        for name in dict.fromkeys(self.sets):
            mine = [i for i, one in enumerate(self.sets) if one == name]
            found.append(Column(name, None, np.array(mine)))
            tasks = sorted({task for i in mine if (task := self.tasks[i]) is not None})
            found += [
                Column(name, task, np.array([i for i in mine if self.tasks[i] == task])) for task in tasks
            ]
        return found

    def digest(self) -> str:
        parts = [f.encode() for f in self.sets] + part_digest_fields(Part(self.examples, self.tokens))
        return digest(*parts)

    def contents(self) -> dict[str, str]:
        """The id of a query by what it says."""
        return {content_key(example): example.id for example in self.examples}


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A set of queries, or those of one of its tasks, whose scores are put together; `at` are positions."""

    query_set: str
    task: str | None
    at: Int[np.ndarray, "m"]


def read_query_sets(config: ScoreConfig) -> tuple[dict[str, list[Example]], list[Reject], list[str]]:
    """Examples by set name, rejects and notes of the query files."""
    sets: dict[str, list[Example]] = {}
    rejects: list[Reject] = []
    notes: list[str] = []
    for name, entry in config.queries.items():
        found = read_file(entry, config)
        sets[name] = list(with_tasks(found.examples, config.tasks) if config.tasks else found.examples)
        rejects += found.rejects
        notes += found.notes
    return sets, rejects, notes


def tokenise_queries(
    sets: Mapping[str, Sequence[Example]], tokenizer: Any, config: ScoreConfig, longest: int | None
) -> Queries:
    """All sets as tokens. Raises DataError for a set of which nothing can be used."""
    names: list[str] = []
    examples: list[Example] = []
    tokens: list[Tokens] = []
    rejects: list[Reject] = []
    notes: list[str] = []
    for name, members in sets.items():
        found = tokenise(members, tokenizer, config, loss_on=config.query_loss_on, longest=longest)
        if not found.tokens:
            first = found.rejects[0]
            raise DataError(f"{name}: no example can be used; {first.source}: {first.reason}")
        kept = {one.id for one in found.tokens}
        rejects += found.rejects
        notes += [f"{name}: {note}" for note in found.notes]
        examples += [example for example in members if example.id in kept]
        tokens += found.tokens
        names += [name] * len(found.tokens)
    return Queries(
        tuple(names),
        tuple(example.id for example in examples),
        tuple(example.task for example in examples),
        tuple(examples),
        tuple(tokens),
        tuple(rejects),
        tuple(notes),
    )
