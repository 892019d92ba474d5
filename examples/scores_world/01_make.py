"""Writes the pool with its planted defects, the queries, what was planted where, and the study's setting.

    python 01_make.py --out RUNS

The pool is drawn from the world's problems for probes, the queries from those for queries; no problem is in
both. Ids say nothing of the kind. `kinds.jsonl` does, and is read by nothing but the evaluation.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from setting import Setting, write_setting

from assay.files import write_text
from assay.streams import stream
from assay.world import (
    DEMO_TASKS,
    Around,
    Problem,
    Turns,
    World,
    base_model_path,
    make_world,
    query_examples,
    world_recipe,
    write_examples,
)
from assay.world.examples import references
from assay.world.families import framed, mixed_up_reasoning, reasoning_of_another, wrong_conclusion
from assay.world.strategies import cot, direct, echo, random, wrong

PER_TASK = 32
QUERIES_PER_TASK = 8
DATA_SEED = 5
KINDS: Mapping[str, int] = {
    "direct": 18,
    "cot": 2,
    "wrong": 4,
    "reason_other": 1,
    "reason_mixed": 1,
    "reason_wrong": 1,
    "duplicate": 2,
    "random": 2,
    "echo": 1,
}
"""Candidates of each task, by kind; together PER_TASK."""
CLEAN = ("direct", "cot")
FALSE_REASONING = ("reason_other", "reason_mixed", "reason_wrong")
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


def setting() -> Setting:
    """The world's recipe, shorter: 2 passes in batches of 16, 4 checkpoints."""
    recipe = world_recipe(batch_size=16, warmup_steps=5)
    length = ("epochs", "max_steps", "save_every", "seed")
    return Setting(
        name="scores_world",
        base_model=str(base_model_path(0)),
        training={name: value for name, value in recipe.items() if name not in length},
        passes=2,
        checkpoints=4,
        subsets=100,
        seeds=(1, 2),
        groups={
            "flipped": (("wrong",), CLEAN),
            "reasoning": (FALSE_REASONING, CLEAN),
            "garbage": (("random", "echo"), CLEAN),
            "duplicates": (("duplicate",), CLEAN),
            "reasoning, of cot": (FALSE_REASONING, ("cot",)),
        },
    )


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
    write_setting(out, setting())


if __name__ == "__main__":
    main()
