"""The fine-tuning runs of the benchmark: where the truth starts, and the one predictions are made in."""

from pathlib import Path

from assay.data.render import tokenize_all
from assay.models.loading import load_tokenizer
from assay.models.recipe import FineTuneRecipe, fine_tune
from assay.models.trajectory import Trajectory
from assay.world.examples import base_examples
from assay.world.recipe import world_recipe
from assay.world.words import World


def fine_tune_run(world: World, base_model: Path, folder: Path, seed: int) -> Trajectory:
    """A run of the world's recipe; the seed draws data, order and weights. Found if it is there."""
    tokenizer = load_tokenizer([str(base_model)])
    training = tokenize_all(base_examples(seed=seed, world=world), tokenizer).tokens
    recipe = FineTuneRecipe(**world_recipe(seed=seed))
    return fine_tune(base_model, training, folder, recipe, tokenizer=tokenizer)
