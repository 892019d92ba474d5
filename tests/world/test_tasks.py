"""Every task's answers are right, by computations that do not use the task's own code."""

import re
from collections import Counter

import pytest

from assay.streams import stream
from assay.world.problem import DIFFICULTIES, Problem
from assay.world.tasks import DEMO_TASKS, TASKS
from assay.world.words import TENS, TOPICS, UNITS, World, in_words, make_world, split_words


def problems(task: str, world: World, count: int = 60) -> list[Problem]:
    return [
        TASKS[task].problem(world, stream("test", world.seed, task, i), DIFFICULTIES[i % 3])
        for i in range(count)
    ]


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\d+", text)]


def listed(query: str) -> list[str]:
    return query.rstrip(".?").split(": ")[1].split()


def from_words(text: str) -> int:
    """An English number read back, by adding up its words."""
    value = {word: i for i, word in enumerate(UNITS)} | {word: 10 * i for i, word in enumerate(TENS, start=2)}
    total, part = 0, 0
    for word in text.split():
        if word == "thousand":
            total, part = total + 1000 * part, 0
        elif word == "hundred":
            part *= 100
        else:
            part += value[word]
    return total + part


def solve_words(query: str, world: World) -> str:
    return in_words(numbers(query)[0])


def solve_reverse(query: str, world: World) -> str:
    return " ".join(reversed(listed(query)))


def solve_sort(query: str, world: World) -> str:
    return " ".join(map(str, sorted(numbers(query))))


def solve_max(query: str, world: World) -> str:
    return str(max(numbers(query)))


def solve_count(query: str, world: World) -> str:
    return str(Counter(listed(query))[query.split()[1]])


def solve_add(query: str, world: World) -> str:
    return str(sum(numbers(query)))


def solve_compare(query: str, world: World) -> str:
    owners = {int(number): name for name, number in re.findall(r"(\w+) has (\d+)", query)}
    return owners[max(owners)]


def solve_swap(query: str, world: World) -> str:
    """Backwards: whose thing does the asked person hold in the end?"""
    first = dict(re.findall(r"(\w+) has (\w+)[,.]", query))
    person = re.findall(r"what has (\w+)\?", query)[0]
    for a, b in reversed(re.findall(r"(\w+) and (\w+) swap", query)):
        person = {a: b, b: a}.get(person, person)
    return first[person]


def solve_topic(query: str, world: World) -> str:
    groups = Counter(topic for noun in listed(query) for topic in TOPICS if noun in TOPICS[topic])
    return groups.most_common(1)[0][0]


def solve_replace(query: str, world: World) -> str:
    old, new, rest = re.findall(r"replace (\w+) by (\w+): (.*)\.", query)[0]
    return rest.replace(old, new)


def solve_record(query: str, world: World) -> str:
    field, person = re.findall(r"(\w+) of (\w+)\?", query)[0]
    return re.findall(rf"{person}: [^.]*?{field} (\w+)", query)[0]


def solve_same(query: str, world: World) -> str:
    left, right = query.rstrip("?").split(": ")[1].split(", ")
    return "same" if left == right else "different"


def solve_next(query: str, world: World) -> str:
    a, b, c = numbers(query)
    assert b - a == c - b
    return str(2 * c - b)


def solve_code(query: str, world: World) -> str:
    return " ".join(world.code[word] for word in listed(query))


SOLVERS = {
    name.removeprefix("solve_"): solve for name, solve in globals().items() if name.startswith("solve_")
}


def test_every_task_has_an_independent_solver():
    assert set(SOLVERS) == set(TASKS)
    assert len(TASKS) >= 12 and len(DEMO_TASKS) == 12


@pytest.mark.parametrize("task", TASKS)
def test_answers_agree_with_an_independent_solver(task):
    for seed in (0, 1):
        world = make_world(seed)
        for problem in problems(task, world):
            assert problem.answer == SOLVERS[task](problem.query, world), problem


@pytest.mark.parametrize("task", TASKS)
def test_reasoning_ends_in_a_stop_and_leads_to_the_answer(task):
    """All words of the answer were named by query or reasoning, but for counts and spelled numbers."""
    for problem in problems(task, make_world()):
        assert problem.reasoning.endswith(".")
        named = set(split_words(f"{problem.query} {problem.reasoning}"))
        if task not in ("words", "count"):
            assert set(split_words(problem.answer)) <= named, problem


@pytest.mark.parametrize("task", TASKS)
def test_difficulty_grows_the_text(task):
    """Harder problems never have shorter queries on average; a table row with ignored difficulty would."""
    world = make_world()
    lengths = {d: [] for d in DIFFICULTIES}
    for problem in problems(task, world, 300):
        lengths[problem.difficulty].append(len(split_words(problem.query + problem.answer)))
    easy, _, hard = (sum(values) / len(values) for values in lengths.values())
    assert hard >= easy


def test_numbers_in_words_read_back_as_themselves():
    assert all(from_words(in_words(number)) == number for number in range(10000))
    assert in_words(0) == "zero" and in_words(1015) == "one thousand fifteen"
    with pytest.raises(ValueError, match="10000"):
        in_words(10000)


def test_both_verdicts_are_about_as_frequent():
    answers = Counter(problem.answer for problem in problems("same", make_world(), 300))
    assert min(answers["same"], answers["different"]) > 100
