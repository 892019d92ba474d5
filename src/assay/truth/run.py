"""The whole benchmark for one world: measure, predict, hold against the committed truth, write it down.

Goes on from what an earlier run of the same command finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.files import write_json, write_text
from assay.progress import SILENT, Progress
from assay.runs.study import plain
from assay.studies.estimators import DEFAULT_ESTIMATOR, PUBLISHED
from assay.truth.coverage import Coverage, coverages
from assay.truth.evaluate import (
    Agreement,
    Calibration,
    agreements,
    always_worse,
    calibration,
    ceilings,
    truth_itself,
)
from assay.truth.halves import Half, strategies
from assay.truth.lookaheads import PLAN, compute, items, read_lookaheads
from assay.truth.means import measure_means, with_means
from assay.truth.measured import first, measure_side, predicting_side
from assay.truth.predictions import (
    Prediction,
    by_gradients,
    by_lookahead,
    by_texts,
    gradient_verdicts,
    said_ahead,
)
from assay.truth.table import Truth
from assay.truth.told import chart, markdown
from assay.world.words import make_world

PER_TASK = (64, 16, 6)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What came out of one world, over the strategies of one half."""

    world: int
    half: Half | None
    strategies: tuple[str, ...]
    ceilings: dict[str, dict[str, float]]
    agreements: tuple[Agreement, ...]
    calibrations: tuple[Calibration, ...]
    coverages: tuple[Coverage, ...]


def run_benchmark(
    truth: Truth,
    base_model: Path,
    out: Path,
    *,
    half: Half | None = "reported",
    lookahead: Sequence[int] = PER_TASK,
    per_task: Sequence[int] = PER_TASK,
    progress: Progress = SILENT,
) -> Benchmark:
    """Predict every strategy of `half` from `per_task` probes a task, and by lookahead from `lookahead`.

    Writes `truth.json`, `truth.md` and `truth.svg` into `out`.
    """
    world = make_world(truth.world)
    chosen = strategies(half)
    side = predicting_side(world, base_model, out, chosen, max(per_task))
    name = f"{half or 'all'}-{max(per_task)}"
    measured = measure_side(side, out / "measurements" / name, progress)
    means = measure_means(side, per_task, out / "means" / name, progress)
    predictions: list[Prediction] = []
    calibrations = [*always_worse(truth, chosen), *truth_itself(truth, chosen)]
    held: list[Coverage] = []
    for count in per_task:
        mine = with_means(first(measured, count), means[count])
        predictions += by_gradients(mine, count)
        predictions += by_texts(side, count)
        for estimator in (DEFAULT_ESTIMATOR, PUBLISHED):
            said = gradient_verdicts(mine, estimator)
            calibrations += calibration(truth, estimator, count, said, chosen)
        if count in lookahead:
            work = items(side, [count], chosen, PLAN)
            with progress.stage(f"lookahead, {count} probes per task", len(work), "arms") as advance:
                for item in work:
                    compute(side, item, out / "lookahead", PLAN)
                    advance(1)
            ahead = read_lookaheads(side, out / "lookahead", count, chosen, PLAN)
            predictions += by_lookahead(ahead, count, PLAN.steps)
            calibrations += calibration(truth, "lookahead", count, said_ahead(ahead, PLAN.steps), chosen)
            held += coverages(truth, ahead, count, chosen)
    result = Benchmark(
        truth.world,
        half,
        tuple(chosen),
        {"in-task": ceilings(truth, "in-task", chosen), "cross-task": ceilings(truth, "cross-task", chosen)},
        tuple(agreements(truth, predictions, chosen)),
        tuple(calibrations),
        tuple(held),
    )
    write_json(out / "truth.json", plain(result))
    told = markdown(result.agreements, result.calibrations, result.coverages, result.ceilings)
    write_text(out / "truth.md", told)
    write_text(out / "truth.svg", chart(result.agreements, result.ceilings))
    return result
