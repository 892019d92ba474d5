"""What a study says: curves, intervals, verdicts, flags. Plain data, no computing, no files."""

from dataclasses import dataclass, field
from typing import Any, Literal

Context = Literal["in-task", "cross-task"]
Target = Literal["tasks like these", "these tasks"]
VsControl = Literal["better", "like", "worse", "undecided"]
VsZero = Literal["helps", "none", "harms", "undecided"]
When = Literal["early", "late", "throughout", "undecided"]
Evidence = Literal["gradient", "lookahead"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval and the population the interval speaks of."""

    value: float
    low: float
    high: float
    standard_error: float
    target: Target
    tasks: int
    method: str  # "delete-one-task jackknife with t quantiles" or "bootstrap within tasks"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    checkpoint: str
    step: int | None
    epoch: float | None
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of the paper's figures: a probe set on a query set in a context, by one estimator.

    `level` is the mean over checkpoints, `last` the last one, `trend` the mean of the later half minus the
    mean of the earlier half (None for a single checkpoint).
    """

    probe_set: str
    query_set: str
    context: Context
    estimator: str
    points: tuple[CurvePoint, ...]
    level: Estimate
    last: Estimate
    trend: Estimate | None


@dataclass(frozen=True, slots=True)
class Flag:
    """A caveat of one verdict or of the whole study; `code` is stable, `sentence` is for reading."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Settle:
    """What keeps a verdict undecided, and about how many more would settle it.

    `limits` names the largest variance component; `more` is the total number of that unit (per task for
    probes and queries) expected to settle it, None if no number will. Seeds are those of a lookahead.
    """

    limits: Literal["probes", "queries", "tasks", "seeds"]
    have: int
    more: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One strategy on one query set in one context.

    `effect` is the strategy's level, `control_effect` the control's, `difference` strategy − control
    (paired); all are signed so that positive is good for the user (reversed on undesired query sets).
    `margin` is relative: a difference within ±margin · |control_effect| is "like". The control's own verdict
    has no `vs_control`, `control_effect` and `difference`. `evidence` is what it rests on: with
    "lookahead" the estimates are nats per query after real steps.
    """

    probe_set: str
    query_set: str
    context: Context
    estimator: str
    vs_control: VsControl | None
    vs_zero: VsZero
    when: When
    sentence: str
    effect: Estimate
    control_effect: Estimate | None
    difference: Estimate | None
    margin: float | None
    flags: tuple[Flag, ...] = ()
    settle: Settle | None = None
    evidence: Evidence = "gradient"


@dataclass(frozen=True, slots=True)
class Cell:
    """Mean influence of a probe set's task i on a query set's task j, averaged over checkpoints."""

    probe_set: str
    query_set: str
    probe_task: str
    query_task: str
    value: float


@dataclass(frozen=True, slots=True)
class Extreme:
    """A probe-query pair at one end of the distribution, with the texts to read."""

    probe_set: str
    query_set: str
    probe_id: str
    query_id: str
    probe_text: tuple[str, str]
    query_text: tuple[str, str]
    value: float
    context: Context


@dataclass(frozen=True, slots=True)
class SetSummary:
    """Counts of one set, for the report's table of what was studied."""

    name: str
    role: Literal["probe", "control", "query"]
    direction: Literal["desired", "undesired"]
    examples: int
    tasks: int
    median_tokens: float
    mean_loss_per_token: float  # at the last checkpoint


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference example and its versions, as in the paper's Table 3."""

    pair: str
    task: str | None
    versions: tuple[tuple[str, str, str], ...]  # (set name, prompt, completion)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Pos − Neg: does training on a probe set lift the good responses more than the bad ones?

    `estimate` is its level on the `desired` query set minus its level on the `undesired` one, as measured:
    positive leans to the good responses. `difference` is that contrast minus the control's own (paired).
    """

    probe_set: str
    desired: str
    undesired: str
    context: Context
    estimator: str
    leans: Literal["desired", "undesired", "undecided"]
    sentence: str
    estimate: Estimate
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class Rung:
    """One kind of evidence by itself: its verdicts, what it did, added and cost, and what it left out.

    `what` says what was done, `added` what it changed. `seconds` is the time of measuring it (None where that
    is not known), `arms` counts trainings (0 for gradients). `notes` say what was left out or assumed.
    """

    evidence: Evidence
    verdicts: tuple[Verdict, ...]
    what: str
    added: str
    seconds: float | None
    arms: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Everything a report shows; `about` holds provenance (model, command, versions, fingerprint, times).

    `rungs` holds each kind of evidence by itself, weakest first, where a study climbed beyond gradients;
    `verdicts` then holds the strongest that there is of each.
    """

    verdicts: tuple[Verdict, ...]
    curves: tuple[Curve, ...]
    cells: tuple[Cell, ...]
    extremes: tuple[Extreme, ...]
    sets: tuple[SetSummary, ...]
    references: tuple[Reference, ...]
    flags: tuple[Flag, ...]
    excluded_pairs: int
    estimator: str
    design: str | None
    about: dict[str, Any] = field(default_factory=dict)
    contrasts: tuple[Contrast, ...] = ()
    rungs: tuple[Rung, ...] = ()
