"""What is predicted of every strategy: by each estimator, by lookahead, and by baselines without gradients.

A prediction is a number per strategy and context, larger for more help; only its order and its sign beside
the control's are held against the truth. Knows no truth.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from assay.data.batches import pad
from assay.data.example import Tokens
from assay.gradients import head as heads
from assay.methods.bm25 import bm25
from assay.studies.estimators import DEFAULT_ESTIMATOR, ESTIMATORS
from assay.studies.judge import judge
from assay.studies.layout import CONTEXTS, lay_out
from assay.studies.lookahead import LookaheadMeasurements
from assay.studies.lookahead_verdicts import lookahead_verdicts
from assay.studies.measurements import Measurements
from assay.studies.replicates import Replicates
from assay.studies.result import Context, Verdict
from assay.studies.verdict import compare
from assay.truth.measured import QUERIES, Side, first_of_each

AVERAGED = "all"


@dataclass(frozen=True, slots=True)
class Prediction:
    """`scores[strategy]`, the control's among them, by a predictor from so many probes of each task.

    `checkpoint` is a name, or `AVERAGED` over those measured.
    """

    predictor: str
    per_task: int
    checkpoint: str
    context: Context
    scores: Mapping[str, float]


def by_gradients(measured: Measurements, per_task: int) -> Iterator[Prediction]:
    """Every estimator of the study, at each checkpoint and averaged over them."""
    replicates = Replicates(measured, lay_out(measured))
    names = [at.name for at in measured.checkpoints]
    for estimator in replicates.estimators:
        for context in CONTEXTS:
            values: dict[str, Float[np.ndarray, "c"]] = {}
            for strategy in measured.probe_sets:
                mask = replicates.mask(context, [strategy], [QUERIES])
                values[strategy] = replicates.draws(estimator.name, strategy, QUERIES, mask).values
            for place, checkpoint in enumerate(names):
                at = {name: float(each[place]) for name, each in values.items()}
                yield Prediction(estimator.name, per_task, checkpoint, context, at)
            mean = {name: float(each.mean()) for name, each in values.items()}
            yield Prediction(estimator.name, per_task, AVERAGED, context, mean)


def gradient_verdicts(
    measured: Measurements, estimator: str = DEFAULT_ESTIMATOR, margin: float = 0.2
) -> list[Verdict]:
    """What a study of these measurements would say of every strategy."""
    replicates = Replicates(measured, lay_out(measured), estimators=(ESTIMATORS[estimator],))
    compared = (
        compare(replicates, estimator, strategy, QUERIES, context)
        for context in CONTEXTS
        for strategy in measured.probe_sets
    )
    return [judge(replicates, each, margin, 0.95) for each in compared if each is not None]


def by_lookahead(measured: LookaheadMeasurements, per_task: int, steps: int) -> Iterator[Prediction]:
    """The level of every strategy's effect, averaged over seeds and checkpoints."""
    for context in CONTEXTS:
        scores = {v.probe_set: v.effect.value for v in said_ahead(measured, steps) if v.context == context}
        yield Prediction("lookahead", per_task, AVERAGED, context, scores)


def said_ahead(measured: LookaheadMeasurements, steps: int) -> tuple[Verdict, ...]:
    """What a study by lookahead would say of every strategy."""
    return lookahead_verdicts(measured, steps=steps)


def by_texts(side: Side, per_task: int) -> Iterator[Prediction]:
    """Baselines that need no gradient: short probes, shared tokens (BM25), and alike hidden states.

    Similarities are means over pairs of probes and queries of the same task, or of other tasks.
    """
    rows = {name: first_of_each(each.tasks, per_task) for name, each in side.probe_sets.items()}
    model = side.session.at(side.session.trajectory.checkpoints[-1])
    asked = embeddings(model, side.queries)
    ids = [one.input_ids for one in side.queries]
    similarities: dict[str, Callable[[Sequence[Tokens]], Float[np.ndarray, "p q"]]] = {
        "bm25": lambda probes: bm25([one.input_ids for one in probes], ids),
        "embedding": lambda probes: embeddings(model, probes) @ asked.T,
    }
    query_tasks = np.array(side.query_set.tasks)
    for context in CONTEXTS:
        short = {name: -float(side.probe_sets[name].tokens[mine].mean()) for name, mine in rows.items()}
        yield Prediction("minus_length", per_task, AVERAGED, context, short)
    for predictor, similarity in similarities.items():
        both: dict[Context, dict[str, float]] = {context: {} for context in CONTEXTS}
        for name, mine in rows.items():
            alike = similarity([side.probes[name][row] for row in mine])
            same = np.array(side.probe_sets[name].tasks)[mine][:, None] == query_tasks[None, :]
            both["in-task"][name] = float(alike[same].mean())
            both["cross-task"][name] = float(alike[~same].mean())
        for context, scores in both.items():
            yield Prediction(predictor, per_task, AVERAGED, context, scores)


@torch.inference_mode()
def embeddings(model: nn.Module, tokens: Sequence[Tokens], batch: int = 64) -> Float[np.ndarray, "n h"]:
    """The mean of an example's last hidden states over all its tokens, at unit length."""
    head = heads.split(model)
    device = next(model.parameters()).device
    found = []
    for start in range(0, len(tokens), batch):
        padded = pad(tokens[start : start + batch])
        hidden = heads.last_hidden(head, torch.from_numpy(padded.input_ids).to(device)).float()
        there = torch.from_numpy(padded.attention_mask).to(device)[..., None]
        mean = (hidden * there).sum(1) / there.sum(1)
        found.append(nn.functional.normalize(mean, dim=-1).cpu().numpy())
    return np.concatenate(found)
