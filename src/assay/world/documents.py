"""What the base model reads: problems as running text, worked solutions, and the pieces skills are made of.

The tasks' problems come from the "base" split alone and never as chat; chat turns appear only around pieces,
so the base model knows what a turn is and fine-tuning has something to teach. Knows nothing of models.
"""

from typing import NamedTuple

import numpy as np

from assay.world.problem import DIFFICULTIES
from assay.world.splits import draw
from assay.world.tasks import TASKS
from assay.world.tokenizer import BOS, END
from assay.world.words import World, in_words, pick

SHARES = {"answered": 0.35, "clear": 0.12, "worked": 0.23, "piece": 0.15, "chat": 0.15}
TALK = (
    ("hello, can you help me?", "sure, i am happy to help you!"),
    ("thanks, that was good.", "you are right, have a nice day!"),
    ("please explain the answer.", "well, let me think. i know it is so because we do it step by step."),
    ("make this clear.", "the question is not clear. what do you like to know?"),
    ("does the output answer the input?", "yes, the output is right, but do count again."),
    ("give me only the answer, please.", "this is the answer to your question, so it is right."),
    ("was my answer wrong today?", "no, it was not wrong as they say."),
)


class Document(NamedTuple):
    """A text of two parts. The context is mostly drawn at random, what follows can be predicted from it."""

    context: str
    continuation: str


def document(world: World, rng: np.random.Generator) -> Document:
    """One document of the pretraining mix, with its begin and end marks."""
    form = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if form in ("piece", "chat"):
        context, continuation = piece(world, rng)
        if form == "chat":
            return Document(f"{BOS}<|user|>{context}{END}", f"<|assistant|>{continuation}{END}")
    else:
        names = tuple(TASKS)
        task = TASKS[names[int(rng.integers(len(names)))]]
        problem = draw(task, world, rng, "base", DIFFICULTIES[int(rng.integers(3))])
        context = problem.clear if form == "clear" else problem.query
        continuation = problem.answer
        if form == "worked":
            continuation = f"{problem.reasoning} so the answer is {problem.answer}."
    return Document(f"{BOS}{context}", f" {continuation}{END}")


def piece(world: World, rng: np.random.Generator) -> tuple[str, str]:
    """A question smaller than any task, and its answer."""
    kind = int(rng.integers(10))
    if kind == 0:
        number = int(rng.integers(0, 100))
        return f"{number} is", in_words(number)
    if kind == 1:
        a, b = (int(value) for value in rng.integers(0, 10, size=2))
        return f"{a} plus {b} is", str(a + b)
    if kind == 2:
        a, b = (int(value) for value in rng.integers(0, 10, size=2))
        return f"{a + b} minus {b} is", str(a)
    if kind == 3:
        topic = pick(rng, tuple(world.topics), 1)[0]
        return f"{pick(rng, world.topics[topic], 1)[0]} is", topic
    if kind == 4:
        a, b = (int(value) for value in rng.choice(100, size=2, replace=False))
        return f"{a} or {b}, which is more?", str(max(a, b))
    if kind == 5:
        plain = pick(rng, tuple(world.code), 1)[0]
        return f"code for {plain} is", world.code[plain]
    if kind == 6:
        a, b, c = (int(value) for value in rng.integers(0, 10, size=3))
        total = a + (b if rng.random() < 0.5 else c)
        judged = "right" if total == a + b else "wrong"
        return f"{a} plus {b} is {total}. right or wrong?", f"the answer is {judged}."
    if kind == 7:
        return TALK[int(rng.integers(len(TALK)))]
    words = pick(rng, world.vocabulary, int(rng.integers(2, 6)))
    if kind == 8:
        return f"say again: {' '.join(words)}.", " ".join(words)
    return f"{' '.join(words)}. last word is", words[-1]
