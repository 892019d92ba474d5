"""‖mean gradient of a task‖² from the products within a set. Knows no estimators."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from assay.errors import NumericsError
from assay.studies.cells import inverse
from assay.studies.layout import members


def mean_sqnorms(
    gram: Float[np.ndarray, "n n"],
    labels: Sequence[str | None],
    tasks: Int[np.ndarray, "n"],
    weights: Float[np.ndarray, "b n"],
    k: int,
    *,
    of_task_means: bool,
) -> Float[np.ndarray, "b k"]:
    """‖Σ w_i g_i / Σ w_i‖² for every weighting and task; 0 where a task has no example.

    `gram` holds products of examples, or of the means of tasks in sorted order (`of_task_means`, of the large
    sets of a study alone). The means of tasks cannot be reweighted from within: then only the weight of whole
    tasks enters.
    """
    order = sorted(set(labels), key=lambda label: label or "")
    if gram.shape[0] == len(labels):
        rows = np.arange(len(labels))
    elif of_task_means and gram.shape[0] == len(order):
        place = {label: row for row, label in enumerate(order)}
        rows = np.array([place[label] for label in labels])
    else:
        raise NumericsError(
            f"The products within a set have {gram.shape[0]} rows, but the set has {len(labels)} examples "
            f"of {len(order)} tasks."
        )
    out = np.zeros((len(weights), k))
    for task, examples in enumerate(members(tasks, k)):
        if len(examples) == 0:
            continue
        used, column = np.unique(rows[examples], return_inverse=True)
        spread = np.zeros((len(examples), len(used)))
        spread[np.arange(len(examples)), column] = 1.0
        shares = weights[:, examples] @ spread
        shares = shares * inverse(shares.sum(-1, keepdims=True))
        out[:, task] = np.einsum("bi,bi->b", shares @ gram[np.ix_(used, used)], shares)
    return np.maximum(out, 0.0)
