"""Tasks about people: who holds what after swaps, and reading a record."""

import numpy as np

from assay.world.problem import Difficulty, Draft
from assay.world.words import World, pick


def swap(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """Two people swap once, two swap once or twice, three swap twice (any two of them each time)."""
    people = pick(rng, world.names, 2 + (difficulty == 2))
    holds = dict(zip(people, pick(rng, world.things, len(people)), strict=True))
    story = ", ".join(f"{person} has {thing}" for person, thing in holds.items()) + "."
    reasoning = ""
    swaps = (1, int(rng.integers(1, 3)), 2)[difficulty]
    for _ in range(swaps):
        a, b = pick(rng, people, 2)
        holds[a], holds[b] = holds[b], holds[a]
        story += f" {a} and {b} swap."
        reasoning += f" now {a} has {holds[a]}, {b} has {holds[b]}."
    asked = pick(rng, people, 1)[0]
    return Draft(
        query=f"{story} what has {asked}?",
        clear=f"{story} after every swap, what is it {asked} has?",
        answer=holds[asked],
        reasoning=reasoning.strip(),
    )


def record(world: World, rng: np.random.Generator, difficulty: Difficulty) -> Draft:
    """A field of one person with two fields, with three, or of one of two people with two fields each."""
    people = pick(rng, world.names, 1 + (difficulty == 2))
    facts = [
        {
            "city": pick(rng, world.cities, 1)[0],
            "job": pick(rng, world.jobs, 1)[0],
            "age": str(int(rng.integers(18, 90))),
        }
        for _ in people
    ]
    fields = pick(rng, tuple(facts[0]), 3 if difficulty == 1 else 2)
    lines = [
        f"{name}: " + ", ".join(f"{f} {fact[f]}" for f in fields)
        for name, fact in zip(people, facts, strict=True)
    ]
    asked, field = int(rng.integers(len(people))), pick(rng, fields, 1)[0]
    text = ". ".join(lines)
    return Draft(
        query=f"{text}. {field} of {people[asked]}?",
        clear=f"{text}. what is the {field} in the list of {people[asked]}?",
        answer=facts[asked][field],
        reasoning=f"{people[asked]} has {field} {facts[asked][field]}.",
    )
