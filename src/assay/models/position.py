"""Where in its run a checkpoint was saved: step, epoch, learning rate. Knows nothing of weights.

Reads `trainer_state.json` and `scheduler.pt` of transformers' Trainer, which TRL, LLaMA-Factory, Axolotl and
ms-swift all write. `training_args.bin` is a pickle of objects and is never opened.
"""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay.files import read_json

STATE = "trainer_state.json"
SCHEDULER = "scheduler.pt"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class Position:
    """`step` counts optimizer steps, `epoch` passes over the data; None where the folder does not tell.

    `learning_rate` is the rate of that step if it was logged, else the scheduler's next rate, else the
    nearest rate logged before. `note` says what could not be read.
    """

    step: int | None
    epoch: float | None
    learning_rate: float | None
    note: str | None = None


def read_position(folder: Path) -> Position:
    """The position of the checkpoint in `folder`; without trainer's state its name gives the step."""
    named = CHECKPOINT.fullmatch(folder.resolve().name)
    step = int(named[1]) if named else None
    if not (folder / STATE).is_file():
        return Position(step, None, scheduled_rate(folder))
    try:
        state = read_json(folder / STATE)
        step = int(state["global_step"])
        epoch = None if state.get("epoch") is None else float(state["epoch"])
        logged = _logged_rates(state.get("log_history") or [])
    except (ValueError, KeyError, TypeError, AttributeError):
        note = f"{folder / STATE} cannot be read: the epoch of this checkpoint is unknown."
        return Position(step, None, scheduled_rate(folder), note)
    if step in logged:
        return Position(step, epoch, logged[step])
    scheduled = scheduled_rate(folder)
    if scheduled is not None:
        return Position(step, epoch, scheduled)
    before = [logged_step for logged_step in logged if logged_step < step]
    return Position(step, epoch, logged[max(before)] if before else None)


def _logged_rates(history: list[dict[str, Any]]) -> dict[int, float]:
    return {
        int(entry["step"]): float(entry["learning_rate"])
        for entry in history
        if "step" in entry and entry.get("learning_rate") is not None
    }


def scheduled_rate(folder: Path) -> float | None:
    """First group's `_last_lr`; None where there is no scheduler or it holds more than plain values."""
    path = folder / SCHEDULER
    if not path.is_file():
        return None
    try:
        rates = torch.load(path, map_location="cpu", weights_only=True)["_last_lr"]
        return float(rates[0])
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, IndexError, TypeError):
        return None
