"""The statistics of a swift study: from measurements to curves, intervals and verdicts."""

from assay.studies.analyse import analyse
from assay.studies.measurements import CheckpointMeasurements, ExampleSet, Measurements
from assay.studies.result import StudyResult, Verdict

__all__ = [
    "CheckpointMeasurements",
    "ExampleSet",
    "Measurements",
    "StudyResult",
    "Verdict",
    "analyse",
]
