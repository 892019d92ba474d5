"""Adam's moments at a checkpoint, if they can be trusted. Knows no gradients."""

from pathlib import Path

from assay.errors import ModelError
from assay.models.optimizer_state import FRESH, OptimizerState, read_optimizer
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.runs.lookahead.optimizer import misplaced

INSTEAD = "LESS needs Adam's moments at every checkpoint; take tracin or gradcos, which do not."


def trusted_optimizer(session: Session, checkpoint: Checkpoint) -> OptimizerState:
    """The Adam that the trainer left at `checkpoint`, to which the session's model is moved.

    Raises ModelError where there is none, where it is another optimizer or another model's, and where the
    adapter's own change since the checkpoint before contradicts the order of the moments.
    """
    try:
        state = read_optimizer(Path(checkpoint.source), session.at(checkpoint))
    except ModelError as error:
        raise ModelError(f"{_without(str(error), FRESH)}. {INSTEAD}") from error
    if checkpoint.kind == "adapter" and misplaced(session, checkpoint, state):
        raise ModelError(f"The moments in {state.source} belong to parameters in another order. {INSTEAD}")
    session.at(checkpoint)
    return state


def _without(sentence: str, advice: str) -> str:
    """A complaint without the advice that does not hold here."""
    return sentence.replace(f"; {advice}", "").rstrip(".")
