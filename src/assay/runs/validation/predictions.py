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
from assay.runs.folder import SETTINGS
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
    """The verdicts of a study, the name of its control (None without one), and the model it was made on.

    `base` is the name of that model's base and `base_digest` that of the base's weights, as far as they are
    known.
    """

    place: str
    verdicts: tuple[Verdict, ...]
    control: str | None
    model: str | None
    base: str | None = None
    base_digest: str | None = None

    def is_of(self, name: str, digest: str) -> bool:
        """Whether it was made on this base model."""
        return self.base_digest == digest if self.base_digest else self.base in (name, Path(name).name)


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
    made_on = _made_on(path.parent / SETTINGS)
    return StudySaid(
        str(place),
        verdicts,
        next(iter(controls), None),
        model,
        made_on.get("base_model"),
        made_on.get("base_digest"),
    )


def _made_on(settings: Path) -> Mapping[str, Any]:
    """What the settings of a study say of its model; nothing where there are none."""
    try:
        found = read_json(settings)["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Studies:
    """The study that is held against the effects under each base model, by its name, and sentences about
    what they were made on."""

    by_model: Mapping[str, StudySaid]
    notes: tuple[str, ...] = ()


def studies_of(studies: Sequence[StudySaid], base_models: Mapping[str, str]) -> Studies:
    """Which study goes with which of the `base_models` (digests of their weights by name).

    One study goes with all of them; of several each goes with the base model that it was made on. Raises
    ConfigError for one that was made on none of them, or on the same as another.
    """
    notes = tuple(_made_on_note(study, base_models) for study in studies)
    if len(studies) < 2:
        return Studies({name: study for study in studies for name in base_models}, notes)
    found: dict[str, StudySaid] = {}
    for study in studies:
        mine = [name for name, digest in base_models.items() if study.is_of(name, digest)]
        if not mine:
            raise ConfigError(
                f"--study {study.place}: it was made on {study.model}, which goes on from none of the base "
                "models; of several studies each needs its own (--base-model)."
            )
        for name in mine:
            if name in found:
                raise ConfigError(
                    f"--study {study.place}: {found[name].place} was made on the base model {name}, too; "
                    "give one of them."
                )
            found[name] = study
    return Studies(found, notes)


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
    studies: Studies,
) -> tuple[tuple[Agreement, ...], tuple[str, ...]]:
    """How far the studies and the effects agree, and sentences about what could be held against what."""
    predictions = {name: predictions_of(study.verdicts) for name, study in studies.by_model.items()}
    rows = [
        row
        for one in measured
        if one.model in predictions
        for row in _rows(
            one,
            arms,
            [each for each in predictions[one.model] if each.context in _contexts(config, examples, each)],
            studies.by_model[one.model].control,
            config,
        )
    ]
    held = {(row.strategy, row.query_set) for row in rows}
    every = {(one.strategy, one.query_set) for each in predictions.values() for one in each}
    left = sorted(every - held)
    notes = list(studies.notes)
    if left:
        named = ", ".join(f"{strategy} on {query_set}" for strategy, query_set in left)
        notes.append(
            f"Verdicts without an outcome (no arm that adds this set alone, no such query set, or tasks of "
            f"which the queries share some and lack others): {named}."
        )
    return agreements_of(rows), tuple([*notes, CAVEAT] if rows else notes)


def _made_on_note(study: StudySaid, base_models: Mapping[str, str]) -> str:
    theirs = [name for name, digest in base_models.items() if study.is_of(name, digest)]
    known = study.base_digest or study.base
    if theirs and len(base_models) > 1:
        return f"The study {study.place} was made on {study.model}, which goes on from {', '.join(theirs)}."
    if known and not theirs:
        return f"The study was made on {study.model}, which goes on from none of the base models here."
    return f"The study was made on {study.model or 'a model that it does not name'}."


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
                    prediction,
                    true,
                    model=measured.model,
                    measure=measured.measure.name,
                    arm=arm.name,
                    direction=measured.direction,
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
