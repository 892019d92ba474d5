"""Compute the truth, slowly: `python -m assay.truth.build --world 0 --out DIR`.

Three fine-tuning runs (seeds 1, 2, 3) of the world's recipe; from each, every regime is trained with every
strategy on either half of the tasks, and without. One small file for each regime, seed and strategy: a killed
command goes on, and several commands with `--part 1/2`, `--part 2/2` share the work. Knows nothing of
predictions.
"""

import argparse
import json
import logging
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from assay import __version__
from assay.data.example import Example, Tokens
from assay.data.render import tokenize_all
from assay.errors import ResumeError
from assay.files import read_json, write_json
from assay.fingerprint import differing_fields
from assay.lookahead.losses import Answers
from assay.models.optimizer_building import build_optimizer
from assay.models.optimizer_state import read_optimizer
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.runs.lookahead.climb import spread
from assay.truth.arms import Arm, run_arm
from assay.truth.halves import CONTROL, Half, few, half_of, strategies, task_halves
from assay.truth.regimes import REGIMES, Regime
from assay.truth.runs import fine_tune_run
from assay.truth.table import collect, merged, table_path, trained, write_table
from assay.world.examples import base_examples, make_examples, query_examples
from assay.world.recipe import world_recipe
from assay.world.shipped import base_model_path
from assay.world.tasks import DEMO_TASKS
from assay.world.words import World, make_world

log = logging.getLogger(__name__)

SEEDS = (1, 2, 3)
QUERIES_PER_TASK = 32
EXAMPLES_PER_TASK = 64
DATA_SEED = 1
"""Of strategy examples and queries; they are of halves of the splits that predictions never see."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file of truth: a strategy (None: base alone) in a regime, by a run of one seed."""

    regime: Regime
    seed: int
    strategy: str | None

    @property
    def name(self) -> str:
        return f"{self.regime.name}/{self.strategy or 'base'}-{self.seed}.json"


def items(
    regimes: Iterable[str], seeds: Iterable[int], few_in_long: int, half: Half | None = None
) -> list[Item]:
    """All the work, in the order in which it is most useful if it has to stop early."""
    rows = []
    for name in regimes:
        regime = REGIMES[name]
        wanted = few(few_in_long) if regime.long else strategies()
        chosen = [CONTROL, *(one for one in wanted if half in (None, half_of(one)))]
        rows += [Item(regime, seed, strategy) for seed in seeds for strategy in (None, *chosen)]
    return rows


def missing(everything: Iterable[Item], known: Set[tuple[str, int, str]]) -> list[Item]:
    """What a table does not hold yet; a base arm only where a strategy has to be held against it."""
    left = [
        item
        for item in everything
        if item.strategy is None or (item.regime.name, item.seed, item.strategy) not in known
    ]
    needed = {(item.regime.name, item.seed) for item in left if item.strategy is not None}
    return [item for item in left if (item.regime.name, item.seed) in needed]


