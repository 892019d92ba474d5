"""Writes training sets, probes and queries of the embedded world for a study and the validation of it.

    python 01_make.py --out RUNS/data

base.jsonl and what the strategies make of the same problems (cot, clarify, evaluation), to train on;
probes/ of the same strategies from other problems, and plain ones as their control; queries/eval.jsonl and
queries/neg.jsonl, questions with their answers and with wrong ones, from problems that are in nothing else.
"""

import argparse
from pathlib import Path

from assay.world import make_examples, query_examples, write_examples

STRATEGIES = {"cot": "cot", "clarify": "clarify", "eval": "evaluation"}
TRAINED, PROBES, QUERIES = 64, 16, 16
"""Of each of the 12 tasks."""
SEED = 21


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    sets = {"base": "direct", **STRATEGIES}
    for name, strategy in sets.items():
        write_examples(
            out / f"{name}.jsonl", make_examples(strategy, per_task=TRAINED, seed=SEED, split="base")
        )
    for name, strategy in {"plain": "direct", **STRATEGIES}.items():
        probes = make_examples(strategy, per_task=PROBES, seed=SEED, split="probe")
        write_examples(out / "probes" / f"{name}.jsonl", probes)
    for name, kind in (("eval", "plain"), ("neg", "neg")):
        write_examples(out / "queries" / f"{name}.jsonl", query_examples(kind, per_task=QUERIES, seed=SEED))


if __name__ == "__main__":
    main()
