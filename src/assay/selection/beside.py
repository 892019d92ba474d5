"""How much of a selection other choices of the same size would have kept, too. Knows no rules.

A choice is named by a word: "random", "longest", "shortest", or "highest", "lowest" or "middle" with a column
of scores ("highest:perplexity").
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.errors import ConfigError
from assay.selection.orders import best_first, chosen
from assay.selection.result import Overlap

ENDS = ("highest", "lowest", "middle")


def overlaps(
    kept: Bool[np.ndarray, "n"],
    tokens: Int[np.ndarray, "n"],
    scores: Mapping[str, Float[np.ndarray, "n"]],
    choices: Sequence[str],
) -> tuple[Overlap, ...]:
    """Each choice beside what was kept: the share of the kept that it would keep, and what chance would give.

    All choices keep as many candidates as were kept (fewer where fewer have a score); by chance m of n
    candidates hold m/n of any set. "random" is that expectation itself. Raises ConfigError for another word.
    """
    size = int(kept.sum())
    return tuple(_beside(word, kept, _choice(word, tokens, scores, size)) for word in choices)


def usual_choices(scores: Mapping[str, object], order: Sequence[str]) -> tuple[str, ...]:
    """Random, both ends of length, and the highest of every column that did not decide."""
    return ("random", "longest", "shortest", *(f"highest:{name}" for name in scores if name not in order))


def _beside(word: str, kept: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "n"] | None) -> Overlap:
    size = int(kept.sum())
    if other is None:
        return Overlap(word, size / len(kept), size / len(kept))
    return Overlap(word.replace(":", " "), float((kept & other).sum()) / size, float(other.sum()) / len(kept))


def _choice(
    word: str, tokens: Int[np.ndarray, "n"], scores: Mapping[str, Float[np.ndarray, "n"]], size: int
) -> Bool[np.ndarray, "n"] | None:
    """The candidates that a choice keeps; None for the mean over all random choices."""
    end, _, name = word.partition(":")
    if word == "random":
        return None
    if word in ("longest", "shortest"):
        values = tokens.astype(np.float64) * (1 if word == "longest" else -1)
    elif end in ENDS and name in scores:
        values = scores[name] if end != "lowest" else -scores[name]
    else:
        raise ConfigError(
            f"There is no choice {word!r} to compare with; give random, longest, shortest, or highest:NAME, "
            f"lowest:NAME or middle:NAME with one of {', '.join(scores)}."
        )
    order = best_first(values)
    first = max(0, len(order) - size) // 2 if end == "middle" else 0
    return chosen(order[first : first + size], len(tokens))