class Truth:
    """The runs of one world and what is asked of them; holds one open run at a time."""

    def __init__(self, world: World, base_model: Path, folder: Path) -> None:
        self.world, self.base_model, self.folder = world, base_model, folder
        self._seed: int | None = None
        self._strategies: dict[str, list[Example]] = {}

    def compute(self, item: Item) -> dict[str, Any]:
        """Losses and right answers by task, of the base arm or of a strategy's two arms."""
        self._open(item.seed)
        arms: dict[str, Any] = {"regime": item.regime.name, "seed": item.seed, "strategy": item.strategy}
        if item.strategy is None:
            arms["base"] = self._by_task(self._run(item, ()))
            return arms
        for half, tasks in zip(("first", "second"), task_halves(DEMO_TASKS, item.seed), strict=True):
            examples = self._tokens(item.strategy, tasks)
            arms[half] = {"tasks": list(tasks), **self._by_task(self._run(item, examples))}
        return arms

    def _run(self, item: Item, examples: Sequence[Tokens]) -> list[Answers]:
        """What was said after the same steps from every checkpoint the regime starts from."""
        arm = Arm(item.regime, item.seed, self._base, examples)
        return [
            run_arm(self._session.at(start), arm, self._query_tokens, self._own)
            for start in self._starts(item.regime)
        ]

    def _own(self, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(model, read_optimizer(Path(self._session.checkpoint.source), model))

    def _open(self, seed: int) -> None:
        if seed == self._seed:
            return
        trajectory = fine_tune_run(self.world, self.base_model, self.folder / f"run-{seed}", seed)
        self._session = Session.open(trajectory)
        self._seed = seed
        tokenizer = self._session.tokenizer
        self._base = tokenize_all(base_examples(seed=seed, world=self.world), tokenizer).tokens
        self._queries = query_examples(
            per_task=QUERIES_PER_TASK, seed=DATA_SEED, split="query/2", world=self.world
        )
        self._query_tokens = tokenize_all(self._queries, tokenizer).tokens

    def _starts(self, regime: Regime) -> tuple[Checkpoint, ...]:
        checkpoints = self._session.trajectory.checkpoints
        if regime.start == "spread":
            return spread(checkpoints)
        return (checkpoints[len(checkpoints) // 2 - 1] if regime.start == "middle" else checkpoints[-1],)

    def _tokens(self, strategy: str, tasks: Sequence[str]) -> list[Tokens]:
        if strategy not in self._strategies:
            self._strategies[strategy] = make_examples(
                strategy, per_task=EXAMPLES_PER_TASK, seed=DATA_SEED, split="probe/2", world=self.world
            )
        examples = [e for e in self._strategies[strategy] if e.task in tasks]
        return list(tokenize_all(examples, self._session.tokenizer).tokens)

    def _by_task(self, said: Sequence[Answers]) -> dict[str, Any]:
        """Mean loss of a query in nats and share of right answers, by task; means over the starts."""
        tasks = np.array([query.task for query in self._queries])
        losses = np.mean([each.losses for each in said], axis=0)
        right = np.mean([each.right for each in said], axis=0)
        return {
            "loss": {task: float(losses[tasks == task].mean()) for task in DEMO_TASKS},
            "right": {task: float(right[tasks == task].mean()) for task in DEMO_TASKS},
        }


def recipe_of(world: int) -> dict[str, Any]:
    """How the truth of a world was computed, to travel with its table."""
    return {
        "world": world,
        "seeds": list(SEEDS),
        "queries_per_task": QUERIES_PER_TASK,
        "examples_per_task": EXAMPLES_PER_TASK,
        "regimes": {name: asdict(regime) for name, regime in REGIMES.items()},
        "recipe": world_recipe(),
        "versions": {"assay": __version__, "torch": str(torch.__version__)},
    }


def claim(folder: Path, world: int) -> None:
    """Write the recipe into a new folder; raise ResumeError for one whose files follow another."""
    path, ours = folder / "recipe.json", json.loads(json.dumps(recipe_of(world)))
    if not path.is_file():
        write_json(path, ours)
        return
    differing = differing_fields(ours, read_json(path))
    if differing:
        raise ResumeError(f"{folder} holds truth of another {', '.join(differing)}; give another --out.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compute the truth of a world; goes on where it stopped.")
    parser.add_argument("--world", type=int, default=0, help="seed of the world")
    parser.add_argument("--base", type=Path, default=None, help="its base model, by default the shipped one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the files")
    parser.add_argument("--regimes", nargs="+", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--few", type=int, default=20, help="strategies in the long regime")
    parser.add_argument("--half", choices=["development", "reported"], help="only these strategies")
    parser.add_argument("--part", default="1/1", help="K/N: every N-th file, from the K-th")
    parser.add_argument("--table", type=Path, default=None, help="the table, by default the shipped one")
    parser.add_argument("--write", action="store_true", help="train nothing; add what is there to the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    table = options.table or table_path(options.world)
    claim(options.out, options.world)
    if options.write:
        write_table(merged(table, collect(options.out / "truth")), recipe_of(options.world), table)
        return
    part, parts = map(int, options.part.split("/"))
    base_model = options.base or base_model_path(options.world)
    truth = Truth(make_world(options.world), base_model, options.out)
    everything = items(options.regimes, options.seeds, options.few, options.half)
    work = missing(everything, trained(table))[part - 1 :: parts]
    for count, item in enumerate(work, start=1):
        path = options.out / "truth" / item.name
        if not path.is_file():
            write_json(path, truth.compute(item))
            log.info("%d of %d: %s", count, len(work), item.name)


if __name__ == "__main__":
    main()
