"""Lookaheads of the benchmark's strategies, as a study takes them: `python -m assay.truth.lookaheads`.

From checkpoints of the run of predictions, with the probes and queries of predictions. One small file for
each number of probes, checkpoint, seed and strategy; commands with `--part` share the work. Knows no truth.
"""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from assay.data.example import Tokens
from assay.files import write_atomically
from assay.fingerprint import fingerprint
from assay.lookahead.plan import Plan, task_halves
from assay.lookahead.run import arm_losses
from assay.models.trajectory import Checkpoint
from assay.runs.lookahead.optimizer import choose_optimizer, learning_rate
from assay.studies.lookahead import Arm, LookaheadMeasurements, Replicate
from assay.truth.halves import CONTROL, Half, strategies
from assay.truth.measured import QUERIES, Side, first_of_each, predicting_side
from assay.world.shipped import base_model_path
from assay.world.tasks import DEMO_TASKS
from assay.world.words import make_world

log = logging.getLogger(__name__)

PLAN = Plan()
CHECKPOINTS = (1, 5, 8)
"""Early, middle and last of eight, counted from 1."""


@dataclass(frozen=True, slots=True)
class Item:
    """The arms of a strategy (None: base alone) at one checkpoint, by one seed."""

    per_task: int
    checkpoint: Checkpoint
    seed: int
    strategy: str | None

    def path(self, folder: Path) -> Path:
        probes = f"{self.per_task}-probes" if self.strategy else "base"
        return folder / probes / f"{self.checkpoint.name}-{self.seed}-{self.strategy or 'base'}.safetensors"


def items(side: Side, per_task: Sequence[int], chosen: Iterable[str], plan: Plan = PLAN) -> list[Item]:
    """All the work: the arms of base alone first, then by number of probes."""
    at = [side.session.trajectory.checkpoints[number - 1] for number in CHECKPOINTS]
    bases = [Item(0, one, seed, None) for one in at for seed in range(plan.seeds)]
    return bases + [
        Item(count, one, seed, name)
        for count in per_task
        for one in at
        for seed in range(plan.seeds)
        for name in (CONTROL, *chosen)
    ]


def compute(side: Side, item: Item, folder: Path, plan: Plan = PLAN) -> None:
    """Run the arms of an item, if its file is not there, and write the queries' losses."""
    path = item.path(folder / mark(side, plan))
    if path.is_file():
        return
    rate = learning_rate(side.session.trajectory, None).value
    make = choose_optimizer(side.session, item.checkpoint, rate).make
    model = side.session.at(item.checkpoint)
    losses = {
        str(half): arm_losses(
            model, make, plan, item.seed, side.base, _probes(side, item, trained), side.queries
        )
        for half, trained in enumerate(_trained(item))
    }
    write_atomically(path, lambda temporary: save_file(losses, temporary))


def mark(side: Side, plan: Plan) -> str:
    """What files of another plan, rate or run are told from."""
    trajectory = side.session.trajectory
    weights = [side.session.weights_digest(trajectory.checkpoints[number - 1]) for number in CHECKPOINTS]
    rate = learning_rate(trajectory, None).value
    return fingerprint({"plan": asdict(plan), "rate": rate, "weights": weights, "queries": len(side.queries)})


def _trained(item: Item) -> tuple[frozenset[str], ...]:
    return task_halves(DEMO_TASKS, item.seed) if item.strategy else (frozenset(),)


def _probes(side: Side, item: Item, trained: frozenset[str]) -> list[Tokens]:
    if item.strategy is None:
        return []
    tasks = side.probe_sets[item.strategy].tasks
    rows = first_of_each(tasks, item.per_task)
    return [side.probes[item.strategy][row] for row in rows if tasks[row] in trained]


def read_lookaheads(
    side: Side, folder: Path, per_task: int, chosen: Sequence[str], plan: Plan = PLAN
) -> LookaheadMeasurements:
    """What the files say, for the strategies that are whole: at every checkpoint and seed."""
    folder = folder / mark(side, plan)
    work = [item for item in items(side, [per_task], chosen, plan) if item.strategy]
    missing = {item.strategy for item in work if not item.path(folder).is_file()}
    names = tuple(name for name in (CONTROL, *chosen) if name not in missing)
    replicates = []
    for checkpoint in dict.fromkeys(item.checkpoint for item in work):
        for seed in range(plan.seeds):
            base = load_file(Item(0, checkpoint, seed, None).path(folder))["0"]
            arms = []
            for name in names:
                item = Item(per_task, checkpoint, seed, name)
                found = load_file(item.path(folder))
                arms += [
                    Arm(name, half, trained, {QUERIES: found[str(half)]})
                    for half, trained in enumerate(_trained(item))
                ]
            asked = {QUERIES: np.ones(len(side.queries), dtype=bool)}
            replicates.append(
                Replicate(checkpoint.name, checkpoint.step, seed, {QUERIES: base}, asked, tuple(arms))
            )
    return LookaheadMeasurements(
        probe_sets=names,
        query_sets={QUERIES: side.query_set},
        control=CONTROL,
        by_file=False,
        checkpoints=tuple(dict.fromkeys(one.checkpoint for one in replicates)),
        seeds=tuple(range(plan.seeds)),
        replicates=tuple(replicates),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Look ahead with every strategy; goes on where it stopped.")
    parser.add_argument("--world", type=int, default=0, help="seed of the world")
    parser.add_argument("--base", type=Path, default=None, help="its base model, by default the shipped one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run and of the files")
    parser.add_argument("--per-task", nargs="+", type=int, default=[16, 64, 6], help="probes of each task")
    parser.add_argument("--half", choices=["development", "reported"], help="only these strategies")
    parser.add_argument("--part", default="1/1", help="K/N: every N-th file, from the K-th")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    half: Half | None = options.half
    chosen = strategies(half)
    world = make_world(options.world)
    base_model = options.base or base_model_path(options.world)
    side = predicting_side(world, base_model, options.out, chosen, max(options.per_task))
    part, parts = map(int, options.part.split("/"))
    work = items(side, options.per_task, chosen)[part - 1 :: parts]
    for count, item in enumerate(work, start=1):
        compute(side, item, options.out / "lookahead")
        log.info("%d of %d: %s", count, len(work), item.path(Path()))


if __name__ == "__main__":
    main()
