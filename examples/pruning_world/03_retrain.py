"""Retrains from the base model on what every arm keeps, and asks the test questions.

    python 03_retrain.py --data RUNS --base BASE --choices RUNS/small --out RUNS/small/trained [--part PART]

An arm is a way of choosing, a budget and, where it goes by scores, the run they come from. For one seed all
arms share the initial adapter, and the orders of all passes are those of the whole pool with what was dropped
left out. One small file for each training; a killed command goes on. `--look` trains on the whole pool with
a seed that is reported nowhere, and prints how long it takes and how well it does.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from chance import length_matched, oracle, randomly
from setting import (
    ALL_WRONG,
    BATCH,
    BESIDE,
    BUDGETS,
    FORMS,
    INFLUENCE,
    PASSES,
    RUNS,
    SEEDS,
    read_examples,
    read_rows,
    recipe,
    tokens_of,
)
from torch import nn
from training import ask, follow, start_over

from assay.data.example import Tokens
from assay.files import read_json, write_json
from assay.lookahead.steps import mean_loss
from assay.models.loading import load_tokenizer
from assay.models.training import prepare_model
from assay.streams import stream


@dataclass(frozen=True, slots=True)
class Arm:
    """`rule` chooses, `budget` percent stay, by the scores of `run` (0 where no scores are read)."""

    rule: str
    budget: int
    run: int

    @property
    def name(self) -> str:
        return f"{self.rule}-{self.budget}" + (f"-{self.run}" if self.run else "")


def arms(part: str) -> list[Arm]:
    """`main`: every rule by the first run's scores. `again`: by the second's. `all-wrong`: I read so."""
    if part == "again":
        return [Arm(rule, budget, RUNS[1]) for budget in BUDGETS for rule in INFLUENCE]
    if part == "all-wrong":
        return [Arm(rule, budget, RUNS[0]) for budget in BUDGETS for rule in ALL_WRONG]
    matched = [Arm("length_matched", budget, RUNS[0]) for budget in BUDGETS]
    chance = [Arm(rule, budget, 0) for budget in BUDGETS for rule in ("random", "oracle")]
    rules = [Arm(rule, budget, RUNS[0]) for budget in BUDGETS for rule in (*INFLUENCE, *BESIDE)]
    return [Arm("full", 100, 0), *chance, *matched, *rules]


def train(model: nn.Module, pool: Sequence[Tokens], kept: Sequence[bool], seed: int | str) -> int:
    """Train from a fresh adapter on what is kept; returns the steps taken."""
    start_over(model, int(stream("pruning_world", "adapter", seed).integers(2**31)))
    rng = stream("pruning_world", "passes", seed)
    steps = []
    for _ in range(PASSES):
        order = [i for i in rng.permutation(len(pool)).tolist() if kept[i]]
        steps += [mean_loss([pool[i] for i in order[at : at + BATCH]]) for at in range(0, len(order), BATCH)]
    follow(model, recipe(0, int(sum(kept))), steps)
    return len(steps)


def chosen(
    arm: Arm, choices: Path, ids: list[str], kinds: list[str], lengths: np.ndarray, seed: int
) -> list[bool]:
    """Which candidates the arm keeps, in the order of the pool."""
    n = len(ids) * arm.budget // 100
    rng = stream("pruning_world", arm.rule, arm.budget, seed)
    if arm.rule == "full":
        return [True] * len(ids)
    if arm.rule == "random":
        return randomly(len(ids), n, rng)
    if arm.rule == "oracle":
        return oracle(kinds, n, rng)
    rule = "combined" if arm.rule == "length_matched" else arm.rule
    by_scores = set(read_json(choices / f"choices-{arm.run}.json")[f"{rule}-{arm.budget}"]["kept"])
    kept = [one in by_scores for one in ids]
    return length_matched(lengths, kept, rng) if arm.rule == "length_matched" else kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--choices", type=Path, help="folder that 02_choose.py wrote")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=("main", "again", "all-wrong"), default="main")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of them")
    parser.add_argument("--look", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(1)
    tokenizer = load_tokenizer([args.base])
    test = read_examples(args.data / "test.jsonl")
    pool = tokens_of(read_examples(args.data / "pool.jsonl"), tokenizer)
    tokens = tokens_of(test, tokenizer)
    ids = [one.id for one in pool]
    lengths = np.array([one.completion_tokens for one in pool])
    kind_of = {row["id"]: row["kind"] for row in read_rows(args.data / "kinds.jsonl")}
    model = prepare_model(args.base, recipe(0, len(pool)), device=torch.device("cpu"), bf16=False).eval()
    if args.look:
        look(model, pool, test, tokens, tokenizer, kind_of)
        return
    if not (args.out / "base.json").exists():
        write_json(args.out / "base.json", ask(model, test, tokens, tokenizer))
    for seed in SEEDS[: args.seeds]:
        for arm in arms(args.part):
            path = args.out / f"{arm.name}-seed{seed}.json"
            if path.exists():
                continue
            began = time.process_time()
            kept = chosen(arm, args.choices, ids, [kind_of[one] for one in ids], lengths, seed)
            steps = train(model, pool, kept, seed)
            said = ask(model, test, tokens, tokenizer)
            write_json(
                path,
                {
                    "arm": arm.name,
                    "seed": seed,
                    "kept": [one for one, keep in zip(ids, kept, strict=True) if keep],
                    "completion_tokens": int(lengths[kept].sum()),
                    "steps": steps,
                    **said,
                    "cpu_seconds": round(time.process_time() - began, 2),
                },
            )


def look(model, pool, test, tokens, tokenizer, kind_of) -> None:
    """Time and curve of one training by which sizes were chosen."""
    print("longest completion", max(one.completion_tokens for one in tokens))
    for what in ("before", "after"):
        began = time.process_time()
        if what == "after":
            train(model, pool, [True] * len(pool), "look")
            print(f"training {time.process_time() - began:.1f} CPU seconds")
        began = time.process_time()
        said = ask(model, test, tokens, tokenizer)
        for form in FORMS:
            mine = [i for i, one in enumerate(test) if kind_of[one.id] == form]
            right, losses = (np.array(said[name])[mine].mean() for name in ("right", "losses"))
            print(f"{what} {form}: right {right:.3f}, {losses:.3f} nats")
        print(f"asking {time.process_time() - began:.1f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
