"""What every script of this example agrees on: the pool's kinds, the queries, the recipe, and where files
lie."""

import json
from collections.abc import Mapping
from pathlib import Path

from assay.data.example import Example, Message, Source
from assay.data.render import tokenize_all
from assay.models.loading import load_tokenizer
from assay.models.recipe import FineTuneRecipe
from assay.world import base_model_path, world_recipe

BASE_MODEL = str(base_model_path(0))
PER_TASK = 32
QUERIES_PER_TASK = 8
DATA_SEED = 5
KINDS: Mapping[str, int] = {
    "direct": 18,
    "cot": 2,
    "wrong": 4,
    "reason_other": 1,
    "reason_mixed": 1,
    "reason_wrong": 1,
    "duplicate": 2,
    "random": 2,
    "echo": 1,
}
"""Candidates of each task, by kind; together PER_TASK."""
CLEAN = ("direct", "cot")
PLANTED: Mapping[str, tuple[str, ...]] = {
    "flipped": ("wrong",),
    "reasoning": ("reason_other", "reason_mixed", "reason_wrong"),
    "garbage": ("random", "echo"),
    "duplicates": ("duplicate",),
}
SUBSETS = 100
SEEDS = (1, 2)


def recipe(seed: int, examples: int) -> FineTuneRecipe:
    """The world's recipe, shorter: 2 passes in batches of 16, 4 checkpoints."""
    steps = 2 * -(-examples // 16)
    return FineTuneRecipe(
        **world_recipe(batch_size=16, warmup_steps=5, max_steps=steps, save_every=steps // 4, seed=seed)
    )


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_tokens(path: Path) -> list:
    """The examples of a file as ids and loss weights, in the order of the file."""
    examples = [
        Example(
            id=row["id"],
            messages=tuple(Message(one["role"], one["content"]) for one in row["messages"]),
            source=Source(path.name, number),
            task=row["task"],
        )
        for number, row in enumerate(read_rows(path), start=1)
    ]
    found = tokenize_all(examples, load_tokenizer([BASE_MODEL]))
    assert len(found.tokens) == len(examples), found.rejects
    return list(found.tokens)
