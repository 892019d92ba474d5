"""Lets every arm that goes by scores choose its tenth.

    export PYTHONPATH=../pruning_world
    python 02_choose.py --out RUNS/tenth

What each keeps goes to `choices.json`, as far as it is scored, with what selecting said of it.
"""

import argparse
from pathlib import Path

from tenth import BUDGET, CHOICES

import assay
from assay.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that 01_score.py wrote")
    out = parser.parse_args().out

    choices = {}
    for arm, (part, method, rule) in CHOICES.items():
        scores = out / "scores" / part
        if not (scores / "scores.json").exists():
            continue
        found = assay.select(
            scores, rule=rule, method=method, budget=f"{BUDGET}%", out=out / "selections" / arm
        ).result
        kept = [one for one, keep in zip(found.pool.ids, found.kept, strict=True) if keep]
        choices[arm] = {"kept": kept, "reading": list(found.reading)}
        print(arm, len(kept), flush=True)
    write_json(out / "choices.json", choices)


if __name__ == "__main__":
    main()
