"""Fine-tunes on the whole pool, scores the pool by that run, and lets every rule choose.

    python 02_choose.py --data RUNS --base BASE --out RUNS/small --seed 11

Does in Python what `assay train`, `assay score --questions` and `assay select` do. What every rule keeps goes
to `choices-SEED.json`, with what scoring and selecting said of it. A killed command goes on.
"""

import argparse
from pathlib import Path

import torch
from setting import ALL_WRONG, BESIDE, BUDGETS, INFLUENCE, MOST_TOKENS, PER_TASK, recipe

import assay
from assay.files import read_json, write_json
from assay.runs.train import run_training
from assay.world import DEMO_TASKS


def score_influence(args: argparse.Namespace, run: Path, incorrect: str, out: Path) -> None:
    """C and I from the answers of the base and of the run, and EK-FAC's influence on both."""
    assay.score(
        run,
        method="ekfac",
        candidates=args.data / "pool.jsonl",
        questions=args.data / "development.jsonl",
        incorrect=incorrect,
        answers="normalised",
        max_new_tokens=MOST_TOKENS,
        base_model=args.base,
        out=out,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    torch.set_num_threads(1)
    run = args.out / f"run-{args.seed}"
    pool = args.data / "pool.jsonl"
    run_training(args.base, [str(pool)], run, recipe(args.seed, PER_TASK * len(DEMO_TASKS)))

    influence, strict = args.out / f"influence-{args.seed}", args.out / f"influence-all-{args.seed}"
    score_influence(args, run, "right-to-wrong", influence)
    score_influence(args, run, "all-wrong", strict)
    beside = args.out / f"beside-{args.seed}"
    assay.score(
        run,
        method=[method for method, _ in BESIDE.values()],
        candidates=pool,
        queries={"development": args.data / "development.jsonl"},
        base_model=args.base,
        out=beside,
    )

    asked = {rule: (influence, "ekfac", rule) for rule in INFLUENCE}
    asked |= {name: (strict, "ekfac", name.removesuffix("_all")) for name in ALL_WRONG}
    asked |= {name: (beside, method, rule) for name, (method, rule) in BESIDE.items()}
    choices = {}
    for budget in BUDGETS:
        for name, (scores, method, rule) in asked.items():
            out = args.out / f"selections-{args.seed}" / f"{name}-{budget}"
            found = assay.select(scores, rule=rule, method=method, budget=f"{budget}%", out=out)
            kept = [one for one, keep in zip(found.result.pool.ids, found.result.kept, strict=True) if keep]
            choices[f"{name}-{budget}"] = {"kept": kept, "reading": list(found.result.reading)}
    for name, folder in (("right-to-wrong", influence), ("all-wrong", strict)):
        choices[name] = read_json(folder / "scores.json")["notes"]
    write_json(args.out / f"choices-{args.seed}.json", choices)


if __name__ == "__main__":
    main()
