"""The model of a run, loaded as its settings say. Knows no data."""

from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.runs.config import MeasureConfig


def open_session(trajectory: Trajectory, config: MeasureConfig) -> Session:
    """The base with the weights of the first checkpoint; raises as `Session.open` does."""
    return Session.open(
        trajectory,
        device=config.device,
        dtype=config.dtype,
        attention=config.attention,
        allow_pickle=config.allow_pickle,
        quantize=config.quantize,
        gradient_checkpointing=config.gradient_checkpointing,
    )
