"""Scores the pool by every method of `assay methods`.

    python 04_score.py --data RUNS --run RUNS/run-11 --out RUNS/scores-11 [--together] [--methods NAME ...]

Each method gets a folder and a time of its own: CPU seconds of this process, with everything the method needs
(reading the pool, loading the model, every pass), none of it shared. `--together` lets them share passes,
which is quicker and gives the same scores. `--methods` scores only these. A killed command goes on.
"""

import argparse
import time
from pathlib import Path

import torch

import assay
from assay.files import write_json
from assay.methods.table import METHODS


def score(args: argparse.Namespace, methods: list[str], out: Path) -> None:
    """Score and say how long it took; nothing where that is done."""
    done = out / "seconds.json"
    if done.exists():
        return
    began = time.process_time()
    assay.score(
        args.run,
        method=methods,
        candidates=args.data / "pool.jsonl",
        queries={"queries": args.data / "queries.jsonl"},
        out=out,
    )
    write_json(done, {"methods": methods, "cpu_seconds": round(time.process_time() - began, 1)})
    print(*methods, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument("--run", type=Path, required=True, help="folder that 03_run.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="only these")
    args = parser.parse_args()

    torch.set_num_threads(1)
    if args.together:
        folder = "+".join(args.methods) if args.methods else "all"
        score(args, args.methods or list(METHODS), args.out / folder)
        return
    # What is loaded but once in a process is loaded before anything is timed.
    score(args, ["graddot"], args.out / "warm-up")
    for name in args.methods or METHODS:
        score(args, [name], args.out / name)


if __name__ == "__main__":
    main()
