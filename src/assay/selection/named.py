"""Columns that are made or read when they are asked for: a pool has more of them than memory need hold.

Knows no files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import overload

import numpy as np
from jaxtyping import Float

Column = Float[np.ndarray, "n"]


class Named(Mapping[str, Column]):
    """A column for each name, in the order of the names. Nothing is kept of what was asked for."""

    def __init__(self, readers: Mapping[str, Callable[[], Column]]) -> None:
        self._readers = dict(readers)

    @classmethod
    def of(cls, columns: Mapping[str, Column], called: str = "{}") -> "Named":
        """The same columns, `called` so by their names."""
        return cls({called.format(name): partial(columns.__getitem__, name) for name in columns})

    def __getitem__(self, name: str) -> Column:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:
        return name in self._readers

    def __or__(self, other: "Named") -> "Named":
        """These columns, and those of `other` behind or in place of them."""
        return Named(self._readers | other._readers)


class Listed(Sequence[Column]):
    """Columns in an order. Nothing is kept of what was asked for."""

    def __init__(self, readers: Sequence[Callable[[], Column]]) -> None:
        self._readers = list(readers)

    @classmethod
    def of(cls, columns: Sequence[Column], each: Callable[[Column], Column]) -> "Listed":
        """What a function makes of these columns."""
        return cls([partial(lambda at: each(columns[at]), at) for at in range(len(columns))])

    def __len__(self) -> int:
        return len(self._readers)

    @overload
    def __getitem__(self, at: int) -> Column: ...
    @overload
    def __getitem__(self, at: slice) -> "Listed": ...

    def __getitem__(self, at: int | slice) -> "Column | Listed":
        return Listed(self._readers[at]) if isinstance(at, slice) else self._readers[at]()
