"""Labels that many candidates share (a task, a source file), each text held once. Knows no files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

import numpy as np
from jaxtyping import Int

Label = TypeVar("Label", bound=str | None)


@dataclass(frozen=True, slots=True, eq=False)
class Coded(Sequence[Label], Generic[Label]):
    """A label for each of n candidates: `names` are the different ones in the order of the candidates, and
    `codes` say which of them each candidate has. Equal to any sequence of the same labels."""

    names: tuple[Label, ...]
    codes: Int[np.ndarray, "n"]

    @classmethod
    def of(cls, labels: Iterable[Label]) -> "Coded[Label]":
        """The same labels, as they are where they are held like this already."""
        if isinstance(labels, Coded):
            return labels
        codes: dict[Label, int] = {}
        found = np.fromiter((codes.setdefault(label, len(codes)) for label in labels), dtype=np.int32)
        return cls(tuple(codes), found)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, at: int) -> Label: ...
    @overload
    def __getitem__(self, at: slice) -> "Coded[Label]": ...

    def __getitem__(self, at: int | slice) -> "Label | Coded[Label]":
        if isinstance(at, slice):
            return Coded(self.names, self.codes[at])
        name: Label = self.names[self.codes[at]]
        return name

    def __iter__(self) -> Iterator[Label]:
        return (self.names[code] for code in self.codes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            ours == theirs for ours, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


class Coder(Generic[Label]):
    """Fills the labels of n candidates in parts, from the first to the last."""

    def __init__(self, candidates: int) -> None:
        self._names: dict[Label, int] = {}
        self._codes = np.zeros(candidates, dtype=np.int32)

    def put(self, part: slice, labels: Sequence[Label]) -> None:
        names = self._names
        self._codes[part] = [names.setdefault(label, len(names)) for label in labels]

    def coded(self) -> Coded[Label]:
        return Coded(tuple(self._names), self._codes)
