"""The steps of a training on some of the pool. Knows no arms."""

from collections.abc import Sequence

from assay.data.example import Tokens
from assay.lookahead.steps import Step, mean_loss
from assay.streams import stream


def steps_of(
    pool: Sequence[Tokens], kept: Sequence[bool], seed: int | str, batch: int, count: int
) -> list[Step]:
    """`count` batches of passes over what is kept, the last of a pass smaller; each pass in the order of the
    whole pool with what was dropped left out, so that the arms of a seed share their orders."""
    rng = stream("tenth_world", "passes", seed)
    found: list[Step] = []
    while len(found) < count:
        order = [at for at in rng.permutation(len(pool)).tolist() if kept[at]]
        found += [mean_loss([pool[at] for at in order[i : i + batch]]) for i in range(0, len(order), batch)]
    return found[:count]
