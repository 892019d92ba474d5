"""What became of one reference under one strategy. Knows neither."""

from collections.abc import Mapping
from dataclasses import dataclass

from assay.data.example import Example


@dataclass(frozen=True, slots=True)
class Tried:
    """A text that was refused, and why, as a clause: "its answer is 7 and not 8"."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Crafted:
    """The examples by name of their set; `asked` counts the requests that this took, cached ones too."""

    sets: Mapping[str, tuple[Example, ...]]
    asked: int = 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The strategy does not want this reference (`keep_if`): no fault of anybody."""

    step: str
    reason: str
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was written failed its checks, every time it was tried; `step` is a step or a set."""

    step: str
    reason: str
    tried: tuple[Tried, ...] = ()
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """No reply came. Not the data's fault; a rerun asks again."""

    step: str
    reason: str
    asked: int = 0


Outcome = Crafted | LeftOut | Rejected | Failed
