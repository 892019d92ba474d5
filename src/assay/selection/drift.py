"""What a selection changes besides scores: lengths, tasks and sources before and after. Knows no rules."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from assay.data.coded import Coded
from assay.selection.result import QUANTILES, Drift, Lengths, Pool, Share


def drift_of(pool: Pool, kept: Bool[np.ndarray, "n"]) -> Drift:
    """Learned tokens of the pool, of kept and of dropped; tasks and source files before and after."""
    return Drift(
        _lengths(pool.tokens),
        _lengths(pool.tokens[kept]),
        _lengths(pool.tokens[~kept]),
        _shares(pool.tasks, kept),
        _shares(pool.files, kept),
    )


def drift_sentences(drift: Drift) -> tuple[str, ...]:
    """What a person should know of it in words."""
    said = [
        f"Completions kept have {drift.kept.mean:,.1f} learned tokens on average, those dropped "
        f"{drift.dropped.mean:,.1f}, the whole pool {drift.whole.mean:,.1f}."
        if drift.dropped.candidates
        else f"Completions have {drift.whole.mean:,.1f} learned tokens on average; nothing was dropped."
    ]
    for noun, shares in (("task", drift.tasks), ("source", drift.sources)):
        gone = [str(share.name) for share in shares if share.before and not share.after]
        if gone:
            more = f" and {len(gone) - 5:,} more" if len(gone) > 5 else ""
            said.append(f"Nothing is kept of {noun} {', '.join(gone[:5])}{more}.")
    return tuple(said)


def _lengths(tokens: Int[np.ndarray, "m"]) -> Lengths:
    if not len(tokens):
        return Lengths(0, float("nan"), (float("nan"),) * len(QUANTILES))
    return Lengths(
        len(tokens), float(tokens.mean()), tuple(float(value) for value in np.quantile(tokens, QUANTILES))
    )


def _shares(names: Sequence[str | None], kept: Bool[np.ndarray, "n"]) -> tuple[Share, ...]:
    labels = Coded.of(names)
    before, after = (
        np.bincount(codes, minlength=len(labels.names)).tolist()
        for codes in (labels.codes, labels.codes[kept])
    )
    n, k = max(1, len(names)), max(1, int(kept.sum()))
    rows = zip(labels.names, before, after, strict=True)
    return tuple(Share(name, all_, left, all_ / n, left / k) for name, all_, left in rows)
