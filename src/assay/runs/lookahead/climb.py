"""The lookahead of a study, shard by shard: which come first, what is there already, when a budget ends.

A shard holds one probe set (or the base alone) at one checkpoint with one seed. A killed run goes on from
its finished shards to the same result. Knows nothing of what the numbers mean.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.data.example import Tokens
from assay.data.texts import counted
from assay.fingerprint import fingerprint
from assay.lookahead.plan import Plan
from assay.lookahead.run import arm_losses, arm_steps
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.progress import SILENT, Progress
from assay.runs.durations import duration_words
from assay.runs.inputs import Inputs
from assay.runs.lookahead.base import Base
from assay.runs.lookahead.cost import memory_bytes, require_memory, size_words, time_steps
from assay.runs.lookahead.draws import Draw, Excluded, by_file, draw, task_labels
from assay.runs.lookahead.optimizer import Chosen, Rate, choose_optimizer, optimizer_digest
from assay.runs.lookahead.shards import BASE, Item, Shard, read_shard, write_shard
from assay.studies.lookahead import Arm, LookaheadMeasurements, Replicate
from assay.studies.measurements import ExampleSet


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """All that decides what a lookahead measures. `settings` and `weights` (digests by checkpoint name) enter
    the fingerprints; `probe_sets` are those to climb with, the first ones first, and do not include the
    control, which climbs before them."""

    plan: Plan
    rate: Rate
    base: Base
    inputs: Inputs
    probes: Mapping[str, ExampleSet]
    queries: Mapping[str, ExampleSet]
    excluded: Excluded
    control: str | None
    probe_sets: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    settings: Mapping[str, Any]
    weights: Mapping[str, str]
    token_budget: int
    budget: float | None = None

    @property
    def one_task(self) -> bool:
        return by_file(self.probes, self.queries)


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """What was measured, what it cost, and by which optimizer at each checkpoint ("own", or why not)."""

    measured: LookaheadMeasurements
    seconds: float
    arms: int
    optimizers: Mapping[str, str]


def spread(checkpoints: Sequence[Checkpoint], steps: Sequence[int] | None = None) -> tuple[Checkpoint, ...]:
    """The first, a middle and the last trained checkpoint, or those of `steps`.

    The state before training is left out unless there is no other.
    """
    trained = [one for one in checkpoints if one.kind != "base" and one.step != 0] or list(checkpoints)
    if steps is not None:
        return tuple(one for one in trained if one.step in steps)
    places = sorted({0, len(trained) // 2, len(trained) - 1})
    return tuple(trained[i] for i in places)


def items(setup: Setup) -> list[Item]:
    """All the work. Without a budget checkpoint by checkpoint, so that each is loaded once; with one, probe
    set by probe set, so that what is finished when it ends can be judged."""
    if not setup.probe_sets:
        return []
    names = [one.name for one in setup.checkpoints]
    seeds = range(setup.plan.seeds)
    below = [BASE, *([setup.control] if setup.control is not None else [])]
    if setup.budget is None:
        return [Item(at, seed, p) for at in names for seed in seeds for p in (*below, *setup.probe_sets)]
    first, rest = setup.probe_sets[:1], setup.probe_sets[1:]
    ordered = [Item(at, seed, p) for seed in seeds for at in names for p in (*below, *first)]
    return ordered + [Item(at, seed, p) for p in rest for seed in seeds for at in names]


class Climb:
    """One lookahead on one session. `folder` keeps shards; without one they live in memory."""

    def __init__(
        self, session: Session, setup: Setup, folder: Path | None, progress: Progress = SILENT
    ) -> None:
        self._session, self._setup, self._folder, self._progress = session, setup, folder, progress
        self._checkpoints = {one.name: one for one in setup.checkpoints}
        self._optimizers = {one.name: optimizer_digest(one) for one in setup.checkpoints}
        self._draws: dict[int, Draw] = {}
        self._chosen: tuple[str, Chosen] | None = None

    def run(self) -> Climbed:
        """Measure what is missing, as far as the budget goes."""
        work = items(self._setup)
        done = {item: shard for item in work if (shard := self._known(item)) is not None}
        missing = [item for item in work if item not in done]
        if missing:
            expected = self._announce(missing, bool(done))
            with self._progress.stage("lookahead", sum(map(self._arms, missing)), "arms") as advance:
                for item in missing:
                    if not self._fits(item, done, expected):
                        break
                    done[item] = self._measure(item)
                    advance(self._arms(item))
        return self._climbed({item: done[item] for item in work if item in done})

    def _known(self, item: Item) -> Shard | None:
        return None if self._folder is None else read_shard(self._folder / item.file, self._fingerprint(item))

    def _fingerprint(self, item: Item) -> str:
        own = {
            "weights": self._setup.weights[item.checkpoint],
            "optimizer": self._optimizers[item.checkpoint],
            "seed": item.seed,
            "probe_set": item.probe_set,
        }
        return fingerprint({**self._setup.settings, **own})

    def _fits(self, item: Item, done: Mapping[Item, Shard], expected: float) -> bool:
        """Whether an item would end within the budget, going by what was measured so far."""
        if self._setup.budget is None:
            return True
        arms = sum(map(self._arms, done))
        spent = sum(shard.seconds for shard in done.values())
        each = spent / arms if arms else expected
        return spent + each * self._arms(item) <= self._setup.budget

    def _arms(self, item: Item) -> int:
        return 1 if item.probe_set == BASE else len(self._draw(item.seed).halves)

    def _draw(self, seed: int) -> Draw:
        if seed not in self._draws:
            one = self._setup
            self._draws[seed] = draw(seed, one.probes, one.queries, one.excluded)
        return self._draws[seed]

    def _optimizer(self, checkpoint: Checkpoint) -> Chosen:
        if self._chosen is None or self._chosen[0] != checkpoint.name:
            self._chosen = None  # let go of one checkpoint's moments before the next one's are read
            self._chosen = (
                checkpoint.name,
                choose_optimizer(self._session, checkpoint, self._setup.rate.value),
            )
        self._session.at(checkpoint)
        return self._chosen[1]

    def _announce(self, missing: Sequence[Item], going_on: bool) -> float:
        """Say what it takes before it is taken; returns the expected seconds of an arm."""
        setup, model = self._setup, self._session.model
        require_memory(model)
        arms = sum(map(self._arms, missing))
        steps, memory = setup.plan.steps, size_words(memory_bytes(model))
        lead = "Going on with the lookahead" if going_on else "Lookahead"
        at = counted(len({item.checkpoint for item in missing}), "checkpoint")
        work = f"{arms:,} arms of {counted(steps, 'step')} at {at}, {counted(setup.plan.seeds, 'seed')}"
        self._progress.note(
            f"{lead}: {work}; {memory} for gradients, optimizer and a copy of the trained weights, besides "
            f"the activations of {setup.token_budget:,} tokens."
        )
        item = next((one for one in missing if one.probe_set != BASE), missing[0])
        chosen = self._optimizer(self._checkpoints[item.checkpoint])
        first = self._trained_on(item, 0)
        example = arm_steps(setup.plan, item.seed, setup.base.tokens, first)
        cost = time_steps(model, chosen.make, example, self._queries, setup.token_budget)
        of_base = sum(item.probe_set == BASE for item in missing)
        with_steps = arms if setup.base.tokens else arms - of_base
        seconds = cost.of(with_steps, arms, steps)
        budget = "" if setup.budget is None else f", of which {duration_words(setup.budget)} may be spent"
        self._progress.note(
            f"One step took {cost.step:.2g} s and asking the queries {cost.asking:.2g} s: about "
            f"{duration_words(seconds)} in all{budget}."
        )
        return seconds / arms

    @property
    def _queries(self) -> list[Tokens]:
        return [tokens for part in self._setup.inputs.queries.values() for tokens in part.tokens]

    def _trained_on(self, item: Item, half: int) -> list[Tokens]:
        return [self._setup.inputs.probes[item.probe_set].tokens[i] for i in self._chosen_probes(item, half)]

    def _chosen_probes(self, item: Item, half: int) -> list[int]:
        """Probes of one half's tasks that may be trained on, as positions in their set."""
        if item.probe_set == BASE:
            return []
        drawn = self._draw(item.seed)
        labels = task_labels(self._setup.probes[item.probe_set], self._setup.one_task)
        usable = drawn.usable[item.probe_set]
        return [i for i, task in enumerate(labels) if usable[i] and task in drawn.halves[half]]

    def _measure(self, item: Item) -> Shard:
        setup = self._setup
        began = time.perf_counter()
        chosen = self._optimizer(self._checkpoints[item.checkpoint])
        arms = []
        for half in range(self._arms(item)):
            rows = self._chosen_probes(item, half)
            if item.probe_set != BASE and not rows:
                continue
            losses = arm_losses(
                self._session.model,
                chosen.make,
                setup.plan,
                item.seed,
                setup.base.tokens,
                self._trained_on(item, half),
                self._queries,
                token_budget=setup.token_budget,
            )
            labels = (
                () if item.probe_set == BASE else task_labels(setup.probes[item.probe_set], setup.one_task)
            )
            trained = frozenset(task for i in rows if (task := labels[i]) is not None)
            arms.append(Arm(item.probe_set, half, trained, self._by_set(losses)))
        shard = Shard(tuple(arms), time.perf_counter() - began, chosen.kind)
        if self._folder is not None:
            write_shard(self._folder / item.file, shard, self._fingerprint(item))
        return shard

    def _by_set(self, losses: Any) -> dict[str, Any]:
        found, start = {}, 0
        for name, part in self._setup.inputs.queries.items():
            found[name] = losses[start : start + len(part.tokens)]
            start += len(part.tokens)
        return found

    def _climbed(self, done: Mapping[Item, Shard]) -> Climbed:
        setup = self._setup
        names = [*setup.probe_sets, *([setup.control] if setup.control is not None else [])]
        replicates = []
        for checkpoint in setup.checkpoints:
            for seed in range(setup.plan.seeds):
                base = done.get(Item(checkpoint.name, seed, BASE))
                if base is not None:
                    above = [done.get(Item(checkpoint.name, seed, name)) for name in names]
                    arms = tuple(arm for shard in above if shard is not None for arm in shard.arms)
                    asked = self._draw(seed).asked
                    replicates.append(
                        Replicate(checkpoint.name, checkpoint.step, seed, base.arms[0].losses, asked, arms)
                    )
        measured = LookaheadMeasurements(
            tuple(names),
            setup.queries,
            setup.control,
            setup.one_task,
            tuple(self._checkpoints),
            tuple(range(setup.plan.seeds)),
            tuple(replicates),
        )
        return Climbed(
            measured,
            sum(shard.seconds for shard in done.values()),
            sum(len(shard.arms) for shard in done.values()),
            {item.checkpoint: shard.optimizer for item, shard in done.items()},
        )
