"""What a strategy is: steps that make values, and sets of examples written from them. Plain data.

All texts in it are templates over the reference and the values made so far; `templates` fills them in,
`reading` makes a strategy from its YAML file, `work` carries it out. Knows no files and no models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from assay.asking.request import By

Role = Literal["probe", "control", "query", "undesired"]
"""What a study does with a set; `undesired` is a query set of bad responses."""

TurnRole = Literal["system", "user", "assistant"]

ReadAs = Literal["text", "json", "label"]


@dataclass(frozen=True, slots=True)
class Check:
    """A row of `checks.CHECKS` and its options.

    `of` names the part that is looked at: a field of a value read as JSON, `prompt` or `completion` of a set.
    `against` is a template of what the part is compared with, by default the reference's query or response.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    of: str | None = None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class TurnText:
    """A template of one turn; `learn` is False for an assistant's turn that is shown and not learned."""

    role: TurnRole
    text: str
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Given:
    """A value made from columns of the reference's row, where it has them all; then no model is asked.

    `text` stands for a reply; a value read as JSON has `fields` instead.
    """

    columns: tuple[str, ...]
    text: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Let:
    """A value that is set: `text`, or one of `choose`, picked by a hash of the reference's id."""

    name: str
    text: str | None = None
    choose: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """A value that a model is asked for.

    `read` says how a reply becomes a value: the text itself, an object with the fields `names`, or the last
    of the labels `names` that it says. A reply that fails is asked for again, `attempts` times in all.
    Where `keep_if` (an expression) is false the reference is left out, and `otherwise` says why.
    """

    name: str
    turns: tuple[TurnText, ...]
    by: By = "writer"
    given: Given | None = None
    read: ReadAs = "text"
    names: tuple[str, ...] = ()
    temperature: float = 0.7
    max_tokens: int = 1024
    attempts: int = 3
    checks: tuple[Check, ...] = ()
    keep_if: str | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A set that gets one example of each reference: its turns, the last of which is the completion.

    `name` is the set's file; `called` its name in the study (`as:` in the file), which a control and a query
    set may share, as the paper's Pos does. Turns before the reference's query (a system prompt, a
    conversation) come before `turns`.
    """

    name: str
    turns: tuple[TurnText, ...]
    role: Role = "probe"
    called: str = ""
    checks: tuple[Check, ...] = ()

    @property
    def study_name(self) -> str:
        return self.called or self.name


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way of making examples from references. `columns` are those that every row must have."""

    name: str
    what: str
    steps: tuple[Let | Ask, ...]
    writes: tuple[Written, ...]
    source: str | None = None
    design: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it writes control and query sets as well, and not probes alone."""
        return any(one.role != "probe" for one in self.writes)

    @property
    def asks(self) -> tuple[Ask, ...]:
        return tuple(step for step in self.steps if isinstance(step, Ask))
