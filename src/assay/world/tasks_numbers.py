"""Tasks about numbers: spelling, sorting, largest, adding, comparing, continuing. Answers are arithmetic."""

import numpy as np

from assay.world.problem import Difficulty, Draft
from assay.world.words import World, in_words, pick


def spell(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """A number of 2 or 3 digits, of 4 with a zero within, of 4 with none."""
    if difficulty == 0:
        number = _draw(rng, 21, 999)
    else:
        digits = [_draw(rng, 1, 9) for _ in range(4)]
        if difficulty == 1:
            digits[_draw(rng, 1, 2)] = 0
        number = int("".join(map(str, digits)))
    places = ("units", "tens", "hundreds", "thousands")
    named = [f"{places[i]} {digit}" for i, digit in enumerate(reversed(str(number)))]
    return Draft(
        query=f"write {number} in words.",
        clear=f"write the number {number} with words, not with digits.",
        answer=in_words(number),
        reasoning=", ".join(reversed(named)) + ".",
    )


def sort(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """4, 5 or 6 different digits in world 0."""
    digits = [str(digit) for digit in rng.choice(10, size=4 + difficulty + world.longer, replace=False)]
    ordered = sorted(digits)
    return Draft(
        query=f"sort: {' '.join(digits)}.",
        clear=f"write the digits from smallest to largest: {' '.join(digits)}.",
        answer=" ".join(ordered),
        reasoning=f"smallest is {', then '.join(ordered[:-1])}, last is {ordered[-1]}.",
    )


def largest(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """3, 4 or 5 different numbers of two digits in world 0."""
    numbers = [
        int(number)
        for number in rng.choice(np.arange(10, 100), size=3 + difficulty + world.longer, replace=False)
    ]
    listed = ", ".join(map(str, numbers))
    best = [max(numbers[: i + 1]) for i in range(len(numbers))]
    return Draft(
        query=f"largest of {listed}?",
        clear=f"which is the largest of the numbers {listed}?",
        answer=str(max(numbers)),
        reasoning=f"best {', best '.join(map(str, best))}.",
    )


def add(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """Two digits plus one, two plus two without carry, two plus two with carry."""
    if difficulty == 0:
        a, b = _draw(rng, 10, 89), _draw(rng, 1, 9)
    else:
        low, high = (0, 9) if difficulty == 1 else (10, 18)
        units = _draw(rng, low, high)
        a_unit = _draw(rng, max(0, units - 9), min(9, units))
        a_ten = _draw(rng, 1, 7)
        a, b = 10 * a_ten + a_unit, 10 * _draw(rng, 1, 8 - a_ten) + units - a_unit
    steps = f"units {a % 10} plus {b % 10} is {a % 10 + b % 10}"
    carry = (a % 10 + b % 10) // 10
    if carry:
        steps += ", carry 1"
    return Draft(
        query=f"sum of {a} and {b}?",
        clear=f"what number is {a} plus {b}?",
        answer=str(a + b),
        reasoning=f"{steps}, tens {a // 10} plus {b // 10 + carry} is {a // 10 + b // 10 + carry}.",
    )


def compare(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """Two people whose tens differ, two whose tens agree, three people."""
    tens = rng.choice(np.arange(1, 10), size=3, replace=False)
    units = rng.choice(10, size=3, replace=False)
    if difficulty == 1:
        tens[:] = tens[0]
    numbers = [int(10 * ten + unit) for ten, unit in zip(tens, units, strict=True)][
        : 3 if difficulty == 2 else 2
    ]
    names = pick(rng, world.names, len(numbers))
    facts = ", ".join(f"{name} has {number}" for name, number in zip(names, numbers, strict=True))
    winner = names[numbers.index(max(numbers))]
    ordered = sorted(numbers, reverse=True)
    return Draft(
        query=f"{facts}. who has most?",
        clear=f"{facts}. say the name with the largest number.",
        answer=winner,
        reasoning=f"{', then '.join(map(str, ordered))}. {ordered[0]} is {winner}.",
    )


def following(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """Rising by up to 9, falling by up to 9, rising by 10 to 19."""
    step = _draw(rng, 1, 9) if difficulty < 2 else _draw(rng, 10, 19)
    first = _draw(rng, 1, 60) if difficulty != 1 else _draw(rng, 30, 99)
    sign, word = (-1, "minus") if difficulty == 1 else (1, "plus")
    numbers = [first + sign * step * i for i in range(4)]
    shown = ", ".join(map(str, numbers[:3]))
    return Draft(
        query=f"next number: {shown}?",
        clear=f"with the same step each, which number comes after {shown}?",
        answer=str(numbers[3]),
        reasoning=f"step is {step}, {numbers[2]} {word} {step} is {numbers[3]}.",
    )


def _draw(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return int(rng.integers(low, high + 1))
