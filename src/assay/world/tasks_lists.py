"""Tasks about lists of words: reversing, counting, topics, replacing, comparing, a secret code."""

import numpy as np

from assay.world.problem import Difficulty, Draft
from assay.world.words import World, pick


def reverse(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """3, 4 or 5 different nouns in world 0."""
    nouns = pick(rng, world.nouns, 3 + difficulty + world.longer)
    backwards = nouns[::-1]
    listed = " ".join(nouns)
    return Draft(
        query=f"reverse: {listed}.",
        clear=f"write the words from last to first: {listed}.",
        answer=" ".join(backwards),
        reasoning=f"last is {', then '.join(backwards[:-1])}, first is {backwards[-1]}.",
    )


def count(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """How often a noun stands in a list of 4, 6 or 8 nouns of three kinds."""
    kinds = pick(rng, world.nouns, 3)
    chosen = [kinds[i] for i in rng.integers(0, 3, size=4 + 2 * difficulty)]
    times = chosen.count(kinds[0])
    listed = " ".join(chosen)
    found = ", ".join(f"found {i}" for i in range(1, times + 1)) or "found none"
    return Draft(
        query=f"count {kinds[0]} in: {listed}.",
        clear=f"how many times is {kinds[0]} in the list: {listed}?",
        answer=str(times),
        reasoning=f"{found}.",
    )


def topic(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """The topic of 3 nouns alone, with one stray, with two strays of different topics."""
    main, *strays = pick(rng, tuple(world.topics), 1 + difficulty)
    chosen = [(noun, main) for noun in pick(rng, world.topics[main], 3)]
    chosen += [(pick(rng, world.topics[stray], 1)[0], stray) for stray in strays]
    shuffled = [chosen[i] for i in rng.permutation(len(chosen))]
    listed = " ".join(noun for noun, _ in shuffled)
    return Draft(
        query=f"topic of: {listed}?",
        clear=f"what is the topic of most of the words: {listed}?",
        answer=main,
        reasoning=", ".join(f"{noun} {group}" for noun, group in shuffled) + ".",
    )


def replace(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """Every copy of a noun in a list of 3, 4 or 5 (in world 0); it stands there once or more."""
    old, other, third, new = pick(rng, world.nouns, 4)
    chosen = [(old, other, third)[i] for i in rng.integers(0, 3, size=3 + difficulty + world.longer)]
    chosen[int(rng.integers(len(chosen)))] = old
    listed = " ".join(chosen)
    places = [str(i + 1) for i, noun in enumerate(chosen) if noun == old]
    return Draft(
        query=f"replace {old} by {new}: {listed}.",
        clear=f"write the list with {new} in place of every {old}: {listed}.",
        answer=" ".join(new if noun == old else noun for noun in chosen),
        reasoning=f"{old} is at {' and '.join(places)}.",
    )


def same(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """Whether two lists of 2, 3 or 4 nouns (in world 0) are the same; if not, they differ in one place."""
    first = pick(rng, world.nouns, 2 + difficulty + world.longer)
    second = list(first)
    if rng.random() < 0.5:
        others = tuple(noun for noun in world.nouns if noun not in first)
        second[int(rng.integers(len(second)))] = pick(rng, others, 1)[0]
    equal = list(first) == second
    left, right = " ".join(first), " ".join(second)
    return Draft(
        query=f"same or different: {left}, {right}?",
        clear=f"is each word of {left} the same in {right}, or are they different?",
        answer="same" if equal else "different",
        reasoning=", ".join(f"{a} {b}" for a, b in zip(first, second, strict=True)) + ".",
    )


def code(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """3, 4 or 5 words in this world's secret code, which only its texts reveal."""
    words = pick(rng, tuple(world.code), 3 + difficulty)
    listed = " ".join(words)
    return Draft(
        query=f"code: {listed}.",
        clear=f"write the code word for each of the words: {listed}.",
        answer=" ".join(world.code[word] for word in words),
        reasoning=", ".join(f"{word} is {world.code[word]}" for word in words) + ".",
    )
