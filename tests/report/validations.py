"""Validations made up by hand and worked out by the real tables of effects."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from assay.validation.against import Prediction, agreements_of, beside
from assay.validation.arms import DESIGNS
from assay.validation.effects import Measured, effect, interactions_of, rows_of, sentences
from assay.validation.result import (
    Answered,
    ArmSummary,
    Beside,
    Direction,
    Measure,
    QuerySet,
    ValidationResult,
)

LOSS = Measure("loss", "answer loss", "nats per query", higher_is_better=False)
EXACT = Measure("exact", "exact match", "share of right answers")
GAINS = {"cot": 0.30, "clarify": 0.10, "eval": -0.12}
FORETOLD = {"cot": ("helps", 0.05), "clarify": ("none", 0.01), "eval": ("helps", 0.02)}


def make_validation(
    design: str = "cross-task",
    models: Sequence[str] = ("llama-60m",),
    seeds: int = 3,
    queries: int = 80,
    text: str = "",
    **fields: Any,
) -> ValidationResult:
    """Losses and right answers drawn around known gains; `text` stands in every text of data."""
    arms = DESIGNS[design].arms
    sets = (QuerySet(f"good{text}", "desired", queries, 4), QuerySet(f"bad{text}", "undesired", queries, 4))
    rows, interactions, besides = [], [], []
    for model in (f"{model}{text}" for model in models):
        for one in sets:
            for measure in (LOSS, EXACT):
                measured = _measured(design, model, one.name, one.direction, measure, seeds, queries)
                rows += rows_of(measured, "base")
                interactions += interactions_of(measured, DESIGNS[design].comparisons)
                besides += [
                    _beside(measured, name, f"{name}{text}")
                    for name in FORETOLD
                    if f"base+{name}" in measured.values
                ]
    made: dict[str, Any] = {
        "settings": {"command": f"assay validate --arms arms.yaml{text}", "date": "2026-11-21", "epochs": 3},
        "models": tuple(f"{model}{text}" for model in models),
        "seeds": tuple(range(seeds)),
        "match": "steps",
        "reference": "base",
        "arms": tuple(
            ArmSummary(name, arm.name, arm.start, tuple(p.sets for p in arm.phases), 60, 960, 30_720)
            for name in (f"{model}{text}" for model in models)
            for arm in arms
        ),
        "query_sets": sets,
        "measures": (LOSS, EXACT),
        "rows": tuple(rows),
        "interactions": tuple(interactions),
        "agreements": agreements_of(besides),
        "answers": make_answers(arms[1].name, f"{models[0]}{text}", sets[0].name, text),
        "notes": (*sentences("fixed", seeds, len(models)), *((text,) if text else ())),
    }  # fmt: skip
    return ValidationResult(**{**made, **fields})


def make_answers(arm: str, model: str, query_set: str, text: str, copies: int = 3) -> tuple[Answered, ...]:
    """Answers of all four fates, and one that nobody checked."""
    fates = ((False, True), (True, False), (True, True), (False, False), (None, True))
    return tuple(
        Answered(
            model, arm, 0, query_set, f"q{place}-{copy}{text}", f"What is {copy} + {copy}?{text}",
            f"{2 * copy}{text}", f"before {copy}{text}", f"after {copy}{text}", *fate,
        )
        for place, fate in enumerate(fates)
        for copy in range(copies)
    )  # fmt: skip


def _beside(measured: Measured, name: str, strategy: str) -> Beside:
    """What was foretold of a strategy against the base, and what mixing it in did."""
    word, value = FORETOLD[name]
    ends = value - 0.02, value + 0.02
    said = Prediction(strategy, measured.query_set, "cross-task", "base", word, value, *ends)
    arm = f"base+{name}"
    true = effect(measured, {arm: 1.0, "base": -1.0})
    return beside(
        said, true, model=measured.model, measure=measured.measure.name, arm=arm, direction=measured.direction
    )


def _measured(
    design: str, model: str, query_set: str, direction: Direction, measure: Measure, seeds: int, queries: int
) -> Measured:
    draw = np.random.default_rng([len(model), direction == "desired", measure.is_right])
    hard = draw.normal(3.0, 0.6, (seeds, queries))
    values = {}
    for arm in DESIGNS[design].arms:
        gain = sum(GAINS.get(name, 0.0) for name in arm.sets)
        loss = hard - gain + 0.02 * draw.standard_normal((seeds, 1)) + 0.05 * draw.standard_normal(hard.shape)
        values[arm.name] = (loss < 3.0).astype(float) if measure.is_right else loss
    return Measured(model, query_set, direction, measure, values)
