"""Writes the pool with its planted defects, the queries, what was planted where, and the study's setting.

    export PYTHONPATH=../flan_cot:../scores_world
    python 01_make.py --data DATA --base RUNS/base --out RUNS/scores

The pool is drawn from the questions kept for fine-tuning, the queries from those kept for queries
(`../flan_cot/corpus.py`); the base model was pretrained on neither. Ids say nothing of the kind.
`kinds.jsonl` does, and is read by nothing but the evaluation.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from corpus import DIRECTIVE, TASKS, Row, chat, chosen
from setting import Setting, write_setting

from assay.files import write_text
from assay.streams import stream

NAME = "scores_flan"
LONGEST = 600
"""Characters of question, reason and answer together, in pool and queries: longer rows cost most time."""
KINDS: Mapping[str, int] = {"direct": 24, "cot": 12, "wrong": 6, "reason_other": 6}
"""Candidates of each task, by kind."""
QUERIES_PER_TASK = 24
CLEAN = ("direct", "cot")


def short(data: Path, task: str, use: str) -> list[Row]:
    """The rows of one part that are short enough, in the order of their hashes."""
    return [row for row in chosen(data, task, use, 10**9) if len(row.question + row.reasoned) <= LONGEST]


def elsewhere(row: Row, others: Sequence[Row], rng: np.random.Generator) -> Row:
    """A random other row of the task with another answer."""
    return next(others[i] for i in rng.permutation(len(others)) if others[i].answer != row.answer)


def written(kind: str, row: Row, others: Sequence[Row], rng: np.random.Generator) -> list[dict]:
    """The conversation of a candidate.

    wrong: another question's answer, which is false here. reason_other: another question's reason before the
    right answer.
    """
    if kind == "direct":
        return chat(row.question, row.answer)
    if kind == "wrong":
        return chat(row.question, elsewhere(row, others, rng).answer)
    reason = row.rationale if kind == "cot" else elsewhere(row, others, rng).rationale
    return chat(f"{row.question}\n{DIRECTIVE}", f"{reason}\nSo the answer is {row.answer}.")


def candidates(data: Path, task: str) -> list[dict]:
    rng = stream(NAME, "pool", task)
    kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
    rows = short(data, task, "base")
    mine, others = rows[: len(kinds)], rows[len(kinds) :]
    assert len(mine) == len(kinds)
    return [
        {"task": task, "kind": kinds[at], "row": row.id, "messages": written(kinds[at], row, others, rng)}
        for at, row in zip(rng.permutation(len(kinds)), mine, strict=True)
    ]


def setting(base: Path) -> Setting:
    """The recipe of `../flan_cot/03_finetune.py` on a pool of hundreds: a higher rate, fewer and smaller
    batches."""
    return Setting(
        name=NAME,
        base_model=str(base.resolve()),
        training={
            "lora_r": 16,
            "lora_alpha": 128,
            "target_modules": ("up_proj", "down_proj"),
            "learning_rate": 4e-3,
            "final_learning_rate": 4e-5,
            "warmup_steps": 5,
            "batch_size": 8,
            "precision": "fp32",
        },
        passes=2,
        checkpoints=4,
        subsets=40,
        seeds=(1, 2),
        groups={
            "flipped": (("wrong",), CLEAN),
            "flipped, of direct": (("wrong",), ("direct",)),
            "reasoning": (("reason_other",), CLEAN),
            "reasoning, of cot": (("reason_other",), ("cot",)),
        },
    )


def write(path: Path, rows: Sequence[Mapping]) -> None:
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with flan_cot/")
    parser.add_argument(
        "--base", type=Path, required=True, help="folder that ../flan_cot/01_pretrain.py wrote"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    pool = [one for task in TASKS for one in candidates(args.data, task)]
    pool = [pool[at] for at in stream(NAME, "order").permutation(len(pool))]
    named = [(f"pool-{number:04d}", one) for number, one in enumerate(pool)]
    asked = [row for task in TASKS for row in short(args.data, task, "query")[:QUERIES_PER_TASK]]
    assert len(asked) == QUERIES_PER_TASK * len(TASKS)

    write(
        args.out / "pool.jsonl", [{"id": n, "task": o["task"], "messages": o["messages"]} for n, o in named]
    )
    write(
        args.out / "kinds.jsonl", [{"id": n, **{k: o[k] for k in ("task", "kind", "row")}} for n, o in named]
    )
    write(
        args.out / "queries.jsonl",
        [{"id": row.id, "task": row.task, "messages": chat(row.question, row.answer)} for row in asked],
    )
    write_setting(args.out, setting(args.base))


if __name__ == "__main__":
    main()
