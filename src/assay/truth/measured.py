"""What predictions are made from: gradients and losses of probes and queries along one fine-tuning run.

Computed live from the world alone, checkpoint by checkpoint, one file each. The probes and queries are of the
halves of their splits that the truth never saw, the run has a seed of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.data.example import Example, Tokens
from assay.data.render import tokenize_all
from assay.fingerprint import fingerprint
from assay.gradients.products import products
from assay.models.session import Session
from assay.progress import SILENT, Progress
from assay.runs.shards import read_shard, write_shard
from assay.studies.measurements import CheckpointMeasurements, ExampleSet, Measurements
from assay.truth.halves import CONTROL
from assay.truth.runs import fine_tune_run
from assay.world.examples import base_examples, make_examples, query_examples
from assay.world.words import World

SEED = 0
PROBES_PER_TASK = 64
QUERIES_PER_TASK = 32
CHECKPOINTS = (2, 4, 6, 8)
"""Which of the run's eight, counted from 1; the default of a study is all, here half of them save time."""
QUERIES = "queries"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The predicting side of one world: its run, and its examples as the model sees them."""

    session: Session
    base: Sequence[Tokens]
    probes: Mapping[str, Sequence[Tokens]]
    queries: Sequence[Tokens]
    probe_sets: Mapping[str, ExampleSet]
    query_set: ExampleSet


def predicting_side(
    world: World,
    base_model: Path,
    folder: Path,
    chosen: Sequence[str],
    per_task: int = PROBES_PER_TASK,
) -> Side:
    """Fine-tune the run of predictions (found if it is there); write examples of control and `chosen`."""
    session = Session.open(fine_tune_run(world, base_model, folder / f"run-{SEED}", SEED))
    tokenizer = session.tokenizer
    examples = {
        name: make_examples(name, per_task=per_task, seed=SEED, split="probe/1", world=world)
        for name in (CONTROL, *chosen)
    }
    asked = query_examples(per_task=QUERIES_PER_TASK, seed=SEED, split="query/1", world=world)
    queries = tokenize_all(asked, tokenizer).tokens
    probes = {name: tokenize_all(each, tokenizer).tokens for name, each in examples.items()}
    return Side(
        session,
        tokenize_all(base_examples(seed=SEED, world=world), tokenizer).tokens,
        probes,
        queries,
        {name: _as_set(name, each, probes[name]) for name, each in examples.items()},
        _as_set(QUERIES, asked, queries),
    )


def measure_side(side: Side, folder: Path, progress: Progress = SILENT) -> Measurements:
    """Products of every probe with every query at `CHECKPOINTS`; goes on from the files in `folder`."""
    checkpoints = side.session.trajectory.checkpoints
    sizes = {name: len(each) for name, each in side.probes.items()}
    measured = []
    for number in CHECKPOINTS:
        checkpoint = checkpoints[number - 1]
        path = folder / f"{checkpoint.name}.safetensors"
        mark = fingerprint({"weights": side.session.weights_digest(checkpoint), "probes": sizes})
        at = read_shard(path, mark)
        if at is None:
            groups = {f"probe:{name}": each for name, each in side.probes.items()}
            wanted = [(name, QUERIES) for name in groups]
            found = products(
                side.session.at(checkpoint),
                {**groups, QUERIES: side.queries},
                wanted,
                token_budget=8192,
                progress=progress,
                label=checkpoint.name,
            )
            at = CheckpointMeasurements(
                name=checkpoint.name,
                step=checkpoint.step,
                epoch=checkpoint.epoch,
                learning_rate=checkpoint.learning_rate,
                dot={(name, QUERIES): found.dot[f"probe:{name}", QUERIES] for name in side.probes},
                probe_sqnorm={name: found.sqnorm[f"probe:{name}"] for name in side.probes},
                query_sqnorm={QUERIES: found.sqnorm[QUERIES]},
                probe_loss={name: found.loss[f"probe:{name}"] for name in side.probes},
                query_loss={QUERIES: found.loss[QUERIES]},
                probe_gram={},
                query_gram={},
            )
            write_shard(path, at, mark)
        measured.append(at)
    # Also for the leak, whose probes are queries: a study would leave those pairs out, and so be blind to it.
    excluded = {
        (name, QUERIES): np.zeros((len(each), len(side.queries)), dtype=bool)
        for name, each in side.probes.items()
    }
    return Measurements(dict(side.probe_sets), {QUERIES: side.query_set}, CONTROL, tuple(measured), excluded)


def first(measured: Measurements, per_task: int) -> Measurements:
    """The same with only the first `per_task` probes of every task; no number is computed again."""
    rows = {name: first_of_each(each.tasks, per_task) for name, each in measured.probe_sets.items()}
    return Measurements(
        {name: _subset(each, rows[name]) for name, each in measured.probe_sets.items()},
        measured.query_sets,
        measured.control,
        tuple(_first_at(at, rows) for at in measured.checkpoints),
        {(p, q): pairs[rows[p]] for (p, q), pairs in measured.excluded.items()},
    )


def _first_at(at: CheckpointMeasurements, rows: Mapping[str, np.ndarray]) -> CheckpointMeasurements:
    return CheckpointMeasurements(
        name=at.name,
        step=at.step,
        epoch=at.epoch,
        learning_rate=at.learning_rate,
        dot={(p, q): dot[rows[p]] for (p, q), dot in at.dot.items()},
        probe_sqnorm={p: norms[rows[p]] for p, norms in at.probe_sqnorm.items()},
        query_sqnorm=at.query_sqnorm,
        probe_loss={p: losses[rows[p]] for p, losses in at.probe_loss.items()},
        query_loss=at.query_loss,
        probe_gram={},
        query_gram={},
    )


def first_of_each(tasks: Sequence[str | None], count: int) -> np.ndarray:
    """Positions of the first `count` examples of every task, in order."""
    seen: dict[str | None, int] = {}
    rows = []
    for row, task in enumerate(tasks):
        seen[task] = seen.get(task, 0) + 1
        if seen[task] <= count:
            rows.append(row)
    return np.array(rows)


def _subset(each: ExampleSet, rows: np.ndarray) -> ExampleSet:
    return ExampleSet(
        each.name,
        tuple(each.ids[row] for row in rows),
        tuple(each.tasks[row] for row in rows),
        tuple(each.pairs[row] for row in rows),
        each.tokens[rows],
        tuple(each.texts[row] for row in rows),
        each.direction,
    )


def _as_set(name: str, examples: Sequence[Example], tokens: Sequence[Tokens]) -> ExampleSet:
    return ExampleSet(
        name,
        tuple(example.id for example in examples),
        tuple(example.task for example in examples),
        tuple(example.pair for example in examples),
        np.array([one.completion_tokens for one in tokens]),
        tuple((e.messages[0].content, e.messages[-1].content) for e in examples),
    )
