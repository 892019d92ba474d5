"""How often do the study's intervals hold the truth? A simulation with a known one.

Relative influence of probe p (task i) on query q (task j) is drawn as

    μ + a_i + b_j + c_ij + d_p + e_q + f_pq        (with c_ii more varied than c_ij)

and a strategy shares part of every effect with its control, as paired data do. Intervals are those of
`assay.studies`, for the level of the strategy and for the paired difference, in both contexts. The truth is μ
for *tasks like these*, and μ + mean(a + b + c) over the drawn tasks for *these tasks*.

    python benchmarks/interval_coverage.py            # the table of docs/statistics.md
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from assay.studies.estimators import ESTIMATORS
from assay.studies.intervals import Draws
from assay.studies.layout import CONTEXTS, lay_out
from assay.studies.measurements import CheckpointMeasurements, ExampleSet, Measurements
from assay.studies.replicates import Replicates

LEVEL = {"in-task": 0.5, "cross-task": 0.05}
SETS = ("strategy", "control")
RELINF = (ESTIMATORS["relinf"],)
SAME_TRUTH = ("relinf", "ratio_of_sums", "median")  # effects are symmetric and independent of ‖g_q‖


@dataclass(frozen=True)
class World:
    """Standard deviations of the effects, and counts per task."""

    tasks: int = 7
    probes: int = 8
    queries: int = 8
    probe_task: float = 0.15
    query_task: float = 0.15
    task_pair: float = 0.15
    own_task: float = 0.25
    probe: float = 0.3
    query: float = 0.3
    pair: float = 0.5
    shared: float = 0.7  # correlation of every effect between strategy and control


def draw(world: World, generator: np.random.Generator) -> tuple[Measurements, dict[str, np.ndarray]]:
    """One simulated study, and the expected influence of every task pair for each probe set."""
    k = world.tasks
    probe_task, query_task = np.repeat(np.arange(k), world.probes), np.repeat(np.arange(k), world.queries)

    def effects(size: float, *shape: int) -> dict[str, np.ndarray]:
        common, *own = generator.normal(size=(3, *shape))
        rho = world.shared
        return {
            name: size * (np.sqrt(rho) * common + np.sqrt(1 - rho) * mine)
            for name, mine in zip(SETS, own, strict=True)
        }

    a, b = effects(world.probe_task, k), effects(world.query_task, k)
    c, own = effects(world.task_pair, k, k), effects(world.own_task, k)
    d, e = effects(world.probe, len(probe_task)), effects(world.query, len(query_task))
    f = effects(world.pair, len(probe_task), len(query_task))
    mean = np.where(np.eye(k, dtype=bool), LEVEL["in-task"], LEVEL["cross-task"])
    cells = {s: mean + a[s][:, None] + b[s] + c[s] + np.diag(own[s]) for s in SETS}
    norms = np.exp(generator.normal(size=len(query_task)))
    dot = {
        (s, "eval"): (cells[s][np.ix_(probe_task, query_task)] + d[s][:, None] + e[s] + f[s]) * norms
        for s in SETS
    }
    probes = {s: _examples(s, probe_task) for s in SETS}
    ones = {s: np.ones(len(probe_task)) for s in SETS}
    at = CheckpointMeasurements(
        "checkpoint-1", 1, 1.0, 1e-4, dot, ones, {"eval": norms}, ones, {"eval": norms}, {}, {}
    )
    excluded = {key: np.zeros(each.shape, dtype=bool) for key, each in dot.items()}
    queries = {"eval": _examples("eval", query_task)}
    return Measurements(probes, queries, "control", (at,), excluded), cells


def _examples(name: str, tasks: np.ndarray) -> ExampleSet:
    count = len(tasks)
    return ExampleSet(
        name=name,
        ids=tuple(f"{name}-{i}" for i in range(count)),
        tasks=tuple(f"task-{task}" for task in tasks),
        pairs=tuple(f"{'q' if name == 'eval' else 'p'}-{i}" for i in range(count)),
        tokens=np.ones(count, dtype=int),
        texts=(("", ""),) * count,
    )


def coverage(
    world: World, trials: int, *, estimator: str = "relinf", seed: int = 0, resamples: int = 400
) -> dict[tuple[str, str], float]:
    """Share of `trials` in which the nominal 95% interval holds the truth, by context and quantity."""
    rows = (ESTIMATORS[estimator],)
    generator = np.random.default_rng(seed)
    held: dict[tuple[str, str], list[bool]] = {(c, q): [] for c in CONTEXTS for q in ("level", "difference")}
    for _ in range(trials):
        measured, cells = draw(world, generator)
        replicates = Replicates(measured, lay_out(measured), estimators=rows, resamples=resamples)
        for context in CONTEXTS:
            mask = replicates.mask(context, SETS, ["eval"])
            if not mask.any():
                continue
            drawn = {s: replicates.draws(estimator, s, "eval", mask) for s in SETS}
            these = {s: float(cells[s][mask].mean()) for s in SETS}
            gap = drawn["strategy"] - drawn["control"]
            for quantity, draws, here, everywhere in (
                ("level", drawn["strategy"], these["strategy"], LEVEL[context]),
                ("difference", gap, these["strategy"] - these["control"], 0.0),
            ):
                held[context, quantity].append(_holds(draws, here, everywhere))
    return {key: float(np.mean(each)) for key, each in held.items() if each}


def _holds(draws: Draws, these_tasks: float, tasks_like_these: float) -> bool:
    estimate = draws.at(0)
    truth = these_tasks if estimate.target == "these tasks" else tasks_like_these
    return estimate.low <= truth <= estimate.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--estimator", choices=SAME_TRUTH, default="relinf")
    options = parser.parse_args()
    columns = [(context, quantity) for context in CONTEXTS for quantity in ("level", "difference")]
    rows = [["tasks", "probes = queries per task", *(f"{c}, {q}" for c, q in columns)]]
    for tasks, each in ((1, 16), (3, 8), (4, 16), (5, 8), (7, 1), (7, 8), (12, 1), (12, 16)):
        trials = options.trials if tasks > 4 else options.trials // 4
        world = World(tasks=tasks, probes=each, queries=each)
        found = coverage(world, trials, estimator=options.estimator)
        cells = [f"{found[column]:.3f}" if column in found else "–" for column in columns]
        rows.append([str(tasks), str(each), *cells])
    rows.insert(1, ["---"] * len(rows[0]))
    sys.stdout.write("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")


if __name__ == "__main__":
    main()
