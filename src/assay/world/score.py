"""How many answers the world's model gets right; `python -m assay.world.score --out DIR` fine-tunes it first.

An answer is right if every token of it is the likeliest one; that takes one forward pass and agrees with
greedy generation up to ties.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from torch import nn

from assay.data.example import Example, Tokens
from assay.data.render import tokenize_all
from assay.lookahead.losses import answers
from assay.models.loading import load_tokenizer
from assay.models.recipe import FineTuneRecipe, fine_tune
from assay.models.session import Session
from assay.models.trajectory import Checkpoint, Trajectory
from assay.world.examples import base_examples, query_examples
from assay.world.recipe import world_recipe
from assay.world.shipped import base_model_path
from assay.world.words import make_world

log = logging.getLogger(__name__)


def right_answers(
    model: nn.Module, tokens: Sequence[Tokens], token_budget: int = 8192
) -> Bool[np.ndarray, "n"]:
    """Whether every learned token of an example is the model's likeliest, given the true ones before it."""
    return answers(model, tokens, token_budget).right


def accuracy_by_task(
    model: nn.Module, examples: Sequence[Example], tokens: Sequence[Tokens]
) -> Mapping[str | None, float]:
    """The share of right answers of each task, tasks in the order of their first example."""
    right = right_answers(model, tokens)
    tasks = [example.task for example in examples]
    return {
        task: float(np.mean(right[[i for i, other in enumerate(tasks) if other == task]]))
        for task in dict.fromkeys(tasks)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune the world's base model and count right answers.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--base", type=Path, default=None, help="base model, by default the shipped one")
    parser.add_argument("--world", type=int, default=0, help="seed of the world that the base model speaks")
    parser.add_argument("--seed", type=int, default=0, help="of the problems and the fine-tuning")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    base = str(options.base or base_model_path(options.world))
    world = make_world(options.world)
    tokenizer = load_tokenizer([base])
    training = tokenize_all(base_examples(seed=options.seed, world=world), tokenizer).tokens
    queries = query_examples(per_task=64, seed=options.seed, world=world)
    query_tokens = tokenize_all(queries, tokenizer).tokens
    recipe = FineTuneRecipe(**world_recipe(seed=options.seed))
    tuned = fine_tune(base, training, options.out, recipe, tokenizer=tokenizer)
    before = Trajectory((Checkpoint("base", base, "base"),), base)
    for trajectory in (before, tuned):
        session = Session.open(trajectory)
        for checkpoint in trajectory.checkpoints:
            scores = accuracy_by_task(session.at(checkpoint), queries, query_tokens)
            by_task = ", ".join(f"{task} {score:.2f}" for task, score in scores.items())
            log.info("%s: mean %.3f; %s", checkpoint.name, np.mean(list(scores.values())), by_task)


if __name__ == "__main__":
    main()
