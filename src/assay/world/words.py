"""The words of a world: which names, nouns and places it speaks of, and its private code.

A world's seed draws them from fixed pools, so that another seed is another vocabulary with the same grammar.
Knows nothing of tasks' arithmetic, tokenizers or models.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "ann ben cora dan eva finn gina hugo iris jack kim leo mona nick olga paul rosa sam tina umar vera will "
    "yara zoe"
)
TOPICS: Mapping[str, tuple[str, ...]] = {
    "plants": _words("oak pine rose fern ivy moss lily palm reed clover"),
    "animals": _words("cat dog horse goat wolf hare fox bear mouse sheep"),
    "foods": _words("bread cheese rice soup apple pear onion honey bean cake"),
    "tools": _words("hammer saw drill axe rake spade pliers chisel file wrench"),
    "clothes": _words("coat shirt scarf glove boot sock belt dress vest cloak"),
    "weather": _words("rain snow wind fog hail storm frost cloud mist thunder"),
    "music": _words("drum flute harp violin horn piano song choir banjo cello"),
    "body": _words("hand foot nose ear knee elbow neck thumb chin heel"),
    "sea": _words("wave tide reef whale shell coral crab anchor sail harbor"),
}
CITIES = _words("oslo rome lima cairo paris delhi tokyo quito bern dakar perth riga minsk havana turin lagos")
JOBS = _words(
    "cook smith nurse pilot baker guard tailor judge farmer clerk miner poet dentist porter mason actor"
)
THINGS = _words("ball hat cup key lamp ring map coin bell kite rope mask pen box flag vase")

UNITS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")

GRAMMAR = _words(
    "a after again age am and answer are as at because best but by can carry city clear code comes count "
    "day different digits do does each every explain first for found from give good happy has have hello "
    "help how hundred hundreds i in input is it job know largest last less let like list make many me "
    "minus more most my name next nice no none not now number numbers of only or output place please "
    "plus question replace reverse right same say smallest so sort step sum sure swap tens thanks that "
    "the then they think this thousand thousands times to today topic two units was we well what which "
    "who with word words write wrong yes you your"
)
PUNCTUATION = (".", ",", ":", "?", "!")
DIGITS = tuple("0123456789")

_TOKEN = re.compile(r"\d|[a-z]+|[^\w\s]")


@dataclass(frozen=True)
class World:
    """What one seed speaks of.

    `topics` maps a topic to its nouns, `nouns` are all of them, `code` maps each code word to its secret.
    Lists that tasks are about are `longer` by so many entries than in world 0.
    """

    seed: int
    names: tuple[str, ...]
    topics: Mapping[str, tuple[str, ...]]
    cities: tuple[str, ...]
    jobs: tuple[str, ...]
    things: tuple[str, ...]
    code: Mapping[str, str]
    longer: int = 0

    @property
    def nouns(self) -> tuple[str, ...]:
        return tuple(noun for nouns in self.topics.values() for noun in nouns)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Every token that any text of this world can hold, without special tokens; sorted, no repeats."""
        own = [*self.names, *self.topics, *self.nouns, *self.cities, *self.jobs, *self.things]
        return tuple(sorted({*PUNCTUATION, *DIGITS, *UNITS, *TENS, *GRAMMAR, *own}))


@lru_cache(maxsize=16)
def make_world(seed: int = 0) -> World:
    """The world of `seed`: 12 names, 6 topics of 8 nouns, 8 cities, jobs and things, a code of 12 words.

    In a world of odd seed the lists of five tasks (reverse, sort, max, replace, same) are one entry longer.
    """
    rng = np.random.default_rng([seed, 0x1D])
    topics = {topic: pick(rng, TOPICS[topic], 8) for topic in sorted(pick(rng, tuple(TOPICS), 6))}
    nouns = tuple(noun for group in topics.values() for noun in group)
    plain = pick(rng, nouns, 12)
    secret = pick(rng, tuple(noun for noun in nouns if noun not in plain), 12)
    return World(
        seed=seed,
        names=pick(rng, NAMES, 12),
        topics=topics,
        cities=pick(rng, CITIES, 8),
        jobs=pick(rng, JOBS, 8),
        things=pick(rng, THINGS, 8),
        code=dict(zip(plain, secret, strict=True)),
        longer=seed % 2,
    )


def pick(rng: np.random.Generator, pool: tuple[str, ...], count: int) -> tuple[str, ...]:
    """`count` different entries of `pool`, in random order."""
    return tuple(pool[i] for i in rng.choice(len(pool), size=count, replace=False))


def split_words(text: str) -> list[str]:
    """The text's tokens as the tokenizer cuts them: digits alone, words, punctuation marks."""
    return _TOKEN.findall(text)


def in_words(number: int) -> str:
    """An integer from 0 to 9999 in English words without "and" or hyphens."""
    if not 0 <= number <= 9999:
        raise ValueError(f"{number} is not between 0 and 9999")
    parts = []
    if number >= 1000:
        parts += [UNITS[number // 1000], "thousand"]
    if number % 1000 >= 100:
        parts += [UNITS[number % 1000 // 100], "hundred"]
    rest = number % 100
    if rest >= 20:
        parts.append(TENS[rest // 10 - 2])
        rest %= 10
    if rest or not parts:
        parts.append(UNITS[rest])
    return " ".join(parts)
