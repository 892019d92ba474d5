"""Writes the rows of the seven tasks that the model of ../flan_cot was never fine-tuned on, as they are.

    python references.py --data DATA --out RUNS/references

<task>.tsv   question, answer and rationale of held-out rows with different questions, in the order of their
             hashes: random, but fixed
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "flan_cot"))

from corpus import TASKS, chosen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=64, help="rows per task; two make a pair")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        rows = chosen(args.data, task, "probe", args.rows)
        lines = ("\t".join((row.question, row.answer, row.rationale)).replace("\n", "\\n") for row in rows)
        path = args.out / f"{task}.tsv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    main()
