"""What a swift study said, read from its folder, and held against what training did.

A study's verdicts are of one strategy, on one query set, within tasks or across them. They are held against
arms that add that strategy's set alone. Knows no statistics: those are in `validation.against`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.data.example import Example
from assay.errors import ConfigError, DataError
from assay.files import read_json
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.inputs import Examples
from assay.studies.result import Estimate, Verdict
from assay.validation.against import CAVEAT, Prediction, agreements_of, beside, predictions_of
from assay.validation.arms import Arm, control_arm
from assay.validation.effects import Measured, effect
from assay.validation.result import Agreement, Beside, Context

STUDY = "study.json"


@dataclass(frozen=True, slots=True)
class StudySaid:
    """The verdicts of a study, the name of its control (None without one), and the model it was made on."""

    verdicts: tuple[Verdict, ...]
    control: str | None
    model: str | None


def read_study(place: Path) -> StudySaid:
    """A study from its run folder, or its `study.json`. Raises ConfigError where there is none."""
    path = place / STUDY if place.is_dir() else place
    if not path.is_file():
        raise ConfigError(
            f"--study {place}: there is no {STUDY}; give the folder of a finished `assay study`."
        )
    try:
        stored = read_json(path)
        verdicts = tuple(_verdict(one) for one in stored["verdicts"])
        controls = [one["name"] for one in stored["sets"] if one["role"] == "control"]
        model = stored["about"].get("model")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"--study {place}: {path} cannot be read as a study; run `assay study` again."
        ) from error
    return StudySaid(verdicts, next(iter(controls), None), model)


def _verdict(stored: Mapping[str, Any]) -> Verdict:
    estimates = {name: _estimate(stored[name]) for name in ("effect", "control_effect", "difference")}
    plain = ("probe_set", "query_set", "context", "estimator", "vs_control", "vs_zero", "when", "sentence")
    return Verdict(
        **{name: stored[name] for name in plain},
        **estimates,  # type: ignore[arg-type]  # a verdict has an effect
        margin=stored["margin"],
        evidence=stored["evidence"],
    )


def _estimate(stored: Mapping[str, Any] | None) -> Estimate | None:
    """An estimate without an interval was written with null bounds."""
    if stored is None:
        return None
    bounds = {
        name: math.nan if stored[name] is None else stored[name] for name in ("low", "high", "standard_error")
    }
    return Estimate(**{**stored, **bounds})


def agreements(
    config: ValidateConfig,
    arms: Sequence[Arm],
    measured: Sequence[Measured],
    examples: Examples,
    study: StudySaid,
) -> tuple[tuple[Agreement, ...], tuple[str, ...]]:
    """How far the study and the effects agree, and sentences about what could be held against what."""
    predictions = predictions_of(study.verdicts)
    fitting = [one for one in predictions if one.context in _contexts(config, examples, one)]
    rows = [row for one in measured for row in _rows(one, arms, fitting, study.control, config)]
    held = {(row.strategy, row.query_set) for row in rows}
    left = sorted({(one.strategy, one.query_set) for one in predictions} - held)
    notes = [f"The study was made on {study.model}."] if study.model else []
    if left:
        named = ", ".join(f"{strategy} on {query_set}" for strategy, query_set in left)
        notes.append(
            f"Verdicts without an outcome (no arm that adds this set alone, no such query set, or tasks of "
            f"which the queries share some and lack others): {named}."
        )
    return agreements_of(rows), tuple([*notes, CAVEAT] if rows else notes)


def _rows(
    measured: Measured,
    arms: Sequence[Arm],
    predictions: Sequence[Prediction],
    control: str | None,
    config: ValidateConfig,
) -> Iterator[Beside]:
    for prediction in predictions:
        if prediction.query_set != measured.query_set:
            continue
        for arm in arms:
            if added(arm, arms) != {prediction.strategy}:
                continue
            other: Arm | None = arms[0]
            if prediction.against == "control":
                other = None if control is None else control_arm(arm, prediction.strategy, control, arms)
            if other is not None and other != arm:
                true = effect(measured, {arm.name: 1.0, other.name: -1.0}, config.queries_are)
                yield beside(
                    prediction, true, model=measured.model, measure=measured.measure.name, arm=arm.name
                )


def added(arm: Arm, arms: Sequence[Arm]) -> set[str]:
    """The sets that an arm, with those it goes on from, has beyond those of the first; none where it lacks
    one of them."""
    by_name = {one.name: one for one in arms}
    whole, at = {*arm.sets}, arm
    while at.continues:
        at = by_name[at.start]
        whole |= {*at.sets}
    first = {*arms[0].sets}
    return whole - first if first <= whole else set()


def _contexts(config: ValidateConfig, examples: Examples, prediction: Prediction) -> tuple[Context, ...]:
    """In which context an arm that adds the strategy's set meets the queries, by their tasks; none where the
    queries are of both kinds."""
    if config.context != "auto":
        return (config.context,)
    learned = _tasks(examples.sets.get(prediction.strategy, ()))
    asked = _tasks(examples.queries.get(prediction.query_set, ()))
    if asked <= learned:
        return ("in-task",)
    return () if asked & learned else ("cross-task",)


def _tasks(examples: Sequence[Example]) -> set[str | None]:
    return {one.task for one in examples}
