"""Methods that compare gradients: plain, as Adam would step along them, or under an inverse curvature.

H is a curvature of the loss in factors (EK-FAC, K-FAC) or its diagonal; Γ(z) is the step that Adam would take
on z alone with the moments of the checkpoint. How they are found is not known here. Where a norm is zero a
ratio is undefined and NaN.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from assay.methods.method import Measured, Method


def dot(m: Measured) -> Float[np.ndarray, "n q"]:
    """⟨·, ·⟩ as the measure has it."""
    return m.array("dot")


def cosine(m: Measured) -> Float[np.ndarray, "n q"]:
    """⟨z, q⟩ / (‖z‖ ‖q‖), the norm of z that of the measure, the norm of q that of the plain gradient."""
    by_candidate = over(dot(m), np.sqrt(m.array("sqnorm"))[:, None])
    return over(by_candidate, np.sqrt(m.array("query_sqnorm"))[None, :])


def relative(m: Measured) -> Float[np.ndarray, "n q"]:
    """⟨g_z, g_q⟩ / ‖g_q‖²."""
    return over(dot(m), m.array("query_sqnorm")[None, :])


def squared_norm(m: Measured) -> Float[np.ndarray, "n"]:
    """‖z‖² as the measure has it."""
    return m.array("sqnorm")


def over(above: Float[np.ndarray, "..."], below: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """above / below, NaN where below is 0."""
    undefined = np.full(above.shape, np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=below > 0))


GRADDOT = Method(
    name="graddot",
    title="Gradient product",
    formula="⟨g_z, g_q⟩",
    source="Pruthi et al. 2020, arXiv 2002.08484 (TracIn), for one checkpoint and unit learning rate",
    needs="one checkpoint, queries",
    cost="1 forward and backward pass of the pool",
    good_for="a first look at what helps and what harms; favours long completions and large gradients",
    measure="gradient",
    per_query=True,
    checkpoints="last",
    score=dot,
)

GRADCOS = replace(
    GRADDOT,
    name="gradcos",
    title="Gradient cosine",
    formula="⟨g_z, g_q⟩ / (‖g_z‖ ‖g_q‖)",
    source="Xia et al. 2024, arXiv 2402.04333, for one checkpoint and without Adam",
    good_for="comparing completions of unequal length; says nothing of how far a step would go",
    score=cosine,
)

RELINF = replace(
    GRADDOT,
    name="relinf",
    title="Relative influence",
    formula="⟨g_z, g_q⟩ / ‖g_q‖²",
    source="Peng et al. 2025, arXiv 2502.13514, Eq. 3",
    good_for="a score as a share of training on the query itself; fragile where ‖g_q‖ nearly vanishes",
    score=relative,
)

TRACIN = replace(
    GRADDOT,
    name="tracin",
    title="TracInCP",
    formula="Σ_k η_k ⟨g_z(θ_k), g_q(θ_k)⟩",
    source="Pruthi et al. 2020, arXiv 2002.08484",
    needs="several checkpoints with their learning rates, queries",
    cost="1 forward and backward pass of the pool at every checkpoint",
    good_for="what a run of plain SGD learned of the query from the candidate",
    checkpoints="all",
    weight="rate",
)

LESS = replace(
    TRACIN,
    name="less",
    title="LESS",
    formula="Σ_k η̄_k cos(Γ_k(z), g_q(θ_k))",
    source="Xia et al. 2024, arXiv 2402.04333",
    needs="several checkpoints with their learning rates and Adam's state (optimizer.pt), queries with tasks",
    good_for="choosing data for target tasks in a run of Adam; a candidate counts by the task it serves best",
    measure="adam",
    rate_over="stretch",
    score=cosine,
    aggregate="max over tasks",
)

LESS_EXACT = replace(
    LESS,
    name="less_exact",
    title="LESS, as published code computes it",
    formula="Σ_k η̄_k cos(Γ'_k(z), g_q(θ_k)), Γ' with ε inside the root and without bias correction",
    good_for="reproducing LESS; otherwise take less",
    measure="adam_exact",
)

EKFAC = replace(
    GRADDOT,
    name="ekfac",
    title="EK-FAC influence",
    formula="⟨g_z, H⁻¹ g_q⟩, H the damped EK-FAC",
    source="Grosse et al. 2023, arXiv 2308.03296; George et al. 2018, arXiv 1806.03884",
    cost="3 forward and backward passes of the pool, 1 once the factors are kept; eigendecompositions",
    good_for="influence on single queries, and pruning by helpful and harmful examples",
    measure="ekfac",
)

KFAC = replace(
    EKFAC,
    name="kfac",
    title="K-FAC influence",
    formula="⟨g_z, H⁻¹ g_q⟩, H the damped K-FAC",
    source="Martens and Grosse 2015, arXiv 1503.05671",
    cost="2 forward and backward passes of the pool, 1 once the factors are kept; eigendecompositions",
    good_for="what EK-FAC adds: the same without its corrected eigenvalues",
    measure="kfac",
)

DIAGONAL = replace(
    EKFAC,
    name="diagonal",
    title="Diagonal influence",
    formula="⟨g_z, H⁻¹ g_q⟩, H the damped diagonal of the Fisher",
    source="Koh and Liang 2017, arXiv 1703.04730, with a diagonal in place of the Hessian",
    cost="2 forward and backward passes of the pool, 1 once the diagonal is kept",
    good_for="what the factors add: a curvature without correlations between parameters",
    measure="diagonal",
)

SELF_INFLUENCE = replace(
    GRADDOT,
    name="self_influence",
    title="Self-influence",
    formula="‖g_z‖²",
    source="Pruthi et al. 2020, arXiv 2002.08484, for one checkpoint",
    needs="one checkpoint",
    good_for="finding mislabelled and odd examples among the highest; not a measure of help",
    per_query=False,
    score=squared_norm,
)

SELF_EKFAC = replace(
    SELF_INFLUENCE,
    name="self_ekfac",
    title="Self-influence under EK-FAC",
    formula="⟨g_z, H⁻¹ g_z⟩ = ‖H^(−1/2) g_z‖²",
    source="Koh and Liang 2017, arXiv 1703.04730; Grosse et al. 2023, arXiv 2308.03296",
    cost=EKFAC.cost,
    good_for="as self_influence, directions that the whole pool shares counting less; not a measure of help",
    measure="ekfac",
)

ROWS = (
    GRADDOT,
    GRADCOS,
    RELINF,
    TRACIN,
    LESS,
    LESS_EXACT,
    EKFAC,
    KFAC,
    DIAGONAL,
    SELF_INFLUENCE,
    SELF_EKFAC,
)
