"""Writes the pool with its planted defects, the questions for development and for the test, and beside them
what was planted where.

    python 01_make.py --out RUNS

The pool is drawn from the world's problems for probes, the questions from the two halves of those for
queries; no problem is in two of the three. Ids say nothing of the kind. `kinds.jsonl` does; it is read by the
oracle, which is no method, and by the evaluation.
"""

import argparse
import json
from pathlib import Path

from setting import DATA_SEED, FORMS, KINDS, PER_TASK, QUESTIONS_PER_TASK

from assay.files import write_text
from assay.streams import stream
from assay.world import DEMO_TASKS, Around, Problem, Turns, World, make_world
from assay.world.examples import references
from assay.world.families import framed, mixed_up_reasoning, reasoning_of_another, wrong_conclusion
from assay.world.splits import Split
from assay.world.strategies import cot, direct, echo, random, wrong

WRITE = {
    "cot": cot,
    "direct": direct,
    "wrong": wrong,
    "reason_wrong": wrong_conclusion,
    "reason_other": reasoning_of_another,
    "reason_mixed": mixed_up_reasoning,
    "duplicate": framed(before="please"),
    "random": random,
    "echo": echo,
}


def candidates(task: str, world: World) -> list[tuple[str, Problem, Turns]]:
    """(kind, problem, turns) of one task; a duplicate repeats the problem of a direct candidate."""
    rng = stream("pruning_world", "pool", task, DATA_SEED)
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


def questions(task: str, split: Split, world: World) -> list[tuple[str, Problem, Turns]]:
    """(form, problem, turns): every form for problems of its own, difficulties alike."""
    rng = stream("pruning_world", "questions", task, split, DATA_SEED)
    around = Around(world, split, rng)
    problems = references(task, len(FORMS) * QUESTIONS_PER_TASK, DATA_SEED, split, world)
    forms = [FORMS[i // 3 % len(FORMS)] for i in range(len(problems))]
    return [(form, one, WRITE[form](one, around)) for form, one in zip(forms, problems, strict=True)]


def write(out: Path, name: str, made: list[tuple[str, str, Problem, Turns]]) -> list[dict]:
    """Shuffled rows with ids that say nothing into `name.jsonl`; returns what each of them is."""
    rows, kinds = [], []
    for number, at in enumerate(stream("pruning_world", "order", name, DATA_SEED).permutation(len(made))):
        task, kind, problem, turns = made[at]
        messages = [
            {"role": "user", "content": turns.prompt},
            {"role": "assistant", "content": turns.completion},
        ]
        rows.append({"id": f"{name}-{number:04d}", "task": task, "messages": messages})
        kinds.append({"id": f"{name}-{number:04d}", "task": task, "kind": kind, "problem": problem.query})
    write_text(out / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out

    world = make_world(0)
    kinds = write(out, "pool", [(task, *one) for task in DEMO_TASKS for one in candidates(task, world)])
    splits: dict[str, Split] = {"development": "query/1", "test": "query/2"}
    for name, split in splits.items():
        kinds += write(
            out, name, [(task, *one) for task in DEMO_TASKS for one in questions(task, split, world)]
        )
    write_text(out / "kinds.jsonl", "".join(json.dumps(one) + "\n" for one in kinds))


if __name__ == "__main__":
    main()
