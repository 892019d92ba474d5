"""What every script of this example agrees on: the recipe at a tenth of the pool, the arms, who chooses."""

from collections.abc import Mapping
from dataclasses import replace

from setting import recipe as recipe_of_pruning

from assay.models.recipe import FineTuneRecipe
from assay.world import world_recipe

BUDGET = 10
"""Percent of the pool that is kept."""
STEPS = 40
BATCH = 16
"""Every arm takes as many steps of as many examples, whatever it keeps."""
RUN = 11
"""Seed of the run on the whole pool that scores are made from."""
SEEDS = tuple(range(1, 9))
DRAWS = 3
"""Random choices in every seed; their mean is what other arms are held against."""
ANCHORS_PER_TASK = 10
"""Development questions of each task that `nuggets` asks: it needs a pass for every pair."""


def recipe(steps: int = STEPS) -> FineTuneRecipe:
    """The world's recipe on what an arm keeps."""
    return FineTuneRecipe(**world_recipe(batch_size=BATCH, warmup_steps=5, max_steps=steps, save_every=steps))


def recipe_of_run(examples: int) -> FineTuneRecipe:
    """The recipe of `../pruning_world` on the whole pool, with four checkpoints."""
    rule = recipe_of_pruning(RUN, examples)
    assert rule.max_steps is not None
    return replace(rule, save_every=rule.max_steps // 4)


CHOICES: Mapping[str, tuple[str, str, str]] = {
    "length": ("run", "length", "top"),
    "ppl_top": ("run", "ppl_top", "top"),
    "minus_loss": ("run", "minus_loss", "top"),
    "rds": ("run", "rds", "round_robin"),
    "graddot": ("run", "graddot", "top"),
    "gradcos": ("run", "gradcos", "top"),
    "ekfac": ("run", "ekfac", "top"),
    "less": ("run", "less", "top"),
    "ifd": ("context", "ifd", "top"),
    "ici": ("context", "ici", "top"),
    "wici": ("context", "wici", "top"),
    "wici_nearest": ("context", "wici_nearest", "top"),
    "wici_diverse": ("context", "wici", "diverse"),
    "nuggets": ("anchors", "nuggets", "top"),
    "wici_run": ("context_run", "wici", "top"),
    "wici_length": ("context_length", "wici", "top"),
}
"""Of every arm that goes by scores: folder of scores, method and rule."""
AFTERWARDS = ("wici_run", "wici_length")
"""Arms that were thought of when the others had been seen; they are not among those that Holm counts."""
PARTS = tuple(dict.fromkeys(part for part, _, _ in CHOICES.values()))
