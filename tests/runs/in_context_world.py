"""The embedded world's base model, taught to answer in the format of a demonstration, and pools for it.

The shipped base has read one document at a time, so nothing it is shown first helps it. A few dozen steps on
pairs whose answers share a format make it a reader of demonstrations.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from assay.models.loading import quiet
from assay.world import base_model_path, make_world
from assay.world.examples import references
from assay.world.problem import Problem
from assay.world.splits import Split
from tests.runs.lab import write_rows

TASKS = ("add", "max", "topic")
SURE = "sure,"
FORMATS = (SURE, "well,", "yes,")
GARBLED = "is of so no a to"
STEPS, BATCH, RATE = 40, 16, 2e-3


def turns_of(problem: Problem, kind: str, rng: np.random.Generator) -> list[dict[str, str]]:
    """The problem answered in a format, or plainly; or in place of both turns random words."""
    asked, said = problem.query, problem.answer if kind == "plain" else f"{kind} {problem.answer}"
    if kind == "garbage":
        vocabulary = make_world().vocabulary
        drawn = [vocabulary[i] for i in rng.integers(len(vocabulary), size=12)]
        asked, said = " ".join(drawn[:6]), " ".join(drawn[6:])
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def problems(split: Split, count: int, seed: int = 11) -> list[Problem]:
    """So many of every task."""
    world = make_world()
    return [problem for task in TASKS for problem in references(task, count, seed, split, world)]


def reader(folder: Path) -> Path:
    """The model and its tokenizer: formats are kept, garbage is kept, plain answers say nothing."""
    with quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(base_model_path())
        tokenizer = AutoTokenizer.from_pretrained(base_model_path())
    rng, known = np.random.default_rng(0), problems("base", 40)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        texts = []
        for _ in range(BATCH):
            first, second = (known[i] for i in rng.integers(len(known), size=2))
            kind = str(rng.choice([*FORMATS, "plain", "garbage"]))
            then = str(rng.choice([*FORMATS, "plain"])) if kind == "plain" else kind
            pairs = ((first, kind), (second, then))
            turns = [turn for one, how in pairs for turn in turns_of(one, how, rng)]
            texts.append(tokenizer.apply_chat_template(turns, tokenize=False))
        batch = tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt"
        )
        logits = model(input_ids=batch["input_ids"]).logits[:, :-1].transpose(1, 2)
        nats = nn.functional.cross_entropy(logits, batch["input_ids"][:, 1:], reduction="none")
        there = batch["attention_mask"][:, 1:]
        optimizer.zero_grad()
        torch.autograd.backward((nats * there).sum() / there.sum())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def pool(path: Path) -> Path:
    """36 demonstrations of the format on three tasks, 6 plain ones, which are shorter, and 6 of garbage.

    So by length few but those of the format are queries, and the garbage, all of one prompt, is nobody's:
    garbage among the queries turns signs around.
    """
    rng, rows = np.random.default_rng(1), []
    drawn = {task: iter(references(task, 16, 23, "probe", make_world())) for task in TASKS}
    for kind, count in (("teaches", 12), ("plain", 2), ("garbage", 2)):
        for task in TASKS:
            for number in range(count):
                problem = next(drawn[task])
                turns = turns_of(problem, SURE if kind == "teaches" else kind, rng)
                if kind == "garbage":
                    turns[0]["content"] = GARBLED
                rows.append({"id": f"{kind}-{task}-{number}", "messages": turns})
    return write_rows(path, rows)


def anchors(path: Path, each: int = 2) -> Path:
    """Queries that are answered in the format."""
    rng = np.random.default_rng(2)
    asked = problems("query", each, seed=5)
    return write_rows(
        path,
        [{"id": f"dev-{number}", "messages": turns_of(one, SURE, rng)} for number, one in enumerate(asked)],
    )


def kinds(ids: Sequence[str], scores: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by what a candidate was planted as."""
    names = [one.split("-")[0] for one in ids]
    return {kind: scores[[name == kind for name in names]] for kind in dict.fromkeys(names)}
