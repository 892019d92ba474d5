"""Summarises an estimate over the checkpoints of a run: level, last, early, late, trend. Knows no verdicts.

Checkpoints of one run are not replicates of each other: the interval is that of the summary.
"""

import numpy as np
from jaxtyping import Float

from assay.studies.intervals import Draws
from assay.studies.measurements import CheckpointMeasurements
from assay.studies.result import Context, Curve, CurvePoint

Weights = Float[np.ndarray, "c"]


def level(checkpoints: int) -> Weights:
    """The plain mean over checkpoints."""
    return np.full(checkpoints, 1.0 / checkpoints)


def early(checkpoints: int) -> Weights:
    """The mean of the earlier half; the middle one of an odd number belongs to neither half."""
    half = checkpoints // 2
    return np.asarray((np.arange(checkpoints) < half) / half)


def late(checkpoints: int) -> Weights:
    """The mean of the later half."""
    return np.asarray(early(checkpoints)[::-1])


def trend(checkpoints: int) -> Weights:
    """Later half minus earlier half."""
    return np.asarray(late(checkpoints) - early(checkpoints))


def curve(
    draws: Draws,
    checkpoints: tuple[CheckpointMeasurements, ...],
    probe_set: str,
    query_set: str,
    context: Context,
    estimator: str,
    confidence: float,
) -> Curve:
    """One line of the paper's figures with its summaries, as measured (not reversed on undesired queries)."""
    count = len(checkpoints)
    points = tuple(
        CurvePoint(at.name, at.step, at.epoch, draws.at(index, confidence))
        for index, at in enumerate(checkpoints)
    )
    return Curve(
        probe_set=probe_set,
        query_set=query_set,
        context=context,
        estimator=estimator,
        points=points,
        level=draws.combined(level(count), confidence),
        last=points[-1].estimate,
        trend=draws.combined(trend(count), confidence) if count > 1 else None,
    )
