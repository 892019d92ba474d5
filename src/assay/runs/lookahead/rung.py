"""The lookahead rung of a study from its settings: prepare, climb, and say what was done and left out.

Knows nothing of gradients' verdicts beyond which probe sets they left open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay.data.texts import counted
from assay.errors import ConfigError, ResumeError
from assay.files import read_json, write_json
from assay.fingerprint import differing_fields
from assay.gradients.coverage import trained_parameters
from assay.lookahead.plan import Plan
from assay.models.loading import context_length
from assay.models.session import Session
from assay.progress import SILENT, Progress
from assay.runs.config import StudyConfig
from assay.runs.durations import duration_words, seconds_of
from assay.runs.inputs import Inputs
from assay.runs.lookahead.base import read_base
from assay.runs.lookahead.climb import Climb, Climbed, Setup, spread
from assay.runs.lookahead.draws import Excluded
from assay.runs.lookahead.optimizer import OWN, learning_rate
from assay.studies.lookahead import whole_seeds
from assay.studies.lookahead_verdicts import lookahead_verdicts
from assay.studies.measurements import ExampleSet
from assay.studies.result import Flag, Rung, Verdict
from assay.studies.rungs import added

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A finished lookahead: everything measured, the rung that says it, caveats of the whole study."""

    climbed: Climbed
    rung: Rung
    flags: tuple[Flag, ...]


def look_ahead(
    config: StudyConfig,
    session: Session,
    inputs: Inputs,
    sets: tuple[Mapping[str, ExampleSet], Mapping[str, ExampleSet]],
    excluded: Excluded,
    *,
    probe_sets: Sequence[str],
    below: Sequence[Verdict],
    settings: Mapping[str, Any],
    folder: Path | None,
    progress: Progress = SILENT,
) -> Looked:
    """Climb with `probe_sets` (strategies, the first ones first) and the control beside them.

    `below` are the verdicts by gradients, if there are any; `settings` is what these depended on. `folder`
    keeps the shards. Raises ResumeError where it holds a lookahead of other settings.
    """
    setup = prepare(config, session, inputs, sets, excluded, probe_sets, settings)
    for note in setup.base.notes:
        progress.note(note)
    if folder is not None:
        _refuse_others(folder, setup.settings["lookahead"])
    flags = tuple(_flags(setup, session))
    for flag in flags:
        progress.note(flag.sentence)
    if folder is not None and probe_sets:
        write_json(folder / SETTINGS, setup.settings["lookahead"])
    climbed = Climb(session, setup, folder, progress).run()
    verdicts = lookahead_verdicts(climbed.measured, steps=setup.plan.steps, margin=config.margin)
    rung = Rung(
        "lookahead",
        verdicts,
        what=_what(setup),
        added=added(below, verdicts, config.control_name),
        seconds=round(climbed.seconds, 1),
        arms=climbed.arms,
        notes=(*_optimizer_notes(setup, climbed), *setup.base.notes, *_left_out(config, setup, climbed)),
    )
    return Looked(climbed, rung, flags)


def prepare(
    config: StudyConfig,
    session: Session,
    inputs: Inputs,
    sets: tuple[Mapping[str, ExampleSet], Mapping[str, ExampleSet]],
    excluded: Excluded,
    probe_sets: Sequence[str],
    settings: Mapping[str, Any],
) -> Setup:
    """Everything a lookahead depends on, read and chosen; no step is taken."""
    trajectory = session.trajectory
    checkpoints = spread(trajectory.checkpoints, config.lookahead_checkpoints)
    if not checkpoints:
        raise ConfigError(
            f"lookahead_checkpoints: no trained checkpoint has one of the steps "
            f"{', '.join(map(str, config.lookahead_checkpoints or ()))}."
        )
    plan = Plan(
        steps=config.lookahead_steps,
        base=config.lookahead_base,
        added=config.lookahead_added,
        weight=config.lookahead_weight,
        seeds=config.lookahead_seeds,
    )
    rate = learning_rate(trajectory, config.lookahead_rate)
    base = read_base(config, session.tokenizer, context_length(session.model.config))
    own = {
        "steps": plan.steps,
        "base": plan.base,
        "added": plan.added,
        "weight": plan.weight,
        "learning_rate": rate.value,
        "train_data": base.digest,
    }
    return Setup(
        plan=plan,
        rate=rate,
        base=base,
        inputs=inputs,
        probes=sets[0],
        queries=sets[1],
        excluded=excluded,
        control=config.control_name,
        probe_sets=tuple(probe_sets),
        checkpoints=checkpoints,
        settings={**settings, "lookahead": own},
        weights={one.name: session.weights_digest(one) for one in checkpoints},
        token_budget=config.token_budget,
        budget=None if config.time_budget is None else seconds_of(config.time_budget),
    )


