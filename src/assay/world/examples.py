"""Problems written as examples: probe sets, query sets and the base set that a model is fine-tuned on.

Everything follows from names and seeds. The i-th example of every strategy is made from the i-th reference of
its task and split, so strategies and control are paired, and a smaller set is the beginning of a larger one.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from assay.data.example import Example, Message, Source
from assay.errors import ConfigError
from assay.streams import stream
from assay.world.families import EVERY_STRATEGY
from assay.world.problem import DIFFICULTIES, Problem
from assay.world.splits import QUERIES_OF, Split, draw
from assay.world.strategies import STRATEGIES, Around, Strategy, Turns
from assay.world.tasks import DEMO_TASKS, TASKS
from assay.world.words import World, make_world

# A set of bad responses (a lower loss on it is harm) is a strategy's work on the query split, too.
QUERY_SETS: Mapping[str, tuple[str, Literal["desired", "undesired"]]] = {
    "plain": ("direct", "desired"),
    "pos": ("direct", "desired"),
    "neg": ("wrong", "undesired"),
}
# Of every 20 base examples of a task these are not plain: 10% CoT, 5% clarify, 5% evaluation.
_BASE_MIX: Mapping[int, str] = {4: "clarify", 9: "cot", 14: "evaluation", 19: "cot"}

_Draft = tuple[Strategy, Problem, int, Turns]


def references(task: str, count: int, seed: int, split: Split, world: World) -> list[Problem]:
    """The first `count` reference problems of a task, all different, difficulties 0, 1, 2 in turn."""
    if task not in TASKS:
        raise ConfigError(f"The world has no task {task!r}; it has {', '.join(TASKS)}.")
    rng = stream("references", world.seed, seed, split, task)
    problems: list[Problem] = []
    used: set[str] = set()
    for i in range(count):
        problems.append(draw(TASKS[task], world, rng, split, DIFFICULTIES[i % len(DIFFICULTIES)], used))
        used.add(problems[-1].query)
    return problems


def make_examples(
    strategy: str,
    tasks: Sequence[str] = DEMO_TASKS,
    per_task: int = 16,
    seed: int = 0,
    split: Split = "probe",
    world: World | None = None,
) -> list[Example]:
    """`per_task` examples of a strategy for each task, in the order of `tasks`.

    `seed` draws other problems of the same world; `world` (default: `make_world(0)`, whose base model is
    shipped) has a seed of its own. Raises ConfigError for an unknown strategy or task, and when a task has
    fewer different problems than asked for.
    """
    if strategy not in EVERY_STRATEGY:
        raise ConfigError(f"The world has no strategy {strategy!r}; it has {', '.join(EVERY_STRATEGY)}.")
    chosen, world = EVERY_STRATEGY[strategy], world or make_world()
    split = QUERIES_OF[split] if chosen.leaks else split
    drafts: list[_Draft] = []
    for task in tasks:
        around = Around(world, split, stream("strategy", strategy, world.seed, seed, split, task))
        for i, problem in enumerate(references(task, per_task, seed, split, world)):
            drafts.append((chosen, problem, i, chosen.write(problem, around)))
    return _examples(drafts, split)


def query_examples(
    kind: str = "plain",
    tasks: Sequence[str] = DEMO_TASKS,
    per_task: int = 16,
    seed: int = 0,
    world: World | None = None,
    split: Split = "query",
) -> list[Example]:
    """A query set of `QUERY_SETS`; "neg" holds bad responses to the queries that "pos" answers well."""
    if kind not in QUERY_SETS:
        raise ConfigError(f"The world has no query set {kind!r}; it has {', '.join(QUERY_SETS)}.")
    return make_examples(QUERY_SETS[kind][0], tasks, per_task, seed, split, world)


def base_examples(
    tasks: Sequence[str] = DEMO_TASKS, per_task: int = 192, seed: int = 0, world: World | None = None
) -> list[Example]:
    """The fine-tuning set, shuffled: 80% direct, 10% CoT, 5% clarify, 5% evaluation; 2,304 by default."""
    world = world or make_world()
    drafts: list[_Draft] = []
    for task in tasks:
        around = Around(world, "base", stream("strategy", "base", world.seed, seed, task))
        for i, problem in enumerate(references(task, per_task, seed, "base", world)):
            strategy = STRATEGIES[_BASE_MIX.get(i % 20, "direct")]
            drafts.append((strategy, problem, i, strategy.write(problem, around)))
    order = stream("order", world.seed, seed).permutation(len(drafts))
    return _examples([drafts[i] for i in order], "base")


def as_row(example: Example) -> dict[str, object]:
    """The example as a row of a JSONL file in the `messages` format, with `id`, `task` and `pair`."""
    messages = [{"role": message.role, "content": message.content} for message in example.messages]
    return {"id": example.id, "task": example.task, "pair": example.pair, "messages": messages}


def _examples(drafts: Sequence[_Draft], split: Split) -> list[Example]:
    return [
        Example(
            id=f"{split}-{strategy.name}-{problem.task}-{i:04d}",
            messages=(Message("user", turns.prompt), Message("assistant", turns.completion)),
            source=Source("world", row),
            task=problem.task,
            pair=f"{split}-{problem.task}-{i:04d}",
        )
        for row, (strategy, problem, i, turns) in enumerate(drafts, start=1)
    ]
