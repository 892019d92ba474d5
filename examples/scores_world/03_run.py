"""Fine-tunes on the whole pool as a person would, with checkpoints and optimizer.pt: what the scores are made
from.

    python 03_run.py --data RUNS --out RUNS/run-11 --seed 11

Two runs that differ in their seed alone say how much the run matters that happened to be scored.
"""

import argparse
from pathlib import Path

import torch
from setting import BASE_MODEL, KINDS, recipe

from assay.runs.train import run_training
from assay.world import DEMO_TASKS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    torch.set_num_threads(1)
    rule = recipe(args.seed, len(DEMO_TASKS) * sum(KINDS.values()))
    found = run_training(BASE_MODEL, [str(args.data / "pool.jsonl")], args.out, rule)
    print(", ".join(one.name for one in found.checkpoints))


if __name__ == "__main__":
    main()
