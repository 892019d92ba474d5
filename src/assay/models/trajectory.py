"""The checkpoints of one fine-tuning run, in the order they were trained. Holds no weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["adapter", "full", "base"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One saved state.

    `source` is a local folder or a hub id; `kind` says whether it holds a PEFT adapter, full weights, or
    is the untrained base model itself. `step`, `epoch` and `learning_rate` are those at the moment of
    saving, None where the folder does not tell.
    """

    name: str
    source: str
    kind: Kind
    step: int | None = None
    epoch: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Checkpoints by rising step, the base model under them, and what was noticed on the way.

    `base_model` is a local folder or hub id (None for full weights that stand alone). `loss_on` is what the
    trainer is known to have learned, None where the folder does not tell. `notes` are sentences for a person.
    """

    checkpoints: tuple[Checkpoint, ...]
    base_model: str | None
    loss_on: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def discover(
        cls,
        source: str | Path,
        *,
        base_model: str | None = None,
        steps: Sequence[int] | None = None,
        every: int | None = None,
        include_base: bool = False,
        allow_pickle: bool = False,
    ) -> "Trajectory":
        """The trajectory that a trainer left in `source`; see `assay.models.discover.discover`."""
        from assay.models.discover import discover

        return discover(
            source,
            base_model=base_model,
            steps=steps,
            every=every,
            include_base=include_base,
            allow_pickle=allow_pickle,
        )
