"""Fine-tunes on the whole pool as a person would, with checkpoints and optimizer.pt: what the scores are made
from.

    python 03_run.py --data RUNS --out RUNS/run-11 --seed 11

Two runs that differ in their seed alone say how much the run matters that happened to be scored.
"""

import argparse
from pathlib import Path

import torch
from setting import read_rows, read_setting

from assay.runs.train import run_training


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    torch.set_num_threads(1)
    setting, pool = read_setting(args.data), args.data / "pool.jsonl"
    rule = setting.recipe(args.seed, len(read_rows(pool)))
    found = run_training(setting.base_model, [str(pool)], args.out, rule)
    print(", ".join(one.name for one in found.checkpoints))


if __name__ == "__main__":
    main()
