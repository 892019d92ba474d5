"""Retrains from the base model on what every arm keeps, and asks the test questions.

    export PYTHONPATH=../pruning_world
    python 03_retrain.py --data RUNS --base BASE --out RUNS/tenth [--seeds 6]

For one seed all arms share the initial adapter and the order of every pass. Arms whose choice is not there
yet are left for a later call. One small file for each training; a killed command goes on.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from chance import oracle, randomly
from setting import read_examples, read_rows, tokens_of
from steps import steps_of
from tenth import BATCH, BUDGET, CHOICES, DRAWS, SEEDS, STEPS, recipe
from training import ask, follow, start_over

from assay.files import read_json, write_json
from assay.models.loading import load_tokenizer
from assay.models.training import prepare_model
from assay.streams import stream


def arms() -> list[str]:
    drawn = [f"random-{number}" for number in range(1, DRAWS + 1)]
    return ["full", *drawn, "balanced", "oracle", *CHOICES]


def balanced(tasks: Sequence[str], keep: int, rng: np.random.Generator) -> list[bool]:
    """Rounds of one random candidate of each task that is left."""
    order = rng.permutation(len(tasks)).tolist()
    seen: dict[str, int] = {}
    turn = {}
    for at in order:
        turn[at] = seen[tasks[at]] = seen.get(tasks[at], 0) + 1
    first = set(sorted(order, key=turn.__getitem__)[:keep])
    return [at in first for at in range(len(tasks))]


def chosen(arm: str, rows: Sequence[dict], choices: dict, seed: int) -> list[bool] | None:
    """Which candidates the arm keeps, in the order of the pool; None where it has not chosen yet."""
    keep = len(rows) * BUDGET // 100
    rng = stream("tenth_world", arm, seed)
    if arm == "full":
        return [True] * len(rows)
    if arm.startswith("random-"):
        return randomly(len(rows), keep, rng)
    if arm == "balanced":
        return balanced([row["task"] for row in rows], keep, rng)
    if arm == "oracle":
        return oracle([row["kind"] for row in rows], keep, rng)
    if arm not in choices:
        return None
    kept = set(choices[arm]["kept"])
    return [row["id"] in kept for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that ../pruning_world/01_make.py wrote"
    )
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="folder that 02_choose.py wrote")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of them")
    args = parser.parse_args()

    torch.set_num_threads(1)
    tokenizer = load_tokenizer([args.base])
    test = read_examples(args.data / "test.jsonl")
    asked = tokens_of(test, tokenizer)
    pool = tokens_of(read_examples(args.data / "pool.jsonl"), tokenizer)
    kinds = {row["id"]: row for row in read_rows(args.data / "kinds.jsonl")}
    rows = [kinds[one.id] for one in pool]
    lengths = np.array([one.completion_tokens for one in pool])
    choices = read_json(args.out / "choices.json") if (args.out / "choices.json").exists() else {}
    model = prepare_model(args.base, recipe(), device=torch.device("cpu"), bf16=False).eval()
    trained = args.out / "trained"
    if not (trained / "base.json").exists():
        write_json(trained / "base.json", ask(model, test, asked, tokenizer))
    for seed in SEEDS[: args.seeds]:
        for arm in arms():
            path = trained / f"{arm}-seed{seed}.json"
            kept = None if path.exists() else chosen(arm, rows, choices, seed)
            if kept is None:
                continue
            began = time.process_time()
            start_over(model, int(stream("tenth_world", "adapter", seed).integers(2**31)))
            follow(model, recipe(), steps_of(pool, kept, seed, BATCH, STEPS))
            said = ask(model, test, asked, tokenizer)
            write_json(
                path,
                {
                    "arm": arm,
                    "seed": seed,
                    "kept": [row["id"] for row, keep in zip(rows, kept, strict=True) if keep],
                    "completion_tokens": int(lengths[kept].sum()),
                    **said,
                    "cpu_seconds": round(time.process_time() - began, 2),
                },
            )


if __name__ == "__main__":
    main()
