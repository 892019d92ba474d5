"""Writes the four files of the study: what the model is fine-tuned on, the two probe sets and the queries.

    python 02_make_data.py --data DATA --out RUNS/files

base.jsonl   direct answers of the seven tasks and other instructions, to fine-tune on
cot.jsonl    the strategy: the paper's directive is added to the question, the reason comes before the answer
plain.jsonl  the control: the same questions, answered directly
eval.jsonl   the queries: other questions of the seven tasks, answered directly
"""

import argparse
import json
from pathlib import Path

from corpus import DIRECTIVE, TASKS, chat, chosen, digest, instructions, part


def write(path: Path, records: list[dict]) -> None:
    """One JSON object a line."""
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
    )
    print(f"{path}: {len(records)} examples")


def base(data: Path, total: int, per_task: int) -> list[dict]:
    """The fine-tuning set in TRL's prompt/completion form, of which the trainer learns the completions."""
    triples = [
        (row.task, row.question, row.answer) for task in TASKS for row in chosen(data, task, "base", per_task)
    ]
    other = [
        triple for triple in instructions(data) if part(triple[1]) == "base" and len("".join(triple)) < 500
    ]
    triples += sorted(other, key=lambda triple: digest("".join(triple)))[: total - len(triples)]
    return [
        {
            "id": f"base-{number}",
            "task": task,
            "prompt": chat(prompt, answer)[:1],
            "completion": chat(prompt, answer)[1:],
        }
        for number, (task, prompt, answer) in enumerate(triples, 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--probes", type=int, default=32, help="probes per task")
    parser.add_argument("--queries", type=int, default=32, help="queries per task")
    parser.add_argument("--base", type=int, default=6_400, help="fine-tuning examples, at most 920 per task")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    probes = [row for task in TASKS for row in chosen(args.data, task, "probe", args.probes)]
    queries = [row for task in TASKS for row in chosen(args.data, task, "query", args.queries)]
    write(args.out / "base.jsonl", base(args.data, args.base, 920))
    write(
        args.out / "cot.jsonl",
        [
            {
                "id": f"{row.id}-cot",
                "task": row.task,
                "pair": row.id,
                "messages": chat(f"{row.question}\n{DIRECTIVE}", row.reasoned),
            }
            for row in probes
        ],
    )
    write(
        args.out / "plain.jsonl",
        [
            {
                "id": f"{row.id}-plain",
                "task": row.task,
                "pair": row.id,
                "messages": chat(row.question, row.answer),
            }
            for row in probes
        ],
    )
    write(
        args.out / "eval.jsonl",
        [
            {"id": row.id, "task": row.task, "pair": row.id, "messages": chat(row.question, row.answer)}
            for row in queries
        ],
    )


if __name__ == "__main__":
    main()
