"""Curves of trainings on a random tenth by which the number of steps was chosen, on development questions.

    export PYTHONPATH=../pruning_world
    python look.py --data RUNS --base BASE

With a draw that is used for nothing else.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from chance import randomly
from setting import read_examples, tokens_of
from steps import steps_of
from tenth import BATCH, BUDGET, recipe
from training import ask, follow, start_over

from assay.models.loading import load_tokenizer
from assay.models.training import prepare_model
from assay.streams import stream

LENGTHS = (20, 40, 60, 100)
"""Steps."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", required=True, help="folder of the base model")
    args = parser.parse_args()

    torch.set_num_threads(1)
    tokenizer = load_tokenizer([args.base])
    questions = read_examples(args.data / "development.jsonl")
    tokens = tokens_of(questions, tokenizer)
    pool = tokens_of(read_examples(args.data / "pool.jsonl"), tokenizer)
    model = prepare_model(args.base, recipe(), device=torch.device("cpu"), bf16=False).eval()
    tenth = randomly(len(pool), len(pool) * BUDGET // 100, stream("tenth_world", "look"))
    for steps in LENGTHS:
        for what, kept in (("a tenth", tenth), ("all", [True] * len(pool))):
            began = time.process_time()
            start_over(model, 0)
            follow(model, recipe(steps), steps_of(pool, kept, "look", BATCH, steps))
            trained = time.process_time() - began
            said = ask(model, questions, tokens, tokenizer)
            right, loss = (100 * np.mean(said["right"]), np.mean(said["losses"]))
            taken = time.process_time() - began
            print(f"{what}, {steps} steps: {right:.1f}% right, {loss:.2f} nats", end="; ")
            print(f"{trained:.1f} CPU seconds, {taken:.1f} with asking", flush=True)


if __name__ == "__main__":
    main()
