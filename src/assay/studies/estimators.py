"""The ways to turn gradient products into one number per context: a table, one row per estimator.

Sign of every row: positive means that training on the probes lowers the loss of the queries. Every row gives
the contributions of pairs of tasks, from which an estimate, its leave-one-task-out values and its bootstrap
follow. Notation: z probe, q query, g gradient summed over completion tokens, n completion tokens. Knows no
checkpoints, no intervals and no verdicts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.errors import ConfigError
from assay.studies.cells import Slice, inverse
from assay.studies.contributions import CellMedian, CellRatio, Contributions


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What is known of every pair; probes stand in a column, queries in a row."""

    dot: Float[np.ndarray, "p q"]
    probe_sqnorm: Float[np.ndarray, "p 1"]
    query_sqnorm: Float[np.ndarray, "1 q"]
    probe_tokens: Int[np.ndarray, "p 1"]
    query_tokens: Int[np.ndarray, "1 q"]


@dataclass(frozen=True, slots=True)
class Estimator:
    """One row: `unit` completes "a level of 0.41 …".

    `pair` is the value of one probe-query pair, for an estimator that is a mean over pairs. `gradient` is
    False for the baseline that needs none; `divides_by_query` marks a mean of ratios whose denominators
    ‖g_q‖² may vanish; `needs_gram` one that needs the products within a set.
    """

    name: str
    title: str
    formula: str
    source: str
    unit: str
    compute: Callable[[Slice], Contributions]
    pair: Callable[[Pairs], Float[np.ndarray, "p q"]] | None = None
    gradient: bool = True
    divides_by_query: bool = False
    needs_gram: bool = False


def _relinf(s: Slice) -> Contributions:
    return s.cell_means(s.dots() * inverse(s.query_sqnorm))


def _ratio_of_sums(s: Slice) -> Contributions:
    per_pair = inverse(s.cell_pairs)
    return CellRatio(
        s.cell_sums(s.dots()) * per_pair,
        s.cell_sums(s.pairs * s.query_sqnorm) * per_pair,
    )


def _median(s: Slice) -> Contributions:
    values = s.dots() * inverse(s.query_sqnorm) * inverse(s.pairs)
    weights = np.where(s.pairs > 0, s.query_weights[:, None, :], 0.0)
    everything = np.zeros_like(weights)
    for task in range(s.k):
        queries = s.query_tasks == task
        mine = weights[:, :, queries]
        everything[:, :, queries] = mine * inverse(mine.sum(-1, keepdims=True))
    return CellMedian(values, everything, s.query_tasks)


def _pair_cosine(s: Slice) -> Contributions:
    return s.cell_means(s.dots("per gradient norm") * inverse(np.sqrt(s.query_sqnorm)))


def _cosine_of_means(s: Slice) -> Contributions:
    if s.probe_mean_sqnorm is None or s.query_mean_sqnorm is None:
        raise ConfigError("cosine_of_means needs the products within each set, which were not measured.")
    means = s.cell_means(s.dots())
    norms = np.sqrt(s.probe_mean_sqnorm[:, :, None] * s.query_mean_sqnorm[:, None, :])
    return CellRatio(means.numerator * inverse(norms), means.denominator)


def _relinf_per_token(s: Slice) -> Contributions:
    return s.cell_means(s.dots("per token") * s.query_tokens * inverse(s.query_sqnorm))


def _dot(s: Slice) -> Contributions:
    return s.cell_means(s.dots())


def _dot_per_probe_token(s: Slice) -> Contributions:
    return s.cell_means(s.dots("per token"))


def _minus_probe_loss(s: Slice) -> Contributions:
    filled = (s.cell_pairs > 0).astype(float)
    return CellRatio(-s.probe_task_means(s.probe_loss_per_token)[:, :, None] * filled, filled)


