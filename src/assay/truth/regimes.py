"""The ways in which the truth benchmark really trains on a strategy. A table; knows nothing of models.

The true effect of a strategy is the query loss after training on base examples minus that after training on
the same base examples, in the same batches and order and with the same weights, with the strategy added.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Regime:
    """One way of training.

    Every step learns from `base` base examples and `added` examples of the strategy; the base's loss is the
    mean over its learned tokens, and the strategy's mean is added with `weight` (or, if `pooled`, one mean is
    taken over the learned tokens of both). `start` is a checkpoint of a fine-tuning run of its own seed:
    "fresh" adapters, its "middle", its "end", or "spread", which is each of the checkpoints a lookahead
    starts from, in turn; the effect is then the mean over them. The optimizer is SGD, Adam without state, or
    the run's "own" with its state. `final_rate` is reached linearly at the last step. `long` regimes are run
    for fewer strategies. Predictions are ranked by all regimes but those not `ranked`.
    """

    name: str
    what: str
    start: Literal["fresh", "middle", "end", "spread"]
    optimizer: Literal["sgd", "adam", "own"]
    learning_rate: float
    steps: int
    base: int
    added: int
    weight: float = 1.0
    pooled: bool = False
    final_rate: float | None = None
    long: bool = False
    ranked: bool = True


AHEAD = "ahead"
"""Steps as a lookahead's (`lookahead.plan`, an eighth of the peak rate), with the truth's own seeds, runs,
examples and queries: the regime whose true effects are what the intervals of a lookahead speak of. It is not
ranked, for ranks in it would flatter the predictor that steps alike."""

_ROWS = (
    Regime("sgd", "8 small steps of SGD from the middle", "middle", "sgd", 0.05, 8, 8, 8),
    Regime("adam", "8 small steps of Adam from the middle", "middle", "adam", 2e-4, 8, 8, 8),
    Regime("alone", "32 steps from the middle, the strategy alone", "middle", "adam", 1e-3, 32, 0, 8),
    Regime("middle", "30 steps with base, from the middle", "middle", "own", 2e-3, 30, 8, 8),
    Regime("end", "30 steps with base, after the end", "end", "adam", 5e-4, 30, 8, 8),
    Regime("pooled", "as middle, one mean over all tokens", "middle", "own", 2e-3, 30, 8, 8, pooled=True),
    Regime(
        "retrained",
        "240 steps with base, from the start",
        "fresh",
        "adam",
        4e-3,
        240,
        8,
        8,
        final_rate=4e-5,
        long=True,
    ),
    Regime(AHEAD, "as a lookahead steps", "spread", "own", 5e-4, 20, 8, 8, ranked=False),
)

REGIMES: dict[str, Regime] = {regime.name: regime for regime in _ROWS}
