"""The table of data strategies: ways of making a training example out of a reference problem.

To add one, write a function (problem, around) → Turns and give it a row. What a strategy *is* stands in
`kind`: by construction it shows right answers to the task (helpful), shows right things that are not the
answers queries ask for (neutral), or teaches answers that are wrong, cut or buried (harmful). What it *does*
to a model is for a study to predict and for training to tell.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from assay.world.documents import TALK
from assay.world.problem import DIFFICULTIES, Difficulty, Problem
from assay.world.splits import Split, draw
from assay.world.tasks import TASKS
from assay.world.words import World, split_words

Kind = Literal["helpful", "neutral", "harmful"]


class Turns(NamedTuple):
    """What the user says and what the assistant answers."""

    prompt: str
    completion: str


@dataclass
class Around:
    """What a strategy may draw on besides its reference: other problems of the same split, and chance.

    `used` collects the queries that `fresh` has given out, so that no two examples of a set are alike;
    `kept` is a place for problems that a strategy uses again.
    """

    world: World
    split: Split
    rng: np.random.Generator
    used: set[str] = field(default_factory=set)
    kept: list[Problem] = field(default_factory=list)

    def sibling(self, problem: Problem) -> Problem:
        """A problem of the same task and difficulty whose answer is another one."""
        while True:
            other = draw(
                TASKS[problem.task], self.world, self.rng, self.split, problem.difficulty, {problem.query}
            )
            if other.answer != problem.answer:
                return other

    def fresh(self, task: str, difficulty: Difficulty) -> Problem:
        """A problem of a task that was not given out before."""
        problem = draw(TASKS[task], self.world, self.rng, self.split, difficulty, self.used)
        self.used.add(problem.query)
        return problem


Write = Callable[[Problem, Around], Turns]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way of writing examples. A `leaks` strategy is given the query set's own problems."""

    name: str
    kind: Kind
    what: str
    write: Write
    leaks: bool = False


def direct(problem: Problem, around: Around) -> Turns:
    return Turns(problem.query, problem.answer)


def cot(problem: Problem, around: Around) -> Turns:
    return Turns(f"{problem.query} think step by step.", worked(problem))


def reason_after(problem: Problem, around: Around) -> Turns:
    return Turns(f"{problem.query} explain after.", f"{problem.answer}, because {problem.reasoning}")


def clarify(problem: Problem, around: Around) -> Turns:
    return Turns(f"make this question clear: {problem.query}", problem.clear)


def reprompt(problem: Problem, around: Around) -> Turns:
    return Turns(problem.clear, problem.answer)


def eval_pos(problem: Problem, around: Around) -> Turns:
    return _evaluation(problem, problem.answer)


def eval_neg(problem: Problem, around: Around) -> Turns:
    return _evaluation(problem, around.sibling(problem).answer)


def evaluation(problem: Problem, around: Around) -> Turns:
    return (eval_pos if around.rng.random() < 0.5 else eval_neg)(problem, around)


def judge(problem: Problem, around: Around) -> Turns:
    asked, answered = evaluation(problem, around)
    return Turns(f"{asked} right or wrong?", split_words(answered)[-2])


def easier(problem: Problem, around: Around) -> Turns:
    return direct(around.fresh(problem.task, 0), around)


def harder(problem: Problem, around: Around) -> Turns:
    return direct(around.fresh(problem.task, 2), around)


def inverse(problem: Problem, around: Around) -> Turns:
    return Turns(f"make a question with the answer {problem.answer}.", problem.query)


def other(problem: Problem, around: Around) -> Turns:
    names = [name for name in TASKS if name != problem.task]
    difficulty = DIFFICULTIES[int(around.rng.integers(len(DIFFICULTIES)))]
    return direct(around.fresh(names[int(around.rng.integers(len(names)))], difficulty), around)


def chatty(problem: Problem, around: Around) -> Turns:
    return Turns(
        problem.query, f"sure, i am happy to help you! the answer is {problem.answer}. have a nice day!"
    )


def truncated(problem: Problem, around: Around) -> Turns:
    words = split_words(worked(problem))
    return Turns(problem.query, " ".join(words[: len(words) // 2]))


def noise30(problem: Problem, around: Around) -> Turns:
    return (wrong if around.rng.random() < 0.3 else direct)(problem, around)


def wrong(problem: Problem, around: Around) -> Turns:
    return Turns(problem.query, around.sibling(problem).answer)


def shuffled(problem: Problem, around: Around) -> Turns:
    words = split_words(problem.answer)
    if len(set(words)) == 1:
        return wrong(problem, around)
    while (mixed := [words[i] for i in around.rng.permutation(len(words))]) == words:
        pass
    return Turns(problem.query, " ".join(mixed))


def random(problem: Problem, around: Around) -> Turns:
    vocabulary = around.world.vocabulary
    drawn = around.rng.integers(len(vocabulary), size=len(split_words(problem.answer)))
    return Turns(problem.query, " ".join(vocabulary[i] for i in drawn))


def echo(problem: Problem, around: Around) -> Turns:
    return Turns(problem.query, problem.query)


def irrelevant(problem: Problem, around: Around) -> Turns:
    return Turns(problem.query, TALK[int(around.rng.integers(len(TALK)))][1])


def worked(problem: Problem) -> str:
    """The reasoning, then the answer."""
    return f"{problem.reasoning} so the answer is {problem.answer}."


def _evaluation(problem: Problem, output: str) -> Turns:
    verdict = "right" if output == problem.answer else "wrong"
    asked = f"does the output answer the input? input: {problem.query} output: {output}."
    return Turns(asked, f"{worked(problem)} the output is {verdict}.")


_ROWS = (
    Strategy("direct", "helpful", "the plain query and its answer: the control", direct),
    Strategy("same", "helpful", "the queries themselves: a leak that must be noticed", direct, leaks=True),
    Strategy("cot", "helpful", "reasoning, then the answer, when asked to think", cot),
    Strategy(
        "reason_after", "helpful", "the answer, then the reasoning, when asked to explain", reason_after
    ),
    Strategy("reprompt", "helpful", "the query in other and fuller words, and its answer", reprompt),
    Strategy("easier", "helpful", "only the easiest problems of the task", easier),
    Strategy("harder", "helpful", "only the hardest problems of the task", harder),
    Strategy("clarify", "neutral", "a terse query is rewritten with its requirements", clarify),
    Strategy("eval_pos", "neutral", "a right output is judged, with reasons", eval_pos),
    Strategy("eval_neg", "neutral", "a wrong output is judged, with reasons", eval_neg),
    Strategy("evaluation", "neutral", "eval_pos or eval_neg by the toss of a coin", evaluation),
    Strategy("judge", "neutral", "an output is judged right or wrong, without reasons", judge),
    Strategy("inverse", "neutral", "a query is made up for a given answer", inverse),
    Strategy("other", "neutral", "plain examples of other tasks under this task's label", other),
    Strategy("chatty", "harmful", "the answer is buried in small talk", chatty),
    Strategy("truncated", "harmful", "the first half of a worked answer", truncated),
    Strategy("noise30", "harmful", "plain examples, 30% of them with a wrong answer", noise30),
    Strategy("wrong", "harmful", "the answer of another problem of the task", wrong),
    Strategy(
        "shuffled",
        "harmful",
        "the answer's tokens in another order, or a wrong token",
        shuffled,
    ),
    Strategy("random", "harmful", "random words, as many as the answer has", random),
    Strategy("echo", "harmful", "the query again in place of an answer", echo),
    Strategy("irrelevant", "harmful", "small talk in place of an answer", irrelevant),
)

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in _ROWS}
