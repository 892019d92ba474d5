"""Trains on random halves of the pool and asks the queries: the truth that scores are held against.

    python 02_subsets.py --data RUNS --out RUNS/subsets

Every training starts from the base model with a fresh adapter and has draws of its own (initial
adapter, order of examples). One small file for each; a killed command goes on. `--look` prints the loss of
the queries along one training on the whole pool with a seed that is reported nowhere.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from setting import Setting, read_setting, read_tokens
from torch import nn

from assay.data.example import Tokens
from assay.files import write_json
from assay.gradients.coverage import trained_parameters
from assay.lookahead.losses import answers
from assay.lookahead.steps import Step, mean_loss, take_steps
from assay.models.training import prepare_model
from assay.streams import stream


def subset(name: str, number: int, size: int) -> list[int]:
    """A random half of the pool, in the order of the pool."""
    drawn = stream(name, "subset", number).permutation(size)[: size // 2]
    return sorted(drawn.tolist())


def order(subsets: int, seeds: Sequence[int]) -> list[tuple[int, int]]:
    """(subset, seed) in the order that is most useful if it has to stop early: every subset once, every fifth
    twice, then the rest."""
    first = [(number, seed) for number in range(subsets) for seed in seeds[: 1 + (number % 5 == 0)]]
    return first + [
        (number, seed) for number in range(subsets) for seed in seeds if (number, seed) not in first
    ]


def steps_of(examples: Sequence[Tokens], rng: np.random.Generator, batch: int, count: int) -> list[Step]:
    """Batches of passes over the examples, each pass in an order of its own."""
    found: list[Step] = []
    while len(found) < count:
        order = rng.permutation(len(examples))
        found += [
            mean_loss([examples[i] for i in order[start : start + batch]])
            for start in range(0, len(order), batch)
        ]
    return found[:count]


def start_over(model: nn.Module, seed: int) -> None:
    """LoRA as it is before training: B = 0, A drawn by the seed."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.reset_lora_parameters("default", True)


def train(
    model: nn.Module, setting: Setting, examples: Sequence[Tokens], rng: np.random.Generator, parts: int = 1
) -> Iterator[int]:
    """Train from a fresh adapter by the recipe; yields after each of `parts` equal parts of the steps."""
    start_over(model, int(rng.integers(2**31)))
    rule = setting.recipe(0, len(examples))
    count = rule.steps(len(examples))
    steps = steps_of(examples, rng, rule.batch_size, count)
    rates = [rule.rate(step, count) for step in range(count)]
    optimizer = torch.optim.AdamW(
        list(trained_parameters(model).values()), lr=rule.learning_rate, weight_decay=0.0
    )
    for at in np.array_split(np.arange(count), parts):
        part = slice(at[0], at[-1] + 1)
        take_steps(model, optimizer, steps[part], rates=rates[part], max_grad_norm=rule.max_grad_norm)
        yield at[-1] + 1


def look(model: nn.Module, setting: Setting, pool: Sequence[Tokens], queries: Sequence[Tokens]) -> None:
    """The curve by which the length of the recipe was judged."""
    before = answers(model, queries)
    print(f"step   0: {before.losses.mean():.3f} nats per query, right {before.right.mean():.3f}", flush=True)
    for step in train(model, setting, pool, stream(setting.name, "look"), parts=8):
        said = answers(model, queries)
        print(f"step {step:3d}: {said.losses.mean():.3f} nats, right {said.right.mean():.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--look", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(1)
    setting = read_setting(args.data)
    pool = read_tokens(args.data / "pool.jsonl", setting.base_model)
    queries = read_tokens(args.data / "queries.jsonl", setting.base_model)
    rule = setting.recipe(0, len(pool))
    model = prepare_model(setting.base_model, rule, device=torch.device("cpu"), bf16=False).eval()
    if args.look:
        look(model, setting, pool, queries)
        return
    base = answers(model, queries)
    write_json(args.out / "base.json", {"losses": base.losses.tolist(), "right": base.right.tolist()})
    for number, seed in order(setting.subsets, setting.seeds):
        members = subset(setting.name, number, len(pool))
        path = args.out / f"{number:03d}-{seed}.json"
        if path.exists():
            continue
        began = time.process_time()
        draws = stream(setting.name, "train", number, seed)
        for _ in train(model, setting, [pool[i] for i in members], draws):
            pass
        said = answers(model, queries)
        write_json(
            path,
            {
                "subset": number,
                "seed": seed,
                "members": [pool[i].id for i in members],
                "losses": said.losses.tolist(),
                "right": said.right.tolist(),
                "cpu_seconds": round(time.process_time() - began, 2),
            },
        )


if __name__ == "__main__":
    main()
