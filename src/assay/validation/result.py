"""What a validation says: levels and effects of arms, interactions, predictions beside outcomes.

Plain data, no computing, no files. One sign everywhere: a positive effect is good for the user, so a lower
loss or more right answers on a desired query set, the reverse on an undesired one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

Direction = Literal["desired", "undesired"]
Context = Literal["in-task", "cross-task"]
Kind = Literal["together", "staged"]
Against = Literal["base", "control"]
Unit = Literal["nats per query", "share of right answers", "its own unit"]
Resampled = Literal["seeds", "seeds and queries", "queries", "nothing"]


@dataclass(frozen=True, slots=True)
class Measure:
    """How an arm is measured on a query: `name` is a column, `title` is for reading.

    A loss is in nats per query, summed over the response's tokens, and falls where training helps; right
    answers are 0 or 1 per query, 1 for right. A benchmark's metric of another kind is in a unit of its own.
    """

    name: str
    title: str
    unit: Unit
    higher_is_better: bool = True

    @property
    def is_right(self) -> bool:
        return self.unit == "share of right answers"


@dataclass(frozen=True, slots=True)
class QuerySet:
    name: str
    direction: Direction
    queries: int
    tasks: int


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """An arm and what it learned from under one base model; numbers are means over seeds.

    `start` is "pretrained" or the name of the arm it continues, whose steps are not counted here. `tokens`
    are learned tokens, each counted as often as it was learned from; so are `examples`.
    """

    model: str
    name: str
    start: str
    phases: tuple[tuple[str, ...], ...]
    steps: float
    examples: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Level:
    """Where an arm stands, in the measure's own unit and sign: the mean over queries, then over seeds.

    `low` and `high` are None where no interval can be given; `resampled` names what it would be redrawn from
    and `method` how it was made, in a clause.
    """

    value: float
    low: float | None
    high: float | None
    resampled: Resampled
    method: str


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference between arms, paired by seed and query; positive is good for the user.

    `per_seed` has the difference of each seed. `low`, `high`, `standard_error`, `p` are None where nothing
    can be said of chance; `p_holm` is Holm's over the `family` tests of its table. `test` names the test,
    `resampled` what it takes to be redrawn: with "seeds" the queries are these very ones, with "queries" the
    trainings are these very ones. `left_out` counts pairs of a seed and a query that lack a value in one of
    the arms.
    """

    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    p: float | None
    test: str
    resampled: Resampled
    seeds: int
    queries: int
    per_seed: tuple[float, ...]
    left_out: int = 0
    p_holm: float | None = None
    family: int = 0

    @property
    def sign(self) -> int:
        """+1 or −1 where the interval excludes 0 on that side, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True, slots=True)
class Row:
    """One arm on one query set by one measure under one base model; the reference arm has no effect."""

    model: str
    arm: str
    query_set: str
    direction: Direction
    measure: str
    level: Level
    effect: Effect | None


@dataclass(frozen=True, slots=True)
class InteractionRow:
    """An arm against the arms it is made of.

    "together": `arm` mixes the sets that `against` adds one at a time; `beyond` are the differences from each
    of them, `additivity` is its effect minus the sum of theirs, against the arm of what they all share
    (positive: more than the sum; None where that arm is not there). "staged": `arm` has the sets of the one
    arm in `against` one after the other within each epoch; no additivity.
    """

    model: str
    query_set: str
    direction: Direction
    measure: str
    kind: Kind
    arm: str
    against: tuple[str, ...]
    beyond: tuple[Effect, ...]
    additivity: Effect | None

    @property
    def more_than_each(self) -> bool:
        """Every difference in `beyond` lies above 0 with its whole interval (an intersection-union test)."""
        return all(effect.sign > 0 for effect in self.beyond)


@dataclass(frozen=True, slots=True)
class Beside:
    """A prediction beside what training did.

    `predicted` is the study's value with its interval, positive good for the user, and `verdict` its word
    (helps, harms, better, worse, …). `against` says what both are held against: the model trained on the
    base alone, or the arm with the control in the strategy's place. `committed`: the verdict has a sign;
    `clear`: the true interval excludes 0; `agrees`: predicted value and true effect have one sign, None where
    one of them is 0; `kept`: a committed verdict has the sign of the true effect, None for others.
    """

    model: str
    measure: str
    strategy: str
    query_set: str
    direction: Direction
    context: Context
    against: Against
    arm: str
    verdict: str
    predicted: float
    predicted_low: float | None
    predicted_high: float | None
    true: float
    true_low: float | None
    true_high: float | None
    committed: bool
    clear: bool
    agrees: bool | None
    kept: bool | None


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with Wilson's interval; value and interval are None where `of` is 0."""

    count: int
    of: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Rank:
    """Spearman's rank correlation over n rows; None where it is not defined or has no interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far predictions and outcomes agree in one context under one base model, by one measure.

    Over the query sets of one `direction`: an undesired set with the questions of a desired one mirrors it.

    `signs`: rows whose predicted value has the sign of the true effect, of all rows where both have one.
    `committed`: committed verdicts of all; `kept`: committed verdicts with the true sign, of the committed;
    `clear_committed`: committed verdicts, of the rows whose true interval excludes 0.
    """

    model: str
    measure: str
    context: Context
    against: Against
    direction: Direction
    rows: tuple[Beside, ...]
    signs: Share
    rank: Rank
    committed: Share
    kept: Share
    clear_committed: Share


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to read: what the reference arm said to a query and what another arm said."""

    model: str
    arm: str
    seed: int
    query_set: str
    query_id: str
    prompt: str
    reference: str
    before: str
    after: str
    right_before: bool | None
    right_after: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class ValidationResult:
    """A finished validation; the report is made from it alone.

    `reference` is the arm that effects are differences from. `settings` is what a person set. `match` is what
    arms were made equal in. `notes` are sentences that go with every table (multiplicity, what was resampled,
    what was left out). `judge` has counts of the judge's replies and their cost, empty without a judge.
    """

    settings: Mapping[str, Any]
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    match: str
    reference: str
    arms: tuple[ArmSummary, ...]
    query_sets: tuple[QuerySet, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    interactions: tuple[InteractionRow, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    answers: tuple[Answered, ...] = ()
    notes: tuple[str, ...] = ()
    judge: Mapping[str, Any] = field(default_factory=dict)
    confidence: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """JSON-like: tuples are lists, numbers that are not finite are null."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
