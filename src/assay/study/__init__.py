"""The statistics of a swift study: from measurements to curves, intervals and verdicts."""

from assay.study.analyse import analyse
from assay.study.measurements import CheckpointMeasurements, ExampleSet, Measurements
from assay.study.result import StudyResult, Verdict

__all__ = [
    "CheckpointMeasurements",
    "ExampleSet",
    "Measurements",
    "StudyResult",
    "Verdict",
    "analyse",
]
