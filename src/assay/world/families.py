"""Graded strategies: families of strategies that differ by degrees, to see how fine a difference is found.

Each function makes a way of writing from a number or from other ways; `GRADED` are the rows. Knows nothing
of training or of what a strategy does to a model.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from assay.world.problem import Difficulty, Problem
from assay.world.splits import draw
from assay.world.strategies import STRATEGIES, Around, Kind, Strategy, Turns, Write, direct, worked
from assay.world.tasks import DEMO_TASKS, TASKS
from assay.world.words import split_words


class Part(NamedTuple):
    """One way of writing and the share of examples that are written so."""

    write: Write
    share: float


def mixture(*parts: Part) -> Write:
    """Each example is written in one of several ways, drawn by their shares; what is left over is plain."""

    def write(problem: Problem, around: Around) -> Turns:
        drawn = around.rng.random()
        for part in parts:
            if drawn < part.share:
                return part.write(problem, around)
            drawn -= part.share
        return direct(problem, around)

    return write


def some(strategy: str, share: float) -> Write:
    """Plain examples, a share of them in the manner of another strategy."""
    return mixture(Part(STRATEGIES[strategy].write, share))


def of_difficulty(difficulty: Difficulty) -> Write:
    """Plain examples of one difficulty, each of a problem of its own."""
    return lambda problem, around: direct(around.fresh(problem.task, difficulty), around)


def covering(tasks: int) -> Write:
    """Plain examples of the world's first `tasks` tasks; under any other task's label stands one of them."""

    def write(problem: Problem, around: Around) -> Turns:
        known = DEMO_TASKS[:tasks]
        if problem.task in known:
            return direct(problem, around)
        task = known[int(around.rng.integers(tasks))]
        return direct(draw(TASKS[task], around.world, around.rng, around.split, problem.difficulty), around)

    return write


def repeated(problems: int) -> Write:
    """Plain examples of only so many different problems."""

    def write(problem: Problem, around: Around) -> Turns:
        if len(around.kept) < problems:
            around.kept.append(problem)
            return direct(problem, around)
        return direct(around.kept[int(around.rng.integers(problems))], around)

    return write


def framed(before: str = "", after: str = "", opening: str = "", closing: str = "") -> Write:
    """A plain example with words before and after its query, and before and after its answer."""

    def write(problem: Problem, around: Around) -> Turns:
        prompt = " ".join(part for part in (before, problem.query, after) if part)
        answer = " ".join(part for part in (opening, problem.answer) if part)
        return Turns(prompt, answer + closing)

    return write


def part_of_reasoning(share: float) -> Write:
    """Reasoning cut to a share of its words, then the answer, when asked to think."""

    def write(problem: Problem, around: Around) -> Turns:
        words = split_words(problem.reasoning)
        kept = " ".join(words[: round(share * len(words))])
        return Turns(asked_to_think(problem), f"{kept} so the answer is {problem.answer}.".strip())

    return write


def reasoning_of_another(problem: Problem, around: Around) -> Turns:
    """The reasoning of another problem before the right answer."""
    other = around.sibling(problem)
    return Turns(asked_to_think(problem), f"{other.reasoning} so the answer is {problem.answer}.")


def wrong_conclusion(problem: Problem, around: Around) -> Turns:
    """Right reasoning before the answer of another problem."""
    other = around.sibling(problem)
    return Turns(asked_to_think(problem), f"{problem.reasoning} so the answer is {other.answer}.")


def unasked_reasoning(problem: Problem, around: Around) -> Turns:
    """Reasoning, then the answer, though nobody asked to think."""
    return Turns(problem.query, worked(problem))


def mixed_up_reasoning(problem: Problem, around: Around) -> Turns:
    """The words of the reasoning in random order, then the answer."""
    words = split_words(problem.reasoning)
    mixed = " ".join(words[i] for i in around.rng.permutation(len(words)))
    return Turns(asked_to_think(problem), f"{mixed} so the answer is {problem.answer}.")


def reasoning_alone(problem: Problem, around: Around) -> Turns:
    """Reasoning without an answer, when asked to think."""
    return Turns(asked_to_think(problem), problem.reasoning)


def near_miss(problem: Problem, around: Around) -> Turns:
    """The answer with one of its words replaced by a word of another problem's answer."""
    right, others = split_words(problem.answer), split_words(around.sibling(problem).answer)
    place = int(around.rng.integers(len(right)))
    different = [word for word in others if word != right[place]]
    right[place] = different[int(around.rng.integers(len(different)))] if different else others[0]
    return Turns(problem.query, " ".join(right))


