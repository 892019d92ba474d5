"""The learning rates of a run as its folders tell them. Knows nothing of weights."""

from pathlib import Path

from assay.files import read_json
from assay.models.position import STATE
from assay.models.trajectory import Trajectory


def peak_learning_rate(trajectory: Trajectory) -> float | None:
    """The highest learning rate of the run that its trainer logged or a checkpoint was saved at.

    None where no folder tells, and where all that is known is 0.
    """
    rates = [one.learning_rate for one in trajectory.checkpoints if one.learning_rate]
    for checkpoint in trajectory.checkpoints:
        rates += _logged(Path(checkpoint.source))
    return max(rates, default=0.0) or None


def _logged(folder: Path) -> list[float]:
    try:
        history = read_json(folder / STATE).get("log_history") or []
        return [float(entry["learning_rate"]) for entry in history if entry.get("learning_rate") is not None]
    except (OSError, ValueError, TypeError, AttributeError):
        return []
