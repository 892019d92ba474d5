"""assay tells people who fine-tune language models what their data will do before they train on it.

>>> import assay
>>> trajectory = assay.Trajectory.discover("runs/sft")
>>> study = assay.study(trajectory, probes={"cot": "cot.jsonl"}, control="plain.jsonl", queries="eval.jsonl")
>>> study.save("runs/study")
>>> scores = assay.score(
...     trajectory, method="ekfac", candidates="pool.jsonl", queries="dev.jsonl", out="runs/scores"
... )
>>> kept = assay.select(scores, rule="top", budget="50%")
"""

from typing import TYPE_CHECKING, Any

from assay.models.trajectory import Checkpoint, Trajectory

if TYPE_CHECKING:
    from assay.api import craft as craft
    from assay.api import score as score
    from assay.api import select as select
    from assay.api import study as study
    from assay.api import validate as validate

__version__ = "0.1.0"
__all__ = ["Checkpoint", "Trajectory", "__version__", "craft", "score", "select", "study", "validate"]


def __getattr__(name: str) -> Any:
    """The calls are looked up late: they bring torch and transformers with them."""
    if name in ("craft", "score", "select", "study", "validate"):
        from assay import api

        return getattr(api, name)
    raise AttributeError(f"module 'assay' has no attribute {name!r}")