def _refuse_others(folder: Path, own: Mapping[str, Any]) -> None:
    """Raise ResumeError for a folder with shards of other settings, naming what differs."""
    path = folder / SETTINGS
    if not path.is_file():
        return
    try:
        differing = differing_fields(own, read_json(path))
    except (ValueError, AttributeError) as error:
        raise ResumeError(f"{path} cannot be read; delete {folder}, or give another --out.") from error
    if differing:
        raise ResumeError(
            f"{folder} holds a lookahead made with another {', '.join(differing)}; give another --out, or "
            "delete it."
        )


def _flags(setup: Setup, session: Session) -> list[Flag]:
    """Caveats of every verdict by real steps."""
    flags = []
    if not setup.base.tokens:
        flags.append(
            Flag(
                "no_base_batches",
                "No training data was given (--train-data), so the steps are on probes alone and are "
                "compared with no step at all: they stand for training on the strategy by itself.",
            )
        )
    dtypes = {p.dtype for p in trained_parameters(session.model).values()}
    if low := dtypes & {torch.bfloat16, torch.float16}:
        name = str(next(iter(low))).removeprefix("torch.")
        flags.append(
            Flag(
                "low_precision_steps",
                f"The trained weights are held in {name}, in which small steps are rounded away; a trainer "
                "keeps them in fp32, as --dtype fp32 does here.",
            )
        )
    return flags


def _what(setup: Setup) -> str:
    plan = setup.plan
    batch = (
        f"{plan.base} base examples and {plan.added} probes" if setup.base.tokens else f"{plan.added} probes"
    )
    at = ", ".join(one.name for one in setup.checkpoints)
    weight = (
        "" if plan.weight == 1 or not setup.base.tokens else f", the probes' loss weighing {plan.weight:g}"
    )
    beside = "the same base examples alone" if setup.base.tokens else "no step at all"
    return (
        f"{counted(plan.steps, 'real step')} on {batch} each{weight}, against {beside}; "
        f"{counted(plan.seeds, 'seed')} at {at}; learning rate {setup.rate.why}."
    )


def _optimizer_notes(setup: Setup, climbed: Climbed) -> list[str]:
    """Which optimizer took the steps, and why it was not the run's own where it was not."""
    own = [name for name, kind in climbed.optimizers.items() if kind == OWN]
    notes = []
    if own:
        notes.append(f"At {', '.join(own)} the steps are those of the run's own Adam with its moments there.")
    reasons: dict[str, list[str]] = {}
    for name, kind in climbed.optimizers.items():
        if kind != OWN:
            reasons.setdefault(kind, []).append(name)
    for reason, names in reasons.items():
        notes.append(f"At {', '.join(names)} the steps are those of AdamW without history: {reason}.")
    return notes


def _left_out(config: StudyConfig, setup: Setup, climbed: Climbed) -> list[str]:
    """Probe sets that were not climbed with, or with fewer seeds than planned, and why."""
    notes = []
    if settled := [name for name in config.probes if name not in setup.probe_sets]:
        notes.append(
            f"Gradients had decided everything of {', '.join(settled)}, so no step was taken with it."
        )
    if setup.budget is None:
        return notes
    short = []
    for name in setup.probe_sets:
        with_control = [name] if setup.control is None else [name, setup.control]
        seeds = len(whole_seeds(climbed.measured, *with_control))
        if seeds < setup.plan.seeds:
            short.append(f"{name} has {seeds or 'none'} of {counted(setup.plan.seeds, 'seed')}")
    if short:
        notes.append(f"The time budget of {duration_words(setup.budget)} has ended: {', '.join(short)}.")
    return notes
