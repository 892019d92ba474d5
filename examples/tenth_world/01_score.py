"""Fine-tunes on the whole pool, scores it by that run, and in context by the base model.

    export PYTHONPATH=../pruning_world
    python 01_score.py --data RUNS --base BASE --out RUNS/tenth [--part run|context|anchors]

Methods that compare with queries get all development questions with their right answers; `nuggets` gets the
first few of each task. Methods in context read the base model: they need no run. A killed command goes on.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
from setting import read_rows
from tenth import ANCHORS_PER_TASK, CHOICES, RUN, recipe_of_run

import assay
from assay.files import write_text
from assay.runs.train import run_training


def methods_of(part: str) -> list[str]:
    """The methods that are scored into one folder."""
    return list(dict.fromkeys(method for where, method, _ in CHOICES.values() if where == part))


def anchors(development: Path, out: Path) -> Path:
    """The first questions of each task."""
    seen: Counter[str] = Counter()
    lines = []
    for row in read_rows(development):
        seen[row["task"]] += 1
        if seen[row["task"]] <= ANCHORS_PER_TASK:
            lines.append(json.dumps(row) + "\n")
    write_text(out, "".join(lines))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that ../pruning_world/01_make.py wrote"
    )
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=("run", "context", "anchors"), nargs="+")
    args = parser.parse_args()

    torch.set_num_threads(1)
    pool, development = args.data / "pool.jsonl", args.data / "development.jsonl"
    for part in args.part or ("run", "context", "anchors"):
        queries = None
        if part == "run":
            source = args.out / f"run-{RUN}"
            run_training(args.base, [str(pool)], source, recipe_of_run(len(read_rows(pool))))
            queries = {"development": development}
        else:
            source = args.base
        if part == "anchors":
            queries = {"anchors": anchors(development, args.out / "anchors.jsonl")}
        assay.score(
            source,
            method=methods_of(part),
            candidates=pool,
            queries=queries,
            base_model=args.base,
            out=args.out / "scores" / part,
        )
        print(part, *methods_of(part), flush=True)


if __name__ == "__main__":
    main()