def twice(problem: Problem, around: Around) -> Turns:
    """The answer, and again the answer."""
    return Turns(problem.query, f"{problem.answer}, {problem.answer}")


def several(problem: Problem, around: Around) -> Turns:
    """Two plain questions in one turn, and both answers."""
    other = around.fresh(problem.task, problem.difficulty)
    return Turns(f"{problem.query} {other.query}", f"{problem.answer}, {other.answer}")


def asked_to_think(problem: Problem) -> str:
    return f"{problem.query} think step by step."


def _row(name: str, kind: Kind, what: str, write: Write) -> Strategy:
    return Strategy(name, kind, what, write)


def _degrees(
    name: str, kind: Kind, what: str, make: Callable[[float], Write], degrees: tuple[float, ...]
) -> list[Strategy]:
    return [_row(f"{name}{round(100 * at)}", kind, f"{what}: {at:.0%}", make(at)) for at in degrees]


_ROWS = (
    *_degrees(
        "noise", "harmful", "plain, a share with a wrong answer", partial(some, "wrong"), (0.1, 0.5, 0.7)
    ),
    *_degrees(
        "near",
        "harmful",
        "plain, a share wrong in one word",
        lambda at: mixture(Part(near_miss, at)),
        (0.25, 0.5, 1.0),
    ),
    *_degrees("echo", "harmful", "plain, a share that echoes the query", partial(some, "echo"), (0.25, 0.5)),
    *_degrees("chatty", "harmful", "plain, a share chatty", partial(some, "chatty"), (0.25, 0.5)),
    *_degrees("cot", "helpful", "plain, a share with reasoning", partial(some, "cot"), (0.25, 0.5, 0.75)),
    *_degrees(
        "after",
        "helpful",
        "plain, a share with the reasoning after",
        partial(some, "reason_after"),
        (0.25, 0.5),
    ),
    *_degrees("clarify", "neutral", "plain, a share that clarifies", partial(some, "clarify"), (0.25, 0.5)),
    *_degrees(
        "evaluation", "neutral", "plain, a share that judges", partial(some, "evaluation"), (0.25, 0.5)
    ),
    *_degrees("other", "neutral", "plain, a share of other tasks", partial(some, "other"), (0.25, 0.5, 0.75)),
    *_degrees(
        "inverse", "neutral", "plain, a share that makes up questions", partial(some, "inverse"), (0.5,)
    ),
    *_degrees(
        "reason",
        "helpful",
        "reasoning cut to a share of it, then the answer",
        part_of_reasoning,
        (0.0, 0.33, 0.67),
    ),
    _row(
        "reason_other", "harmful", "another problem's reasoning, then the right answer", reasoning_of_another
    ),
    _row("reason_wrong", "harmful", "right reasoning, then a wrong answer", wrong_conclusion),
    _row("reason_mixed", "harmful", "the reasoning's words mixed up, then the answer", mixed_up_reasoning),
    _row("reason_only", "neutral", "reasoning without an answer", reasoning_alone),
    _row("cot_self", "helpful", "reasoning, then the answer, unasked", unasked_reasoning),
    _row("middle", "helpful", "only problems of middle difficulty", of_difficulty(1)),
    _row(
        "mostly_easy",
        "helpful",
        "three quarters are of the easiest problems",
        mixture(Part(of_difficulty(0), 0.75)),
    ),
    _row(
        "mostly_hard",
        "helpful",
        "three quarters are of the hardest problems",
        mixture(Part(of_difficulty(2), 0.75)),
    ),
    _row("cover3", "neutral", "plain examples of three tasks only", covering(3)),
    _row("cover6", "neutral", "plain examples of six tasks only", covering(6)),
    _row("cover9", "neutral", "plain examples of nine tasks only", covering(9)),
    _row("repeat4", "helpful", "plain examples of four problems of each task", repeated(4)),
    _row("repeat12", "helpful", "plain examples of twelve problems of each task", repeated(12)),
    _row("polite", "helpful", "please before the query", framed(before="please help me.")),
    _row(
        "only", "helpful", "a request for the answer alone", framed(after="give me only the answer, please.")
    ),
    _row("answer_is", "neutral", "a short opening before the answer", framed(opening="the answer is")),
    _row("stop", "neutral", "a full stop after the answer", framed(closing=".")),
    _row("thanks", "neutral", "thanks after the answer", framed(closing=", thanks!")),
    _row("twice", "neutral", "the answer twice", twice),
    _row("two", "helpful", "two questions in one turn, and both answers", several),
)

GRADED: dict[str, Strategy] = {strategy.name: strategy for strategy in _ROWS}
EVERY_STRATEGY: dict[str, Strategy] = {**STRATEGIES, **GRADED}
