"""The arms of a validation: which sets a model is trained on, mixed or one after the other, from which start.

`base+cot` mixes two sets, `base -> clarify` trains on one after the other within each epoch, and
`continue(base) -> pos` trains the model further that the arm `base` ended with. Knows no files and no models.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.errors import ConfigError
from assay.validation.result import Kind

PRETRAINED = "pretrained"
_NAME = re.compile(r"\w+(?:[.-]\w+)*")
_CONTINUE = re.compile(r"continue\s*\(")
_ARROW = re.compile(r"->|→")


@dataclass(frozen=True, slots=True)
class Phase:
    """Sets that are mixed; the first one's batches are the steps, the others are added to them."""

    sets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """`start` is "pretrained" or the name of the arm it continues; phases are staged within each epoch."""

    name: str
    phases: tuple[Phase, ...]
    start: str = PRETRAINED

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets it is trained on, each once, in order."""
        return tuple(dict.fromkeys(name for phase in self.phases for name in phase.sets))

    @property
    def continues(self) -> bool:
        return self.start != PRETRAINED


@dataclass(frozen=True, slots=True)
class Comparison:
    """An arm and the arms it is held against beside the base, as in `result.InteractionRow`.

    `common` is the arm of what they all share alone, from which effects add up; None where there is none.
    """

    kind: Kind
    arm: str
    against: tuple[str, ...]
    common: str | None = None


@dataclass(frozen=True, slots=True)
class Design:
    """Arms in the order of their table; the first is what the others are held against."""

    name: str
    arms: tuple[Arm, ...]

    @property
    def sets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for arm in self.arms for name in arm.sets))

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return comparisons_of(self.arms)


def parse_arm(text: str) -> Arm:
    """The arm that `text` describes; its name is the text with blanks and arrows made regular.

    Raises ConfigError for a text that is no arm.
    """
    start, rest = PRETRAINED, text.strip()
    if opening := _CONTINUE.match(rest):
        inside, rest = _until_closed(rest[opening.end() :], text)
        start = parse_arm(inside).name
        arrow = _ARROW.match(rest)
        if arrow is None:
            raise ConfigError(
                f"The arm {text!r} does not say what to go on with; write, say, continue(base) -> pos."
            )
        rest = rest[arrow.end() :]
    phases = tuple(_phase(part, text) for part in _ARROW.split(rest))
    steps = " -> ".join("+".join(phase.sets) for phase in phases)
    return Arm(steps if start == PRETRAINED else f"continue({start}) -> {steps}", phases, start)


def _until_closed(rest: str, text: str) -> tuple[str, str]:
    """What stands before the bracket that closes, and what stands behind it."""
    depth = 1
    for place, sign in enumerate(rest):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return rest[:place], rest[place + 1 :].strip()
    raise ConfigError(f"The arm {text!r} has a bracket that is not closed.")


def _phase(part: str, text: str) -> Phase:
    names = tuple(name.strip() for name in part.split("+"))
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"The arm {text!r} names {name!r} as a set; write names of letters, digits, _, . and -, with "
                "+ or -> between them."
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"The arm {text!r} mixes a set with itself; name each set once.")
    return Phase(names)


def arms_of(texts: Sequence[str], sets: Sequence[str] | None = None) -> tuple[Arm, ...]:
    """The arms that the texts describe, in their order, the first one being what others are held against.

    Raises ConfigError for no arm, an arm that is there twice, one that continues an arm that is not there, or
    (where the names of the `sets` are given) one of a set that is not there.
    """
    arms = tuple(parse_arm(text) for text in texts)
    names = [arm.name for arm in arms]
    if not arms:
        raise ConfigError("There is no arm; name at least the base and one arm to hold against it.")
    for arm in arms:
        if names.count(arm.name) > 1:
            raise ConfigError(f"The arm {arm.name!r} is there twice; name it once.")
        if arm.continues and arm.start not in names:
            raise ConfigError(f"The arm {arm.name!r} continues {arm.start!r}, which is no arm; add it.")
        for name in arm.sets if sets is not None else ():
            if name not in (sets or ()):
                raise ConfigError(
                    f"The arm {arm.name!r} trains on the set {name!r}, which is not among the sets "
                    f"({', '.join(sets or ())})."
                )
    return arms


def in_order(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The arms so that each stands after the one it continues, else as given."""
    placed: list[Arm] = []
    waiting = list(arms)
    while waiting:
        there = {arm.name for arm in placed}
        ready = next((arm for arm in waiting if not arm.continues or arm.start in there), None)
        if ready is None:
            raise ConfigError(f"The arm {waiting[0].name!r} continues {waiting[0].start!r}, which is no arm.")
        placed.append(ready)
        waiting.remove(ready)
    return tuple(placed)


def matched_to(arm: Arm, arms: Sequence[Arm]) -> Arm:
    """The arm that `arm` is made equal to in steps or tokens: the first that has the same start."""
    return next(one for one in arms if one.start == arm.start)


def control_arm(arm: Arm, strategy: str, control: str, arms: Sequence[Arm]) -> Arm | None:
    """The arm with `control` in the place of `strategy`; None where there is none."""
    phases = tuple(
        Phase(tuple(control if name == strategy else name for name in phase.sets)) for phase in arm.phases
    )
    return next((one for one in arms if (one.phases, one.start) == (phases, arm.start)), None)


def comparisons_of(arms: Sequence[Arm]) -> tuple[Comparison, ...]:
    """What can be asked of these arms beside the base.

    "together": an arm that mixes two or more sets into another's batches, where the arms with one of them
    each are there. "staged": an arm of phases of one set each, where the arm that mixes them is there.
    """
    by_form = {(arm.start, tuple(phase.sets for phase in arm.phases)): arm.name for arm in arms}
    found = []
    for arm in arms:
        first, *more = arm.phases[0].sets
        if len(arm.phases) > 1:
            mixed = tuple(phase.sets[0] for phase in arm.phases)
            forms = [(mixed,)] if all(len(phase.sets) == 1 for phase in arm.phases) else []
            kind: Kind = "staged"
        else:
            forms = [((first, name),) for name in more] if len(more) > 1 else []
            kind = "together"
        names = [by_form[arm.start, form] for form in forms if (arm.start, form) in by_form]
        if forms and len(names) == len(forms):
            common = by_form.get((arm.start, ((first,),))) if kind == "together" else None
            found.append(Comparison(kind, arm.name, tuple(names), common))
    return tuple(found)


DESIGNS: dict[str, Design] = {
    name: Design(name, arms_of(texts))
    for name, texts in {
        "in-task": (
            "base",
            "continue(base) -> pos",
            "continue(base) -> cot",
            "continue(base) -> clarify",
            "continue(base) -> eval",
        ),
        "cross-task": (
            "base",
            "base+cot",
            "base+clarify",
            "base -> clarify",
            "base+eval",
            "base+cot+clarify",
            "base+cot+eval",
            "base+clarify+eval",
            "base+cot+clarify+eval",
        ),
    }.items()
}
"""The arms of Peng et al. 2025 (arXiv 2502.13514), Tables 1 and 2; sets base, pos, cot, clarify and eval."""


def design_named(name: str) -> Design:
    """The ready-made design called `name`; ConfigError names those there are."""
    if name not in DESIGNS:
        raise ConfigError(f"There is no design {name!r}; choose one of {', '.join(DESIGNS)}.")
    return DESIGNS[name]
