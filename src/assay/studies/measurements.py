"""What a study measured: products of gradients and losses, before any statistics. Knows no models.

Everything the study says is computed from this alone, so every number can be recomputed from the files
that `assay.runs.tables` writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Direction = Literal["desired", "undesired"]


@dataclass(frozen=True, slots=True, eq=False)
class ExampleSet:
    """The examples of one probe set or query set, as parallel arrays.

    `tasks[i]` is None without a label; `pairs[i]` names the reference the example was made from, or None.
    `tokens[i]` counts its completion tokens. `texts[i]` is (prompt, completion) for reading in the report.
    `direction` matters for query sets: on an undesired set a lower loss is harm.
    """

    name: str
    ids: tuple[str, ...]
    tasks: tuple[str | None, ...]
    pairs: tuple[str | None, ...]
    tokens: Int[np.ndarray, "n"]
    texts: tuple[tuple[str, str], ...]
    direction: Direction = "desired"

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointMeasurements:
    """Products and losses at one checkpoint θ_t; gradients and losses are summed over completion tokens.

    `dot[p, q]` is ⟨g_z, g_q⟩ for probe set p and query set q, float64, shape (n_p, n_q).
    `probe_gram[p]`, `query_gram[q]`: products within a set, (n, n). Where a set is over 2,000 examples they
    are products of task means instead and `gram_of_task_means` is True, tasks in sorted order.
    """

    name: str
    step: int | None
    epoch: float | None
    learning_rate: float | None
    dot: Mapping[tuple[str, str], Float[np.ndarray, "p q"]]
    probe_sqnorm: Mapping[str, Float[np.ndarray, "n"]]
    query_sqnorm: Mapping[str, Float[np.ndarray, "n"]]
    probe_loss: Mapping[str, Float[np.ndarray, "n"]]
    query_loss: Mapping[str, Float[np.ndarray, "n"]]
    probe_gram: Mapping[str, Float[np.ndarray, "n n"]]
    query_gram: Mapping[str, Float[np.ndarray, "n n"]]
    gram_of_task_means: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """All checkpoints of one study, by rising step.

    `excluded[p, q]` marks the probe-query pairs that say nothing because the query is the probe's own
    reference or equal in content; bool, shape (n_p, n_q). `control` names a probe set, or None.
    """

    probe_sets: Mapping[str, ExampleSet]
    query_sets: Mapping[str, ExampleSet]
    control: str | None
    checkpoints: tuple[CheckpointMeasurements, ...]
    excluded: Mapping[tuple[str, str], Bool[np.ndarray, "p q"]]
