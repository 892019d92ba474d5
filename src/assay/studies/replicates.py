"""Replicates every estimator of a study: tasks left out where there are five or more, else examples redrawn.

Turns `Measurements` into `Draws` for any estimator, probe set, query set and set of task pairs. Knows no
verdicts.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import NumericsError
from assay.studies.cells import Slice
from assay.studies.contributions import Contributions
from assay.studies.estimators import ESTIMATORS, Estimator
from assay.studies.gram import mean_sqnorms
from assay.studies.intervals import Draws, Kind
from assay.studies.layout import CONTEXTS, Layout, survives_every_deletion, touched
from assay.studies.measurements import CheckpointMeasurements, Measurements
from assay.studies.resampling import bootstrap_weights, references, units_per_task
from assay.studies.result import Context

FEWEST_TASKS = 5
DRAWS_FOR_A_VARIANCE = 200  # gives a variance within about a tenth, which is all that a forecast needs
Mask = Bool[np.ndarray, "k k"]
Vary = Literal["nothing", "both", "probes", "queries"]


class Replicates:
    """All that is computed from the cells of a study, each thing once.

    `estimators` that need products within sets are left out where those were not measured. `resamples` is the
    number of bootstrap draws where there are fewer than five tasks; `seed` makes them the same every time.
    """

    def __init__(
        self,
        measured: Measurements,
        layout: Layout,
        *,
        estimators: Sequence[Estimator] = tuple(ESTIMATORS.values()),
        resamples: int = 1000,
        seed: int = 0,
    ) -> None:
        self.measured = measured
        self.layout = layout
        self.estimators = tuple(e for e in estimators if not e.needs_gram or _has_gram(measured))
        self._resamples = resamples
        self._seed = seed
        self._plain: dict[tuple[str, str], list[dict[str, Contributions]]] = {}
        self._bootstrapped: dict[tuple[str, str, str, bytes], Float[np.ndarray, "c b"]] = {}
        self._within: dict[tuple[str, str, str, bytes, str], Float[np.ndarray, "c b"]] = {}
        self._known_filled: dict[tuple[str, str], Mask] = {}
        self._weights: dict[str, dict[str, Float[np.ndarray, "b n"]]] = {}
        k = len(layout.tasks)
        probes, queries = measured.probe_sets, measured.query_sets
        named = references(probes.values()), references(queries.values())
        self._probe_units = {
            name: units_per_task(each, named[0], layout.probe_tasks[name], k) for name, each in probes.items()
        }
        self._query_units = {
            name: units_per_task(each, named[1], layout.query_tasks[name], k)
            for name, each in queries.items()
        }

    def mask(self, context: Context, probe_sets: Sequence[str], query_sets: Sequence[str]) -> Mask:
        """The task pairs of a context that every one of these sets can fill: what makes a contrast paired."""
        mask = self.layout.context(context)
        for probe_set in probe_sets:
            for query_set in query_sets:
                mask = mask & self._filled(probe_set, query_set)
        return mask

    def draws(self, estimator: str, probe_set: str, query_set: str, mask: Mask) -> Draws:
        """The estimate over `mask` at every checkpoint, with its replicates."""
        contributions = [at[estimator] for at in self._contributions(probe_set, query_set)]
        values = np.array([each.over(mask)[0] for each in contributions])
        if not np.all(np.isfinite(values)):
            at = self.measured.checkpoints[int(np.argmin(np.isfinite(values)))].name
            raise NumericsError(
                f"At {at} no query of {query_set} that {probe_set} can be held against has a gradient; leave "
                "that checkpoint out."
            )
        tasks = touched(mask)
        kind = self._kind(probe_set, query_set, mask)
        if kind == "jackknife":
            left = [each.left_out(mask, tasks) for each in contributions]
            return Draws(values, np.stack([e.values for e in left]), kind, len(tasks), left[0].leaving)
        if kind == "bootstrap":
            draws = self._bootstrap(estimator, probe_set, query_set, mask)
            return Draws(values, draws, kind, len(tasks))
        return Draws(values, np.zeros((len(values), 0)), kind, len(tasks))

    def tables(self, estimator: str, probe_set: str, query_set: str) -> Float[np.ndarray, "c k k"]:
        """Every task pair's own estimate at every checkpoint; NaN where a pair is empty."""
        return np.stack([at[estimator].table() for at in self._contributions(probe_set, query_set)])

    def within(
        self, estimator: str, probe_set: str, query_set: str, mask: Mask, vary: Literal["probes", "queries"]
    ) -> Float[np.ndarray, "c b"]:
        """The estimate at every checkpoint with only probes, or only queries, redrawn within tasks."""
        key = (estimator, probe_set, query_set, mask.tobytes(), vary)
        if key not in self._within:
            row = (ESTIMATORS[estimator],)
            self._within[key] = self._evaluate(row, probe_set, query_set, [mask], vary)[estimator, 0]
        return self._within[key]

    def can_redraw(self, probe_set: str, query_set: str, mask: Mask) -> bool:
        """Whether every task of the mask has two probes and two queries to learn their variation from."""
        probes = self._probe_units[probe_set][mask.any(axis=1)]
        queries = self._query_units[query_set][mask.any(axis=0)]
        return bool(np.all(probes >= 2) and np.all(queries >= 2))

    def _filled(self, probe_set: str, query_set: str) -> Mask:
        key = (probe_set, query_set)
        if key not in self._known_filled:
            self._known_filled[key] = self.layout.filled(self.measured, probe_set, query_set)
        return self._known_filled[key]

    def _kind(self, probe_set: str, query_set: str, mask: Mask) -> Kind:
        if len(touched(mask)) >= FEWEST_TASKS and survives_every_deletion(mask):
            return "jackknife"
        return "bootstrap" if self.can_redraw(probe_set, query_set, mask) else "none"

    def _contributions(self, probe_set: str, query_set: str) -> list[dict[str, Contributions]]:
        key = (probe_set, query_set)
        if key not in self._plain:
            slices = self._slices(probe_set, query_set, "nothing", self.estimators)
            self._plain[key] = [{e.name: e.compute(s) for e in self.estimators} for s in slices]
        return self._plain[key]

    def _bootstrap(
        self, estimator: str, probe_set: str, query_set: str, mask: Mask
    ) -> Float[np.ndarray, "c b"]:
        """Draws of all estimators and contexts are made together: the weighting costs more than the rest."""
        key = (estimator, probe_set, query_set, mask.tobytes())
        if key not in self._bootstrapped:
            own = (self.mask(context, [probe_set], [query_set]) for context in CONTEXTS)
            masks = list({each.tobytes(): each for each in (mask, *own)}.values())
            made = self._evaluate(self.estimators, probe_set, query_set, masks, "both")
            for (name, index), draws in made.items():
                self._bootstrapped[name, probe_set, query_set, masks[index].tobytes()] = draws
        return self._bootstrapped[key]

    def _evaluate(
        self,
        estimators: Iterable[Estimator],
        probe_set: str,
        query_set: str,
        masks: Sequence[Mask],
        vary: Vary,
    ) -> dict[tuple[str, int], Float[np.ndarray, "c b"]]:
        rows = tuple(estimators)
        per_checkpoint: list[dict[tuple[str, int], Float[np.ndarray, "b"]]] = []
        for each in self._slices(probe_set, query_set, vary, rows):
            made = {row.name: row.compute(each) for row in rows}
            per_checkpoint.append(
                {(name, i): m.over(mask) for name, m in made.items() for i, mask in enumerate(masks)}
            )
        return {key: np.stack([at[key] for at in per_checkpoint]) for key in per_checkpoint[0]}

    def _slices(
        self, probe_set: str, query_set: str, vary: Vary, estimators: Sequence[Estimator]
    ) -> Iterable[Slice]:
        weights = (
            self._weights_of("probe", probe_set, vary if vary != "queries" else "nothing"),
            self._weights_of("query", query_set, vary if vary != "probes" else "nothing"),
        )
        rows = max(len(weights[0]), len(weights[1]))
        probe_weights, query_weights = (np.broadcast_to(w, (rows, w.shape[1])) for w in weights)
        wants_gram = any(row.needs_gram for row in estimators)
        for at in self.measured.checkpoints:
            yield self._slice(at, probe_set, query_set, probe_weights, query_weights, wants_gram)

    def _slice(
        self,
        at: CheckpointMeasurements,
        probe_set: str,
        query_set: str,
        probe_weights: Float[np.ndarray, "b p"],
        query_weights: Float[np.ndarray, "b q"],
        wants_gram: bool,
    ) -> Slice:
        layout, k = self.layout, len(self.layout.tasks)
        probes, queries = self.measured.probe_sets[probe_set], self.measured.query_sets[query_set]
        probe_tasks, query_tasks = layout.probe_tasks[probe_set], layout.query_tasks[query_set]
        means = at.gram_of_task_means
        return Slice(
            k=k,
            dot=at.dot[probe_set, query_set],
            usable=~self.measured.excluded[probe_set, query_set] & (at.query_sqnorm[query_set] > 0),
            probe_tasks=probe_tasks,
            query_tasks=query_tasks,
            probe_weights=probe_weights,
            query_weights=query_weights,
            probe_sqnorm=at.probe_sqnorm[probe_set],
            query_sqnorm=at.query_sqnorm[query_set],
            probe_tokens=probes.tokens,
            query_tokens=queries.tokens,
            probe_loss=at.probe_loss[probe_set],
            probe_mean_sqnorm=mean_sqnorms(
                at.probe_gram[probe_set], probes.tasks, probe_tasks, probe_weights, k, of_task_means=means
            )
            if wants_gram
            else None,
            query_mean_sqnorm=mean_sqnorms(
                at.query_gram[query_set], queries.tasks, query_tasks, query_weights, k, of_task_means=means
            )
            if wants_gram
            else None,
        )

    def _weights_of(self, role: Literal["probe", "query"], name: str, vary: Vary) -> Float[np.ndarray, "b n"]:
        probe = role == "probe"
        sets = self.measured.probe_sets if probe else self.measured.query_sets
        tasks = self.layout.probe_tasks if probe else self.layout.query_tasks
        if vary == "nothing":
            return np.ones((1, len(sets[name])))
        if role not in self._weights:
            generator = np.random.default_rng([self._seed, int(probe)])
            self._weights[role] = bootstrap_weights(
                sets, tasks, len(self.layout.tasks), self._resamples, generator
            )
        drawn = self._weights[role][name]
        return drawn if vary == "both" else drawn[:DRAWS_FOR_A_VARIANCE]


def _has_gram(measured: Measurements) -> bool:
    """Whether products within every set were measured at every checkpoint."""
    return all(
        at.probe_gram.keys() >= measured.probe_sets.keys()
        and at.query_gram.keys() >= measured.query_sets.keys()
        for at in measured.checkpoints
    )
