"""Methods that let a model read instead of train: what a candidate, shown as a demonstration, does to others.

Perplexities are those of an example's learned tokens, three ways: alone, given its own prompt, and shown,
which is given its prompt behind a whole demonstration. Where one of them is not known a score is NaN, unless
a departure of the public code is asked for by name.

Sign: positive influence means that the demonstration makes its queries easier. `ifd` and `complexity` have no
zero and no side that helps; higher is harder.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from assay.methods.method import InContext, Measured, Method


def difficulty(m: Measured) -> Float[np.ndarray, "n"]:
    """IFD(z) = PPL(y | x) / PPL(y); 0 for a failed forward under "failed-as-zero"."""
    c = m.in_context()
    ifd = ratio(c.of("given"), c.of("alone"))
    failed: Bool[np.ndarray, "n"] = np.isnan(c.of("given")) & ~np.isnan(c.of("alone"))
    return _failed_as_zero(ifd, failed, c)


def influences(c: InContext) -> Float[np.ndarray, "n m"]:
    """ICI(a→b) = IFD(b) − IFD(b | a), with IFD(b | a) = PPL(y_b | a, x_b) / PPL(y_b)."""
    before = ratio(c.of("query_given"), c.of("query_alone"))
    after = ratio(c.of("shown"), c.of("query_alone"))
    return np.asarray(before - _failed_as_zero(after, _failed(c), c))


def weights(c: InContext) -> Float[np.ndarray, "n m"]:
    """(1 − cos(f(x_a), f(x_b))) / 2, from 0 for the same direction to 1 for the opposite one."""
    return (1 - c.of("cosine")) / 2


def plain_mean(m: Measured) -> Float[np.ndarray, "n"]:
    """Mean of ICI(a→b) over the queries b at which it is finite."""
    c = m.in_context()
    ici = influences(c)
    return _mean(ici, ici, c)


def weighted_mean(m: Measured) -> Float[np.ndarray, "n"]:
    """Mean of (1 − cos(f(x_a), f(x_b)))/2 · ICI(a→b) over the queries b at which it is finite."""
    c = m.in_context()
    ici = influences(c)
    return _mean(weights(c) * ici, ici, c)


def eased(m: Measured) -> Float[np.ndarray, "n q"]:
    """1 where the demonstration lowers the perplexity of the query, else 0; NaN where it is not known."""
    c = m.in_context()
    shown, given = c.of("shown"), c.of("query_given")
    found = np.where(np.isnan(shown) | np.isnan(given), np.nan, (shown < given).astype(np.float64))
    failed = _failed(c) & ~np.isnan(given)
    return np.where(failed, 1.0, found) if "failed-as-zero" in c.departures else found


def complexity(m: Measured) -> Float[np.ndarray, "n"]:
    """As it was measured."""
    return m.in_context().of("complexity")


def ratio(above: Float[np.ndarray, "..."], below: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Ratio of two perplexities given as nats per token; NaN where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.exp(above - below)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _failed(c: InContext) -> Bool[np.ndarray, "n m"]:
    """Where a forward was made and its result was not finite."""
    shown = c.of("shown")
    return np.zeros(shown.shape, dtype=bool) if c.failed is None else np.asarray(c.failed, dtype=bool)


def _failed_as_zero(
    ifd: Float[np.ndarray, "..."], failed: Bool[np.ndarray, "..."], c: InContext
) -> Float[np.ndarray, "..."]:
    return np.where(failed, 0.0, ifd) if "failed-as-zero" in c.departures else ifd


def _mean(
    terms: Float[np.ndarray, "n m"], ici: Float[np.ndarray, "n m"], c: InContext
) -> Float[np.ndarray, "n"]:
    """Mean of the terms that are finite, NaN where none is.

    Under "positive-only" over those whose ICI is above 0; 0 for a candidate that was measured and helps none.
    """
    known = np.isfinite(terms)
    counted = known & (ici > 0) if "positive-only" in c.departures else known
    count = counted.sum(axis=1)
    total = np.where(counted, terms, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(count, 1), np.nan)


WICI = Method(
    name="wici",
    title="Weighted in-context influence",
    formula="mean over b in B_a of (1 − cos(f(x_a), f(x_b)))/2 · (IFD(b) − IFD(b after a))",
    source="arXiv 2604.25132; B_a: 32 nearest prompts, 5 clusters, the most complex of each",
    needs="one checkpoint or a bare model",
    cost="4 forward passes of the pool, and each candidate's 5 queries once more behind it",
    good_for="demonstrations that make unlike neighbours easier; choose by it with --rule diverse",
    measure="in_context",
    per_query=False,
    checkpoints="last",
    score=weighted_mean,
    by_candidate=True,
)

ICI = replace(
    WICI,
    name="ici",
    title="In-context influence",
    formula="mean over b in B_a of IFD(b) − IFD(b after a)",
    source="arXiv 2604.25132, without its weights",
    good_for="what the weights of wici add: the same, neighbours counting alike",
    score=plain_mean,
)

WICI_NEAREST = replace(
    WICI,
    name="wici_nearest",
    title="Weighted in-context influence on the nearest",
    formula="as wici, B_a the 5 nearest prompts",
    source="arXiv 2604.25132, its ablation without clusters",
    good_for="what the clusters and the complexity of wici add",
    measure="in_context_nearest",
)

IFD = Method(
    name="ifd",
    title="Instruction-following difficulty",
    formula="PPL(y given x) / PPL(y)",
    source="Li et al. 2024, arXiv 2308.12032",
    needs="one checkpoint or a bare model",
    cost="2 forward passes of the pool",
    good_for="how little a prompt helps: higher is harder, above 1 are pairs that do not belong together",
    measure="ifd",
    per_query=False,
    checkpoints="last",
    score=difficulty,
    by_candidate=True,
)

NUGGETS = Method(
    name="nuggets",
    title="NUGGETS",
    formula="1 if PPL(y_q given z, x_q) < PPL(y_q given x_q), else 0",
    source="Li et al. 2024, arXiv 2312.10302",
    needs="one checkpoint or a bare model, queries",
    cost="1 forward pass of every query after every candidate",
    good_for="the share of your own queries that a demonstration makes easier; dear with many queries",
    measure="shown",
    per_query=True,
    checkpoints="last",
    score=eased,
)

COMPLEXITY = Method(
    name="complexity",
    title="Complexity",
    formula="Σ_k k · p(k given x) over the grades 1 to 6 of a scorer, or IFD, or n_z (--complexity)",
    source="Liu et al. 2024, arXiv 2312.15685 (DEITA)",
    needs="one checkpoint or a bare model; a scorer where one is named",
    cost="1 forward pass of the pool's prompts by the scorer, or what ifd costs, or none",
    good_for="hard instructions first; the yardstick that in-context influence is held against",
    measure="complexity",
    per_query=False,
    checkpoints="last",
    score=complexity,
    by_candidate=True,
)

ROWS = (WICI, ICI, WICI_NEAREST, IFD, NUGGETS, COMPLEXITY)
