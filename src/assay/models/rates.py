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
        rates += _by_step(Path(checkpoint.source)).values()
    return max(rates, default=0.0) or None


def mean_learning_rates(trajectory: Trajectory) -> tuple[float | None, ...]:
    """Of every checkpoint, the mean learning rate of the steps since the checkpoint before it.

    From what the trainer logged between the two; where nothing was logged there, the rate the checkpoint was
    saved at. None where no folder tells.
    """
    logged: dict[int, float] = {}
    for checkpoint in trajectory.checkpoints:
        logged |= _by_step(Path(checkpoint.source))
    means: list[float | None] = []
    before = 0
    for checkpoint in trajectory.checkpoints:
        here = checkpoint.step
        between = [] if here is None else [rate for step, rate in logged.items() if before < step <= here]
        means.append(sum(between) / len(between) if between else checkpoint.learning_rate)
        before = before if here is None else here
    return tuple(means)


def _by_step(folder: Path) -> dict[int, float]:
    try:
        history = read_json(folder / STATE).get("log_history") or []
        return {
            int(entry["step"]): float(entry["learning_rate"])
            for entry in history
            if entry.get("learning_rate") is not None and entry.get("step") is not None
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
