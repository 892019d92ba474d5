"""How much is kept: a share of the pool, a number of candidates, or learned tokens. Knows no rules."""

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Int

from assay.data.texts import counted
from assay.errors import ConfigError

Unit = Literal["candidates", "learned tokens"]

STEP = 2**12
"""Numbers of an order that become Python's at a time."""

SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
WRITTEN = re.compile(
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)\s*"
    r"(?:(?P<share>%)|(?P<scale>[kmg]?)\s*(?P<tokens>tok(?:ens?|s)?)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be kept: `amount` in (0, 1] is a share of the pool, else whole candidates or tokens."""

    amount: Fraction
    unit: Literal["share", "candidates", "learned tokens"]

    @classmethod
    def parse(cls, text: str | int) -> "Budget":
        """Read "50%" as a share, "2000" or "2k" as candidates, "200ktok" or "1.5Mtok" as learned tokens.

        k, M and G are thousands, millions and thousand millions, in either case. Raises ConfigError for
        what is no number, for 0, for a share above 100% and for parts of a candidate or token.
        """
        match = WRITTEN.fullmatch(str(text).strip())
        if match is None:
            raise ConfigError(
                f"Budget {str(text)!r} cannot be read; give a share (50%), a number of candidates (2000) "
                "or of learned tokens (200ktok, 1.5Mtok)."
            )
        number = Fraction(match["number"].replace(",", ""))
        if not number:
            raise ConfigError(f"Budget {str(text)!r} keeps nothing; give more than 0.")
        if match["share"]:
            if number > 100:
                raise ConfigError(f"Budget {str(text)!r} is more than the whole pool; give at most 100%.")
            return cls(number / 100, "share")
        amount = number * SCALES[match["scale"].lower()]
        if amount.denominator != 1:
            raise ConfigError(
                f"Budget {str(text)!r} is not a whole number; for a share of the pool write it with %."
            )
        return cls(amount, "learned tokens" if match["tokens"] else "candidates")

    def __str__(self) -> str:
        if self.unit == "share":
            return f"{float(100 * self.amount):.12g}%"
        return f"{int(self.amount):,} {self.unit}"

    def of(self, tokens: Int[np.ndarray, "n"]) -> "Limit":
        """What the budget comes to for a pool with these learned tokens; a share is rounded down.

        Raises ConfigError for more than the pool holds, and for a share of less than one candidate.
        """
        n = len(tokens)
        sizes = tokens if self.unit == "learned tokens" else np.broadcast_to(np.int64(1), n)
        total = int(sizes.sum())
        amount = int(self.amount * n) if self.unit == "share" else int(self.amount)
        if amount < 1:
            raise ConfigError(f"A budget of {self} of {counted(n, 'candidate')} is less than one candidate.")
        unit: Unit = "learned tokens" if self.unit == "learned tokens" else "candidates"
        if amount > total:
            raise ConfigError(
                f"The budget is {amount:,} {unit}, but the pool has {total:,}; give at most that."
            )
        return Limit(sizes, amount, unit)


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A budget over one pool: `sizes` is what each of n candidates takes of it, `amount` what may be kept."""

    sizes: Int[np.ndarray, "n"]
    amount: int
    unit: Unit

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def total(self) -> int:
        return int(self.sizes.sum())

    @property
    def to_drop(self) -> int:
        """What has to go so that exactly `amount` stays."""
        return self.total - self.amount

    def taken(self, indices: Int[np.ndarray, "k"]) -> int:
        """What these candidates take."""
        return int(self.sizes[indices].sum())

    def fill(self, sequence: Iterable[int]) -> "Filled":
        """Candidates in turn until the budget is full: the first that does not fit ends it.

        So what a smaller budget keeps is always kept by a larger one.
        """
        kept = array("q")
        taken, over = 0, None
        for candidate in sequence:
            size = int(self.sizes[candidate])
            if taken + size > self.amount:
                over = candidate
                break
            kept.append(candidate)
            taken += size
            if taken == self.amount:
                break
        return Filled(np.array(kept, dtype=np.int64), taken, over)

    def __str__(self) -> str:
        return f"{self.amount:,} of {self.total:,} {self.unit}"


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """Who was kept in turn, what they take, and the first that did not fit; None where nobody was left."""

    kept: Int[np.ndarray, "k"]
    taken: int
    over: int | None


def in_turn(order: Int[np.ndarray, "m"]) -> Iterator[int]:
    """An order as numbers, some at a time."""
    for start in range(0, len(order), STEP):
        yield from order[start : start + STEP].tolist()
