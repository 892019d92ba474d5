"""The statistics of a swift study: from measurements to curves, intervals and verdicts.

The name is also the Python door: `assay.study(...)` runs a whole study (`assay.api.study`). Importing any
module of this room binds `assay.study` to the room, so the room itself has to answer the call.
"""

import sys
from types import ModuleType
from typing import Any

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


class _Room(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a study; see `assay.api.study`."""
        from assay.api import study

        return study(*arguments, **options)


sys.modules[__name__].__class__ = _Room
