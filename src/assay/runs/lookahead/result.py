"""From a climbed lookahead to what the study says: beside gradients, or alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.lookahead.losses import answers
from assay.models.session import Session
from assay.progress import SILENT, Progress
from assay.runs.config import StudyConfig
from assay.runs.inputs import Inputs
from assay.runs.lookahead.draws import Excluded
from assay.runs.lookahead.rung import look_ahead
from assay.studies import exhibits
from assay.studies.analyse import REFERENCES_SHOWN
from assay.studies.flags import study_flags
from assay.studies.layout import lay_out
from assay.studies.lookahead import LookaheadMeasurements
from assay.studies.lookahead_verdicts import LOOKAHEAD
from assay.studies.measurements import CheckpointMeasurements, ExampleSet, Measurements
from assay.studies.result import StudyResult
from assay.studies.rungs import gradient_rung, open_sets, strongest

NOT_OF_STEPS = ("one_checkpoint",)
"""Caveats of a study by gradients that say nothing of one by steps."""


def by_steps(
    config: StudyConfig,
    session: Session,
    inputs: Inputs,
    sets: tuple[Mapping[str, ExampleSet], Mapping[str, ExampleSet]],
    excluded: Excluded,
    *,
    below: StudyResult | None,
    gradient_seconds: float | None,
    about: Mapping[str, Any],
    settings: Mapping[str, Any],
    folder: Path | None,
    progress: Progress = SILENT,
) -> tuple[StudyResult, LookaheadMeasurements]:
    """What a study says after a lookahead, and what that measured. `below` is what it says by gradients,
    which took `gradient_seconds`.

    With a time budget only the probe sets that gradients left undecided are climbed with.
    """
    control = config.control_name
    names = list(config.probes)
    if below is not None and config.time_budget is not None:
        names = open_sets(below.verdicts, control)
    looked = look_ahead(
        config,
        session,
        inputs,
        sets,
        excluded,
        probe_sets=names,
        below=() if below is None else below.verdicts,
        settings=settings,
        folder=folder,
        progress=progress,
    )
    measured, rung = looked.climbed.measured, looked.rung
    if below is None:
        alone = _alone(config, session, inputs, sets, excluded, about)
        return replace(
            alone, verdicts=rung.verdicts, flags=(*alone.flags, *looked.flags), rungs=(rung,)
        ), measured
    seconds = None if gradient_seconds is None else round(gradient_seconds, 1)
    lower = gradient_rung(below.verdicts, control, len(session.trajectory.checkpoints), seconds)
    result = replace(
        below,
        verdicts=strongest(below.verdicts, rung.verdicts, control),
        flags=(*below.flags, *looked.flags),
        rungs=(lower, rung),
    )
    return result, measured


def _alone(
    config: StudyConfig,
    session: Session,
    inputs: Inputs,
    sets: tuple[Mapping[str, ExampleSet], Mapping[str, ExampleSet]],
    excluded: Excluded,
    about: Mapping[str, Any],
) -> StudyResult:
    """A study without gradients, before its verdicts: sets, references and caveats."""
    last = session.trajectory.checkpoints[-1]
    model = session.at(last)
    probe_loss, query_loss = (
        {name: answers(model, part.tokens, config.token_budget).losses for name, part in parts.items()}
        for parts in (inputs.probes, inputs.queries)
    )
    at = CheckpointMeasurements(
        last.name, last.step, last.epoch, last.learning_rate, {}, {}, {}, probe_loss, query_loss, {}, {}
    )
    measured = Measurements(*sets, config.control_name, (at,), excluded)
    caveats = study_flags(measured, lay_out(measured), LOOKAHEAD)
    return StudyResult(
        verdicts=(),
        curves=(),
        cells=(),
        extremes=(),
        sets=tuple(exhibits.set_summaries(measured)),
        references=tuple(exhibits.references(measured, REFERENCES_SHOWN)),
        flags=tuple(flag for flag in caveats if flag.code not in NOT_OF_STEPS),
        excluded_pairs=sum(int(np.sum(pairs)) for pairs in excluded.values()),
        estimator=LOOKAHEAD,
        design=config.design,
        about=dict(about),
    )