_ROWS = (
    Estimator(
        name="relinf",
        title="Relative influence",
        formula="mean ⟨g_z, g_q⟩ / ‖g_q‖²",
        source="Peng et al. 2025, arXiv 2502.13514, Eq. 3 to 5",
        unit="of training on the query itself",
        compute=_relinf,
        pair=lambda z: z.dot * inverse(z.query_sqnorm),
        divides_by_query=True,
    ),
    Estimator(
        name="ratio_of_sums",
        title="Ratio of sums",
        formula="Σ ⟨g_z, g_q⟩ / Σ ‖g_q‖²",
        source="the ratio estimator of survey sampling, on Eq. 3 of arXiv 2502.13514",
        unit="of training on the queries themselves",
        compute=_ratio_of_sums,
    ),
    Estimator(
        name="median",
        title="Median over queries",
        formula="median_q ⟨mean_z g_z, g_q⟩ / ‖g_q‖²",
        source="Eq. 3 of arXiv 2502.13514, made robust to vanishing ‖g_q‖",
        unit="of training on the query itself, for the middle query",
        compute=_median,
    ),
    Estimator(
        name="pair_cosine",
        title="Cosine of pairs",
        formula="mean ⟨g_z, g_q⟩ / (‖g_z‖ ‖g_q‖)",
        source="GradCos; Xia et al. 2024, arXiv 2402.04333, for one checkpoint",
        unit="(cosine)",
        compute=_pair_cosine,
        pair=lambda z: z.dot * inverse(np.sqrt(z.probe_sqnorm)) * inverse(np.sqrt(z.query_sqnorm)),
    ),
    Estimator(
        name="cosine_of_means",
        title="Cosine of mean gradients",
        formula="mean over task pairs of cos(mean_z g_z, mean_q g_q)",
        source="GradCos between the mean gradients of tasks",
        unit="(cosine of mean gradients)",
        compute=_cosine_of_means,
        needs_gram=True,
    ),
    Estimator(
        name="relinf_per_token",
        title="Relative influence per token",
        formula="mean ⟨g_z, g_q⟩ n_q / (n_z ‖g_q‖²)",
        source="Eq. 3 of arXiv 2502.13514 on token-mean losses",
        unit="of training on the query itself, token for token",
        compute=_relinf_per_token,
        pair=lambda z: z.dot * z.query_tokens * inverse(z.query_sqnorm) / z.probe_tokens,
        divides_by_query=True,
    ),
    Estimator(
        name="dot",
        title="Inner product",
        formula="mean ⟨g_z, g_q⟩",
        source="Pruthi et al. 2020, arXiv 2002.08484 (TracIn), for one checkpoint and unit learning rate",
        unit="nats per unit of learning rate",
        compute=_dot,
        pair=lambda z: z.dot,
    ),
    Estimator(
        name="dot_per_probe_token",
        title="Inner product per probe token",
        formula="mean ⟨g_z, g_q⟩ / n_z",
        source="TracIn on the probe's token-mean loss",
        unit="nats per unit of learning rate and probe token",
        compute=_dot_per_probe_token,
        pair=lambda z: z.dot / z.probe_tokens,
    ),
    Estimator(
        name="minus_probe_loss",
        title="Minus probe loss",
        formula="−mean ℓ(z) / n_z",
        source="the baseline without gradients: what the model already finds likely",
        unit="nats per token",
        compute=_minus_probe_loss,
        gradient=False,
    ),
)

ESTIMATORS: dict[str, Estimator] = {row.name: row for row in _ROWS}
BASELINE = "minus_probe_loss"
PUBLISHED = "relinf"
DEFAULT_ESTIMATOR = "pair_cosine"
"""What verdicts rest on: chosen on the development half of the truth benchmark (docs/decisions.md)."""


def estimator_named(name: str) -> Estimator:
    """The row called `name`, for verdicts to rest on; ConfigError names the rows there are.

    The baseline is refused: a loss lies on one side of 0 whatever the data does, so it could only say harm.
    """
    if name == BASELINE:
        raise ConfigError(
            f"{name} has no 0 to help or harm against, so no verdict can rest on it; it stands beside every "
            "other estimator in the report."
        )
    if name not in ESTIMATORS:
        choice = ", ".join(row for row in ESTIMATORS if row != BASELINE)
        raise ConfigError(f"There is no estimator {name!r}; choose one of {choice}.")
    return ESTIMATORS[name]
