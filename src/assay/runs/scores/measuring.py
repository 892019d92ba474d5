"""A scoring under way: what has been read of it, and its measures with the marks of what they depend on.

Measures nothing itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assay.fingerprint import fingerprint
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.progress import Progress
from assay.runs.lookahead.optimizer import optimizer_digest
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.joined import JoinedPool
from assay.runs.scores.models_named import NAMING_MODELS, model_digest
from assay.runs.scores.needs import (
    BY_GRADIENTS,
    CURVATURES,
    IN_CONTEXT,
    MOMENTS,
    ON_ANCHORS,
    meets_queries,
    options_in_context,
)
from assay.runs.scores.pool_index import PoolIndex
from assay.runs.scores.projecting import Choice, choice_of
from assay.runs.scores.queries import Queries
from assay.runs.scores.store import QUERIES, Store

Missing = Mapping[int, tuple[str, ...]]
"""By the number of a shard, the measures that it lacks."""


@dataclass(frozen=True, slots=True, eq=False)
class Measuring:
    """A scoring whose data and model have been read without error; `say` tells a person a sentence.

    `settings` are what every measure depends on, `joined` are the candidates as demonstrations where some
    measure needs them. `marks` are the fingerprints that were needed so far.
    """

    config: ScoreConfig
    session: Session
    pool: PoolIndex
    queries: Queries
    out: Path
    settings: Mapping[str, Any]
    progress: Progress
    say: Callable[..., None]
    joined: JoinedPool | None = None
    marks: dict[tuple[Checkpoint, str], str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.out / "measures")

    @property
    def choice(self) -> Choice | None:
        """Whether gradients of queries are projected; None where that has not been decided yet."""
        return choice_of(self.config, self.store.folder)

    def holds(self, measure: str) -> bool:
        """Whether a measure depends on how gradients of queries are held."""
        return len(self.queries) > 0 and meets_queries(measure)

    def of_shard(self, checkpoint: Checkpoint, measure: str, shard: int) -> dict[str, np.ndarray]:
        """What was measured of a shard; it must be there."""
        return self._read(checkpoint, measure, shard)

    def of_queries(self, checkpoint: Checkpoint, measure: str) -> dict[str, np.ndarray]:
        """What was measured of the queries: losses and squared norms under measures by gradients, their
        perplexities where candidates stand before them, nothing under others."""
        if measure == ON_ANCHORS:
            return self._read(checkpoint, measure, QUERIES)
        return self._read(checkpoint, "gradient", QUERIES) if measure in BY_GRADIENTS else {}

    def missing(self, checkpoint: Checkpoint, measures: Sequence[str]) -> dict[int, tuple[str, ...]]:
        """The measures that each shard lacks, where it lacks any: all shards, as long as it is not decided
        how the measure is made."""
        undecided = self.choice is None
        found = {}
        for shard in range(len(self.pool.shards)):
            lacking = tuple(
                name
                for name in measures
                if (undecided and self.holds(name)) or not self.has(checkpoint, name, shard)
            )
            if lacking:
                found[shard] = lacking
        return found

    def tokens_of(self, missing: Missing) -> int:
        """All tokens of the shards that lack something."""
        return sum(self.pool.shards[shard].tokens for shard in missing)

    def has(self, checkpoint: Checkpoint, measure: str, shard: int | str) -> bool:
        """Whether a measure is there. Raises ResumeError for one that depends on something else."""
        return self.store.has(checkpoint.name, measure, shard, self.mark(checkpoint, measure))

    def write(self, checkpoint: Checkpoint, measure: str, shard: int | str, **arrays: np.ndarray) -> None:
        self.store.write(checkpoint.name, measure, shard, self.mark(checkpoint, measure), arrays)

    def mark(self, checkpoint: Checkpoint, measure: str) -> str:
        """Fingerprint of everything a measure depends on. It must be decided how it is made."""
        key = checkpoint, measure
        if key not in self.marks:
            self.marks[key] = fingerprint(
                {
                    **self.settings,
                    "weights": self.session.weights_digest(checkpoint),
                    "pool": self.pool.digest(),
                    "measure": measure,
                    "optimizer": optimizer_digest(checkpoint) if measure in MOMENTS else None,
                    **self._options(measure),
                }
            )
        return self.marks[key]

    def _options(self, measure: str) -> dict[str, Any]:
        """Of the options that not every measure depends on, those that this one does."""
        options: dict[str, Any] = {}
        if measure.removesuffix("_self") in CURVATURES:
            options |= {"damping": self.config.damping, "factor_examples": self.config.factor_examples}
        if self.holds(measure):
            choice = self.choice
            assert choice is not None, "it is not decided yet whether gradients are projected"
            options["projection"] = choice.projection and asdict(choice.projection)
        for name in options_in_context([measure]):
            options[name] = getattr(self.config, name)
            if name in NAMING_MODELS:
                options[f"{name} digest"] = model_digest(options[name])
        if measure in IN_CONTEXT:
            options["files"] = self.pool.fingerprint
        return options

    def _read(self, checkpoint: Checkpoint, measure: str, shard: int | str) -> dict[str, np.ndarray]:
        found = self.store.read(checkpoint.name, measure, shard, self.mark(checkpoint, measure))
        assert found is not None, f"{checkpoint.name}, {measure}, {shard} was not measured"
        return found


def lacking(missing: Missing, kinds: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """What is missing of these kinds."""
    mine = {shard: tuple(name for name in names if name in kinds) for shard, names in missing.items()}
    return {shard: names for shard, names in mine.items() if names}
