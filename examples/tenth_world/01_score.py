"""Fine-tunes on the whole pool, scores it by that run, and in context by the base model.

    export PYTHONPATH=../pruning_world
    python 01_score.py --data RUNS --base BASE --out RUNS/tenth [--part PART ...]

Methods that compare with queries get all development questions with their right answers; `nuggets` gets the
first few of each task. Methods in context read the base model, since they need no run; `context_run` reads
the run, and in `context_length` the longest of each cluster is asked, not the one of the highest IFD. A
killed command goes on.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
from setting import read_rows
from tenth import ANCHORS_PER_TASK, CHOICES, PARTS, RUN, recipe_of_run

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
    parser.add_argument("--part", choices=PARTS, nargs="+")
    args = parser.parse_args()

    torch.set_num_threads(1)
    pool, development = args.data / "pool.jsonl", args.data / "development.jsonl"
    for part in args.part or PARTS:
        queries = None
        source, more = args.base, {}
        if part in ("run", "context_run"):
            source = args.out / f"run-{RUN}"
            run_training(args.base, [str(pool)], source, recipe_of_run(len(read_rows(pool))))
        if part == "run":
            queries = {"development": development}
        if part == "context_length":
            more = {"complexity": "length"}
        if part == "anchors":
            queries = {"anchors": anchors(development, args.out / "anchors.jsonl")}
        assay.score(
            source,
            method=methods_of(part),
            candidates=pool,
            queries=queries,
            base_model=args.base,
            out=args.out / "scores" / part,
            **more,
        )
        print(part, *methods_of(part), flush=True)


if __name__ == "__main__":
    main()
