"""A swift study from settings to run folder: read, check, measure, look ahead, analyse, report.

The one place where the rooms meet; each step is a call into one of them. A killed run goes on from its
finished shards and ends in the same result.
"""

import dataclasses
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from assay import __version__
from assay.data.example import Reject
from assay.data.readers import write_rejects
from assay.data.render import loss_on_warning
from assay.data.texts import counted
from assay.files import write_json, write_text
from assay.fingerprint import digest, fingerprint
from assay.models.loading import context_length
from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.report import write_report
from assay.runs.config import StudyConfig, config_text
from assay.runs.folder import SETTINGS, refuse_others, require_writable
from assay.runs.inputs import (
    Inputs,
    excluded_pairs,
    measured_sets,
    part_digest_fields,
    read_sets,
    same_prompt_notes,
    tokenise_sets,
)
from assay.runs.lookahead.result import by_steps
from assay.runs.lookahead.tables import write_lookahead
from assay.runs.measure import Estimate as Expected
from assay.runs.measure import estimate, finished, measure, seconds_taken
from assay.runs.opening import open_session
from assay.runs.tables import write_tables
from assay.studies import analyse
from assay.studies.intervals import has_interval
from assay.studies.lookahead import LookaheadMeasurements
from assay.studies.measurements import ExampleSet, Measurements
from assay.studies.result import Estimate, StudyResult, Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Study:
    """A finished study: `measurements` is all that was measured by gradients (no checkpoints where only a
    lookahead was asked for), `lookahead` what was by real steps, `result` all that is said.

    `rejects` are the rows that were set aside, `settings` all that the measurements depend on.
    """

    config: StudyConfig
    measurements: Measurements
    result: StudyResult
    inputs: Inputs
    rejects: tuple[Reject, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lookahead: LookaheadMeasurements | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return self.result.verdicts

    def save(self, out: str | Path) -> Path:
        """Write tables, result, settings, rejected rows and report into `out`; returns the report's path.

        Raises ConfigError where `out` cannot be a folder, ResumeError where it holds anything but this study.
        """
        folder = Path(out)
        require_writable(folder)
        refuse_others(folder, self.settings, "study")
        write_json(folder / SETTINGS, self.settings)
        _write_inputs(folder, self.config, self.rejects)
        if self.measurements.checkpoints:
            write_tables(folder, self.measurements)
        if self.lookahead is not None:
            write_lookahead(folder, self.lookahead)
        write_json(folder / "study.json", plain(self.result))
        return write_report(self.result, folder)


def run_study(
    config: StudyConfig,
    *,
    out: Path | None = None,
    trajectory: Trajectory | None = None,
    progress: Progress = SILENT,
    command: str | None = None,
) -> Study:
    """Run the study that `config` describes; with `out`, into that folder, going on with what is there.

    `trajectory` overrides the one discovered in `config.checkpoints`. Raises AssayError of the fitting kind
    for whatever a person can mend; `out` is created only after data and model have been read without error
    and one batch has gone through.
    """
    began = time.monotonic()
    if out is not None:
        require_writable(out)
    sets, rejects, notes = read_sets(config)
    for note in notes:
        progress.note(note)
    trajectory = trajectory or Trajectory.discover(
        config.checkpoints,
        base_model=config.base_model,
        steps=config.steps,
        every=config.every,
        allow_pickle=config.allow_pickle,
    )
    session = open_session(trajectory, config)
    for note in trajectory.notes:
        progress.note(note)
    warning = loss_on_warning(config.loss_on, trajectory.loss_on)
    if warning:
        progress.note(warning)
    inputs = tokenise_sets(config, sets, session.tokenizer, context_length(session.model.config))
    excluded = excluded_pairs(inputs)
    for note in (*inputs.notes, *same_prompt_notes(inputs, excluded)):
        progress.note(note)

    settings = _settings(session, inputs, config)
    if out is not None:
        refuse_others(out, settings, "study")
    all_rejects = (*rejects, *inputs.rejects)
    ready = _Ready(config, session, inputs, measured_sets(inputs, config), excluded, settings, out, progress)
    measurements = Measurements(*ready.sets, config.control_name, (), excluded)
    result, lookahead, seconds = None, None, None
    if config.evidence != "lookahead":
        measurements, result, seconds = _by_gradients(ready, all_rejects, command, began)
    if config.evidence != "gradient":
        if result is None and out is not None:
            _begin(ready, all_rejects)
        result, lookahead = by_steps(
            config,
            session,
            inputs,
            ready.sets,
            excluded,
            below=result,
            gradient_seconds=seconds,
            about=_about(ready, None, command, began),
            settings=settings,
            folder=None if out is None else out / "lookahead",
            progress=progress,
        )
    assert result is not None
    result = dataclasses.replace(result, about={**result.about, "seconds": _since(began)})
    study = Study(config, measurements, result, inputs, all_rejects, settings, lookahead)
    if out is not None:
        progress.note("Writing tables and the report.")
        study.save(out)
    return study


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A study whose data and model have been read without error."""

    config: StudyConfig
    session: Session
    inputs: Inputs
    sets: tuple[dict[str, ExampleSet], dict[str, ExampleSet]]
    excluded: dict[tuple[str, str], Bool[np.ndarray, "p q"]]
    settings: dict[str, Any]
    out: Path | None
    progress: Progress


def _by_gradients(
    ready: _Ready, rejects: Sequence[Reject], command: str | None, began: float
) -> tuple[Measurements, StudyResult, float | None]:
    """Measure products at every checkpoint and analyse them; also the seconds of measuring, if known."""
    config, session, inputs, progress = ready.config, ready.session, ready.inputs, ready.progress
    checkpoints = session.trajectory.checkpoints
    fingerprints = {
        one.name: fingerprint({**ready.settings, "weights": session.weights_digest(one)})
        for one in checkpoints
    }
    folder = None if ready.out is None else ready.out / "measurements"
    known = {} if folder is None else finished(checkpoints, folder, fingerprints)
    missing = len(checkpoints) - len(known)
    if known:
        progress.note(f"Going on: {counted(len(known), 'checkpoint')} measured before, {missing:,} to go.")
    memory = None if config.memory_gb is None else int(config.memory_gb * 1e9)
    expected = estimate(session, inputs, missing, config.token_budget, memory)
    if missing:
        progress.note(expected.sentence())
    progress.note(expected.coverage.sentence()[0].upper() + expected.coverage.sentence()[1:] + ".")
    if ready.out is not None:
        _begin(ready, rejects)
    start = time.monotonic()
    measured = measure(
        session,
        checkpoints,
        inputs,
        ready.sets,
        known=known,
        folder=folder,
        fingerprints=fingerprints,
        token_budget=config.token_budget,
        memory_bytes=memory,
        progress=progress,
    )
    seconds = _since(start) if folder is None else seconds_taken(checkpoints, folder)
    measurements = Measurements(*ready.sets, config.control_name, measured, ready.excluded)
    result = analyse(
        measurements,
        estimator=config.estimator,
        margin=config.margin,
        design=config.design,
        about=_about(ready, expected, command, began),
    )
    return measurements, result, seconds


def _begin(ready: _Ready, rejects: Sequence[Reject]) -> None:
    """Make the run folder a study's, so that shards may be written into it."""
    assert ready.out is not None
    write_json(ready.out / SETTINGS, ready.settings)
    _write_inputs(ready.out, ready.config, rejects)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def plain(value: Any) -> Any:
    """A result as JSON values; a number that is not finite becomes null, and so do the bounds and the error
    of an estimate without an interval."""
    if isinstance(value, Estimate) and not has_interval(value):
        unknown = dict.fromkeys(("low", "high", "standard_error"))
        return {**dataclasses.asdict(value), **unknown}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _settings(session: Session, inputs: Inputs, config: StudyConfig) -> dict[str, Any]:
    """Everything the measurements depend on, but for the weights of a checkpoint."""
    return {
        "assay": __version__,
        "model": session.describe(),
        "tokenizer": digest(json.dumps(session.tokenizer.chat_template, sort_keys=True)),
        "reduction": "sum over completion tokens",
        "products": "exact",
        "loss_on": config.loss_on,
        "query_loss_on": config.query_loss_on,
        "probes": {name: digest(*part_digest_fields(part)) for name, part in inputs.probes.items()},
        "queries": {name: digest(*part_digest_fields(part)) for name, part in inputs.queries.items()},
    }


def _write_inputs(out: Path, config: StudyConfig, rejects: Sequence[Reject]) -> None:
    """The settings that replay the study and, if there are any, the rows it could not use; those of an
    earlier run into the same folder are no more."""
    write_text(out / "config.yaml", config_text(config))
    if rejects:
        write_rejects(out / "rejects.jsonl", rejects)
    else:
        (out / "rejects.jsonl").unlink(missing_ok=True)


def _about(ready: _Ready, expected: Expected | None, command: str | None, began: float) -> dict[str, Any]:
    """Where the numbers come from; `expected` is what measuring gradients took, if they were."""
    config, described = ready.config, ready.session.describe()
    checkpoints = ready.session.trajectory.checkpoints
    first, last = checkpoints[0], checkpoints[-1]
    span = first.name if len(checkpoints) == 1 else f"{first.name} to {last.name}"
    parts = [*ready.inputs.probes.values(), *ready.inputs.queries.values()]
    tokens = [one for part in parts for one in part.tokens]
    by_gradients = ", products in fp32 or better" if expected is not None else ""
    return {
        "model": f"{described['base_model'] or Path(config.checkpoints).name} ({described['kind']})",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "config": config_text(config),
        "checkpoints": f"{len(checkpoints)}: {span}",
        "parameters": "{trained:,} trained of {total:,}".format(**described["parameters"]),
        "coverage": None if expected is None else expected.coverage.sentence(),
        "precision": f"{described['dtype']} on {described['device']}{by_gradients}",
        "loss": f"summed over completion tokens; probes: {config.loss_on}, queries: {config.query_loss_on}",
        "examples": f"{len(tokens):,} examples, {sum(map(len, tokens)):,} tokens",
        "seconds": _since(began),
        "versions": {**described["versions"], "assay": __version__, "python": platform.python_version()},
        "fingerprint": fingerprint(ready.settings),
    }
