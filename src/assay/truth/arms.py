"""One arm of the truth: train by a regime, on base examples with or without a strategy, and ask the queries.

Everything follows from the seed: which base examples stand in which batch, and which strategy examples (by
number, so that strategies share them) join it. Knows nothing of tables or of predictions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from assay.data.example import Tokens
from assay.gradients.coverage import trained_parameters
from assay.lookahead.losses import Answers, answers
from assay.lookahead.steps import Step, added, mean_loss, restored, take_steps
from assay.streams import stream
from assay.truth.regimes import Regime

Own = Callable[[nn.Module], torch.optim.Optimizer]


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """What an arm learns from: `base` always, `strategy` (if any) added to every step."""

    regime: Regime
    seed: int
    base: Sequence[Tokens]
    strategy: Sequence[Tokens] = ()


def steps_of(arm: Arm) -> list[Step]:
    """The steps of an arm; those with and without a strategy share the base batches."""
    regime = arm.regime
    base = _drawn(len(arm.base), "base", arm)
    more = _drawn(len(arm.strategy), "strategy", arm)
    steps = []
    for _ in range(regime.steps):
        batch = [arm.base[next(base)] for _ in range(regime.base)]
        extra = [arm.strategy[next(more)] for _ in range(regime.added)] if arm.strategy else []
        if not extra:
            steps.append(mean_loss(batch))
        elif not batch or regime.pooled:
            steps.append(mean_loss([*batch, *extra]))
        else:
            steps.append(added(batch, extra, regime.weight))
    return steps


def _drawn(count: int, kind: str, arm: Arm) -> Iterator[int]:
    """Positions in random order, all of them before any comes again."""
    rng = stream("truth", kind, arm.regime.name, arm.seed)
    while count:
        yield from rng.permutation(count).tolist()


def run_arm(model: nn.Module, arm: Arm, queries: Sequence[Tokens], own: Own) -> Answers:
    """Train `model` from where it stands, ask the queries, and give its weights back.

    A regime without base examples has no base arm to train: its queries are asked at the start. `own` builds
    the run's own optimizer at the checkpoint the model stands at.
    """
    regime = arm.regime
    with restored(model):
        if regime.start == "fresh":
            _make_fresh(model, arm.seed)
        if arm.strategy or regime.base:
            optimizer = own(model) if regime.optimizer == "own" else _optimizer(model, regime)
            take_steps(model, optimizer, steps_of(arm), rates=_rates(regime))
        return answers(model, queries)


def _make_fresh(model: nn.Module, seed: int) -> None:
    """LoRA as it is before training: B = 0, A drawn by the seed."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.reset_lora_parameters("default", True)


def _optimizer(model: nn.Module, regime: Regime) -> torch.optim.Optimizer:
    parameters = list(trained_parameters(model).values())
    if regime.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=regime.learning_rate)
    return torch.optim.AdamW(parameters, lr=regime.learning_rate, weight_decay=0.0)


def _rates(regime: Regime) -> list[float]:
    last = regime.learning_rate if regime.final_rate is None else regime.final_rate
    return [float(rate) for rate in np.linspace(regime.learning_rate, last, regime.steps)]
