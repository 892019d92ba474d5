"""Writes the pool with its planted defects, the queries, and beside them what was planted where.

    python 01_make.py --out RUNS

The pool is drawn from the world's problems for probes, the queries from those for queries; no problem is in
both. Ids say nothing of the kind. `kinds.jsonl` does, and is read by nothing but the evaluation.
"""

import argparse
import json
from pathlib import Path

from setting import DATA_SEED, KINDS, PER_TASK, QUERIES_PER_TASK

from assay.files import write_text
from assay.streams import stream
from assay.world import DEMO_TASKS, Around, Problem, Turns, World, make_world, query_examples, write_examples
from assay.world.examples import references
from assay.world.families import framed, mixed_up_reasoning, reasoning_of_another, wrong_conclusion
from assay.world.strategies import cot, direct, echo, random, wrong

WRITE = {
    "direct": direct,
    "cot": cot,
    "wrong": wrong,
    "reason_other": reasoning_of_another,
    "reason_mixed": mixed_up_reasoning,
    "reason_wrong": wrong_conclusion,
    "duplicate": framed(before="please"),
    "random": random,
    "echo": echo,
}


def candidates(task: str, world: World) -> list[tuple[str, Problem, Turns]]:
    """(kind, problem, turns) of one task; a duplicate repeats the problem of a direct candidate."""
    rng = stream("scores_world", "pool", task, DATA_SEED)
    around = Around(world, "probe", rng)
    problems = references(task, PER_TASK, DATA_SEED, "probe", world)
    kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
    kinds = [kinds[i] for i in rng.permutation(len(kinds))]
    originals = iter(rng.permutation([i for i, kind in enumerate(kinds) if kind == "direct"]).tolist())
    found = []
    for i, kind in enumerate(kinds):
        problem = problems[next(originals) if kind == "duplicate" else i]
        found.append((kind, problem, WRITE[kind](problem, around)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out

    world = make_world(0)
    pool = [(task, *one) for task in DEMO_TASKS for one in candidates(task, world)]
    rows, kinds = [], []
    for number, at in enumerate(stream("scores_world", "order", DATA_SEED).permutation(len(pool))):
        task, kind, problem, turns = pool[at]
        name = f"pool-{number:04d}"
        messages = [
            {"role": "user", "content": turns.prompt},
            {"role": "assistant", "content": turns.completion},
        ]
        rows.append({"id": name, "task": task, "messages": messages})
        kinds.append({"id": name, "task": task, "kind": kind, "problem": problem.query})
    for name, lines in (("pool", rows), ("kinds", kinds)):
        write_text(out / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_examples(out / "queries.jsonl", query_examples(per_task=QUERIES_PER_TASK, seed=DATA_SEED))


if __name__ == "__main__":
    main()
