"""How long a kind of pass will take and what it holds, as sentences said before it begins.

A batch is timed, the longest of a sample, so that what does not fit into memory fails here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.runs.durations import duration_words, size_words


@dataclass(frozen=True, slots=True)
class Passes:
    """What is to come of one kind, by the name of a checkpoint: `tokens` of candidates still to be measured,
    and `besides`, those of queries and of curvatures."""

    tokens: Mapping[str, float]
    besides: Mapping[str, float]


def seconds_per_token(
    sample: Sequence[Tokens], token_budget: int, run: Callable[[list[Tokens]], object]
) -> float:
    """By `run` on the batch with the longest of `sample`, after another one to warm up."""
    rows = token_budget_batches([len(one) for one in sample], token_budget)
    seconds = 0.0
    for chosen in (rows[-1], rows[0]):
        batch = [sample[row] for row in chosen]
        start = time.perf_counter()
        run(batch)
        seconds = time.perf_counter() - start
    return seconds / max(1, sum(len(sample[row]) for row in rows[0]))


def said(kind: str, passes: Passes, seconds: float, size: float, what: str) -> str:
    """A sentence for `seconds` a token and `size` bytes of `what`: for one checkpoint, and for all."""
    each = [seconds * (passes.tokens[name] + passes.besides.get(name, 0)) for name in passes.tokens]
    over = f"{kind}: {sum(passes.tokens.values()):,.0f} tokens of candidates"
    if len(each) > 1:
        first = f"about {duration_words(each[0])} for the first, {duration_words(sum(each))} for all"
        over, times = f"{over} at {len(each)} checkpoints", first
    else:
        times = f"about {duration_words(sum(each))}"
    return f"{over}: {times}, {size_words(size)} for {what}, besides model and activations."
