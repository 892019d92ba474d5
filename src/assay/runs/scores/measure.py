"""Measuring a pool at one checkpoint after another: shard by shard, skipped where it is there.

Says what is to come, then calls the passes. Knows nothing of methods or of what the numbers mean.
"""

from collections.abc import Callable, Mapping, Sequence

from assay.models.trajectory import Checkpoint
from assay.runs.scores import ahead, by_gradients, forward, in_context
from assay.runs.scores.measuring import Measuring, Missing, lacking
from assay.runs.scores.needs import BY_GRADIENTS, BY_HIDDEN_STATES, BY_WORDS, IN_CONTEXT, LOSS

Pass = Callable[[Measuring, Checkpoint, Missing, str], None]

FORWARD: tuple[tuple[tuple[str, ...], Pass], ...] = (
    ((LOSS,), forward.losses),
    (BY_HIDDEN_STATES, forward.hidden_states),
    (BY_WORDS, forward.words),
    (IN_CONTEXT, in_context.in_context),
)
"""Kinds of measures that need no gradient, and the pass that gives them."""


def measure_all(run: Measuring, wanted: Mapping[Checkpoint, Sequence[str]]) -> None:
    """Bring every measure of `wanted` into the store.

    Raises NumericsError naming the example whose loss or gradient is not finite, ModelError where Adam's
    moments are not there or not this model's, ConfigError where the memory is too small, ResumeError where
    the store holds measures that depend on something else.
    """
    _prepare(run, wanted)
    for number, (checkpoint, measures) in enumerate(wanted.items(), start=1):
        missing = run.missing(checkpoint, measures)
        if not missing:
            run.say(f"{checkpoint.name}: measured before.")
            continue
        label = f"{checkpoint.name} ({number} of {len(wanted)})"
        if mine := lacking(missing, BY_GRADIENTS):
            by_gradients.measure_by_gradients(run, checkpoint, mine, label)
            missing = run.missing(checkpoint, measures)
        for kinds, passing in FORWARD:
            if mine := lacking(missing, kinds):
                passing(run, checkpoint, mine, label)


def _prepare(run: Measuring, wanted: Mapping[Checkpoint, Sequence[str]]) -> None:
    """Say what is to come at all checkpoints together, and decide what holds for all of them."""
    missing = {one: run.missing(one, measures) for one, measures in wanted.items()}
    gradients: dict[Checkpoint, Missing] = {
        one: mine for one, all_ in missing.items() if (mine := lacking(all_, BY_GRADIENTS))
    }
    if gradients:
        ahead.prepare(run, gradients)
    for kinds, _ in FORWARD:
        coming: dict[Checkpoint, Missing] = {one: lacking(all_, kinds) for one, all_ in missing.items()}
        if kinds == (LOSS,):  # a pass by gradients gives these, too
            coming = {one: _without(mine, gradients.get(one, {})) for one, mine in coming.items()}
        if some := {one: mine for one, mine in coming.items() if mine}:
            (in_context if kinds == IN_CONTEXT else forward).prepare(run, kinds, some)


def _without(missing: Missing, others: Missing) -> Missing:
    return {shard: names for shard, names in missing.items() if shard not in others}
