"""What every script of this example agrees on: the pool's kinds, the questions, the recipe, the arms."""

import json
from collections.abc import Mapping
from pathlib import Path

from assay.data.example import Example, Message, Source, Tokens
from assay.data.render import tokenize_all
from assay.models.recipe import FineTuneRecipe
from assay.world import world_recipe

PER_TASK = 64
DATA_SEED = 7
KINDS: Mapping[str, int] = {
    "cot": 30,
    "direct": 21,
    "wrong": 4,
    "reason_wrong": 3,
    "reason_other": 2,
    "reason_mixed": 1,
    "duplicate": 1,
    "random": 1,
    "echo": 1,
}
"""Candidates of each task, by kind; together PER_TASK. All but the first two are planted defects."""
CLEAN = ("cot", "direct")
QUESTIONS_PER_TASK = 30
"""Of each form (`cot` asks to think step by step, `direct` does not); as many again for the test."""
FORMS = ("direct", "cot")
MOST_TOKENS = 40
"""The longest answer that is waited for; the longest right one has 32."""
BUDGETS = (90, 50)
"""Percent of the pool that is kept."""
INFLUENCE = ("correct", "incorrect", "combined")
ALL_WRONG = ("incorrect_all", "combined_all")
"""The same with every question in I that the fine-tuned model answers wrongly."""
BESIDE = {
    "ppl_mid": ("ppl_mid", "top"),
    "rds": ("rds", "round_robin"),
    "minus_loss": ("minus_loss", "trim"),
}
"""Method and rule of the choices that influence is compared with; `minus_loss` drops the highest losses."""
RUNS = (11, 12)
"""Seeds of the runs on the whole pool that scores are made from."""
SEEDS = tuple(range(1, 9))
PASSES = 4
BATCH = 32


def recipe(seed: int, examples: int) -> FineTuneRecipe:
    """The world's recipe, shorter: so many passes, whatever the number of examples; only the end is saved."""
    steps = PASSES * -(-examples // BATCH)
    return FineTuneRecipe(
        **world_recipe(batch_size=BATCH, warmup_steps=5, max_steps=steps, save_every=steps, seed=seed)
    )


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_examples(path: Path) -> list[Example]:
    return [
        Example(
            id=row["id"],
            messages=tuple(Message(one["role"], one["content"]) for one in row["messages"]),
            source=Source(path.name, number),
            task=row["task"],
        )
        for number, row in enumerate(read_rows(path), start=1)
    ]


def tokens_of(examples: list[Example], tokenizer) -> list[Tokens]:
    """Ids and loss weights, in the same order."""
    found = tokenize_all(examples, tokenizer)
    assert len(found.tokens) == len(examples), found.rejects
    return list(found.tokens)
