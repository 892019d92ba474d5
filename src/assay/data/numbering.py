"""Ids made unique while examples pass: a repeated `id` becomes `id#2`, `id#3`, …

Knows nothing of where examples come from.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from assay.data.example import Example
from assay.data.seen import Seen

NUMBERED = re.compile(r".*#[0-9]+", re.DOTALL)


class Numbering:
    """Keeps the first of every id as it is and numbers the others, in the order they come.

    A number never takes an id that an example carries itself, be it a later one. `ahead` gives the ids of all
    examples as they stand in the data; it is asked once, at the first repeat, and only ids of the form `id#2`
    are kept of it. `repeated` counts the examples that were numbered. Ids take 8 bytes each (`Seen`).
    """

    def __init__(self, ahead: Callable[[], Iterable[str]]) -> None:
        self._ahead = ahead
        self._seen = Seen()
        self._last_number: dict[str, int] = {}
        self._carried: set[str] | None = None
        self.repeated = 0

    def unique(self, example: Example) -> Example:
        """The example under an id that no other has."""
        if self._seen.add(example.id):
            return example
        if self._carried is None:
            self._carried = {name for name in self._ahead() if NUMBERED.fullmatch(name)}
        number = self._last_number.get(example.id, 1) + 1
        while (fresh := f"{example.id}#{number}") in self._carried:
            number += 1
        self._last_number[example.id] = number
        self.repeated += 1
        return replace(example, id=fresh)
