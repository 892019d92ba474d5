"""Writes training sets, probes and queries of the embedded world for a study and the validation of it.

    python 01_make.py --out RUNS/data
    python 01_make.py --out RUNS/across --across

base.jsonl and what the strategies make of the same problems (cot, clarify, evaluation), to train on;
probes/ of the same strategies from other problems, and plain ones as their control; queries/eval.jsonl and
queries/neg.jsonl, questions with their answers and with wrong ones, from problems that are in nothing else.

With --across every second task is trained on and the others are asked, with twice as many examples of each;
plain.jsonl has plain answers to still other problems of the trained tasks, for an arm that adds the control,
and right_or_wrong.jsonl the queries with both answers to choose from, for the benchmark of that name.
"""

import argparse
import json
from pathlib import Path

from assay.data.example import Example
from assay.world import DEMO_TASKS, make_examples, query_examples, write_examples

STRATEGIES = {"cot": "cot", "clarify": "clarify", "eval": "evaluation"}
TRAINED, PROBES, QUERIES = 64, 16, 16
"""Of each of the 12 tasks; across tasks twice that of each of 6."""
SEED = 21


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--across", action="store_true", help="train on one half of the tasks, ask the other")
    given = parser.parse_args()
    out, times = given.out, 2 if given.across else 1
    trained, asked = (DEMO_TASKS[::2], DEMO_TASKS[1::2]) if given.across else (DEMO_TASKS, DEMO_TASKS)
    for name, strategy in {"base": "direct", **STRATEGIES}.items():
        write_examples(
            out / f"{name}.jsonl", make_examples(strategy, trained, times * TRAINED, SEED, split="base")
        )
    if given.across:
        write_examples(
            out / "plain.jsonl",
            [
                example
                for task in trained
                for example in make_examples("direct", [task], 2 * times * TRAINED, SEED, split="base")[
                    times * TRAINED :
                ]
            ],
        )
    for name, strategy in {"plain": "direct", **STRATEGIES}.items():
        probes = make_examples(strategy, trained, times * PROBES, SEED, split="probe")
        write_examples(out / "probes" / f"{name}.jsonl", probes)
    for name, kind in (("eval", "plain"), ("neg", "neg")):
        write_examples(out / "queries" / f"{name}.jsonl", query_examples(kind, asked, times * QUERIES, SEED))
    if given.across:
        right, wrong = (query_examples(kind, asked, times * QUERIES, SEED) for kind in ("plain", "neg"))
        write_choices(out / "right_or_wrong.jsonl", right, wrong)


def write_choices(path: Path, right: list[Example], wrong: list[Example]) -> None:
    """Each question with its right and its wrong answer, the right one second every second time."""
    with path.open("w", encoding="utf-8") as file:
        for place, (good, bad) in enumerate(zip(right, wrong, strict=True)):
            assert good.pair == bad.pair
            gold = place % 2
            choices = [one.messages[-1].content for one in ((good, bad) if gold == 0 else (bad, good))]
            row = {"question": good.messages[0].content, "choices": choices, "gold": gold}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
