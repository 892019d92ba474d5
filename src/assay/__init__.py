"""assay tells people who fine-tune language models what their data will do before they train on it.

>>> import assay
>>> trajectory = assay.Trajectory.discover("runs/sft")
>>> study = assay.study(trajectory, probes={"cot": "cot.jsonl"}, control="plain.jsonl", queries="eval.jsonl")
>>> study.save("runs/study")
"""

from typing import TYPE_CHECKING, Any

from assay.models.trajectory import Checkpoint, Trajectory

if TYPE_CHECKING:
    from assay.api import study as study

__version__ = "0.1.0"
__all__ = ["Checkpoint", "Trajectory", "__version__", "study"]


def __getattr__(name: str) -> Any:
    """`assay.study` is looked up late: it brings torch and transformers with it."""
    if name == "study":
        from assay.api import study

        return study
    raise AttributeError(f"module 'assay' has no attribute {name!r}")
