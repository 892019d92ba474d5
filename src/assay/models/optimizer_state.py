"""The optimizer that a trainer left in a checkpoint: Adam's moments and settings, by parameter name.

Reads `optimizer.pt` with torch's weights-only loader; no code of a file runs and `training_args.bin` is never
opened. Knows nothing of gradients, of steps to take, or of other checkpoints.
"""

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import ModelError, NumericsError
from assay.models.folders import ZERO_STEP
from assay.models.optimizer_groups import decay_groups, trained
from assay.models.placing import listed
from assay.models.position import scheduled_rate

OPTIMIZER = "optimizer.pt"
FSDP = ("optimizer.bin", "optimizer_0", "pytorch_model_fsdp_0", "pytorch_model_fsdp.bin")
MOMENTS = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
SETTINGS = ("lr", "betas", "eps", "weight_decay", "amsgrad")
FRESH = "take an optimizer without history instead"


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's memory of one parameter after `step` updates of it.

    `exp_avg` (m) and `exp_avg_sq` (v) have the parameter's shape, on the CPU, in the dtype in which they
    were stored, without bias correction. `max_exp_avg_sq` is there under amsgrad alone.
    """

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor
    max_exp_avg_sq: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that share settings. `lr` is the rate of the next step."""

    names: tuple[str, ...]
    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool = False
    maximize: bool = False

    def direction(self, moments: Moments) -> Tensor:
        """The last step's movement without its rate and decay, −m̂ / (√v̂ + ε), in fp32.

        m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) (Kingma and Ba 2015, arXiv 1412.6980); zeros at t = 0. An
        optimizer that maximizes has averaged −g, so the same holds for it.
        """
        if moments.step == 0:
            return torch.zeros_like(moments.exp_avg, dtype=torch.float32)
        beta1, beta2 = self.betas
        second = moments.exp_avg_sq if moments.max_exp_avg_sq is None else moments.max_exp_avg_sq
        mean = moments.exp_avg.float() / (1 - beta1**moments.step)
        scale = (second.float() / (1 - beta2**moments.step)).sqrt() + self.eps
        return -mean / scale


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """An Adam or AdamW as a checkpoint holds it; `source` is its file.

    `moments` are keyed by the model's own parameter names, `groups` are in the file's order and name every
    trained parameter once. `learning_rate` is that of the *next* step, as the trainer would go on: 0 where a
    schedule has ended; `Checkpoint.learning_rate` tells the rate of the last step.
    """

    source: Path
    moments: Mapping[str, Moments]
    groups: tuple[Group, ...]
    learning_rate: float

    def group_of(self, name: str) -> Group:
        """The group that holds the parameter `name`."""
        return next(group for group in self.groups if name in group.names)


def has_optimizer(checkpoint_folder: Path) -> bool:
    """Whether the folder holds an `optimizer.pt`. It is not opened."""
    return (checkpoint_folder / OPTIMIZER).is_file()


def read_optimizer(checkpoint_folder: Path, model: nn.Module) -> OptimizerState:
    """The Adam in `checkpoint_folder`, mapped onto the parameters that require gradients in `model`.

    The file counts parameters and does not name them. They are taken in the Trainer's order (with weight
    decay, then without), or in plain `named_parameters()` order where the file has a single group; names that
    a file does carry (`param_names`) decide. Counts and shapes must agree; `optimizer_mapping.verify_mapping`
    tells whether parameters of one shape might still have changed places. A parameter that was never updated
    has zero moments at step 0. Raises ModelError naming what was found, NumericsError for NaN and Inf.
    """
    path = checkpoint_folder / OPTIMIZER
    if not path.is_file():
        raise ModelError(_missing(checkpoint_folder))
    stored, stored_groups = _load(path)
    _require_adam(path, stored, stored_groups)
    parameters = trained(model)
    names = _names(path, [len(group["params"]) for group in stored_groups], stored_groups, model)
    groups = tuple(_group(path, group, own) for group, own in zip(stored_groups, names, strict=True))
    moments = {
        name: _moments(path, name, parameters[name], stored.get(index))
        for group, own in zip(stored_groups, names, strict=True)
        for index, name in zip(group["params"], own, strict=True)
    }
    scheduled = scheduled_rate(checkpoint_folder)
    rates = [group.lr for group in groups if group.names]
    return OptimizerState(path, moments, groups, rates[0] if scheduled is None else scheduled)


def _load(path: Path) -> tuple[dict[int, Any], list[dict[str, Any]]]:
    """`state` and `param_groups` of the file, in torch's own layout."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError, ValueError) as error:
        raise ModelError(
            f"{path} is damaged, or holds more than tensors and plain values, and was not loaded; {FRESH}."
        ) from error
    state = stored.get("state") if isinstance(stored, dict) else None
    groups = stored.get("param_groups") if isinstance(stored, dict) else None
    if (
        not isinstance(state, dict)
        or not isinstance(groups, list)
        or not all(isinstance(entry, dict) for entry in state.values())
        or not all(isinstance(group, dict) and isinstance(group.get("params"), list) for group in groups)
    ):
        raise ModelError(f"{path} is no state of a torch optimizer (`state`, `param_groups`); {FRESH}.")
    return state, groups


def _require_adam(path: Path, stored: Mapping[int, Any], groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise unless every entry has Adam's two moments and nothing else, and every group Adam's settings."""
    if not stored:
        raise ModelError(f"{path} holds no moments: no step was taken before it was saved; {FRESH}.")
    for entry in stored.values():
        found = set(map(str, entry))
        if not {"step", "exp_avg", "exp_avg_sq"} <= found or found - MOMENTS:
            raise ModelError(
                f"{path} holds {_kind(found)} ({', '.join(sorted(found))}), and only torch's Adam and AdamW "
                f"(step, exp_avg, exp_avg_sq) are read; {FRESH}."
            )
    for group in groups:
        if absent := [key for key in SETTINGS if key not in group]:
            raise ModelError(
                f"{path} has a parameter group without {', '.join(absent)}, so it is no Adam or AdamW of "
                f"torch; {FRESH}."
            )
        if group["weight_decay"] and not group.get("decoupled_weight_decay", True):
            raise ModelError(
                f"{path} holds an Adam whose weight decay is part of the gradient, and only AdamW's is read; "
                f"{FRESH}."
            )


def _kind(found: set[str]) -> str:
    """What optimizer the keys of an entry point to."""
    if any("state1" in key or "bnb" in key for key in found):
        return "a bitsandbytes optimizer, 8-bit or paged"
    if found & {"exp_avg_sq_row", "exp_avg_sq_col"}:
        return "an Adafactor"
    return "another optimizer"


def _names(
    path: Path, counts: Sequence[int], groups: Sequence[Mapping[str, Any]], model: nn.Module
) -> tuple[tuple[str, ...], ...]:
    """The parameter names of each stored group, in the order of its indices."""
    parameters = trained(model)
    if all("param_names" in group for group in groups):
        named = tuple(tuple(map(str, group["param_names"])) for group in groups)
        flat = [name for names in named for name in names]
        if differing := set(flat) ^ parameters.keys():
            raise ModelError(
                f"{path} and the model do not train the same parameters; only one of them has "
                f"{listed(differing)}."
            )
        if [len(names) for names in named] == list(counts) and len(flat) == len(parameters):
            return named
    if sum(counts) != len(parameters):
        raise ModelError(
            f"{path} holds {sum(counts)} parameters, but {len(parameters)} are trained in the model; the "
            f"trainer froze or added some that the checkpoint does not tell of, or the base is another."
        )
    if len(groups) == 1:
        return (tuple(parameters),)
    layout = decay_groups(model)
    if list(counts) != [len(names) for names in layout]:
        raise ModelError(
            f"{path} holds parameter groups of {' + '.join(map(str, counts))}, and transformers' Trainer "
            f"would have made {' + '.join(str(len(names)) for names in layout)} of this model (with weight "
            f"decay + without), so it is not known which is which; {FRESH}."
        )
    return layout


def _group(path: Path, stored: Mapping[str, Any], names: tuple[str, ...]) -> Group:
    beta1, beta2 = stored["betas"]
    group = Group(
        names,
        lr=float(stored["lr"]),
        betas=(float(beta1), float(beta2)),
        eps=float(stored["eps"]),
        weight_decay=float(stored["weight_decay"]),
        amsgrad=bool(stored["amsgrad"]),
        maximize=bool(stored.get("maximize", False)),
    )
    if not all(map(math.isfinite, (group.lr, *group.betas, group.eps, group.weight_decay))):
        raise NumericsError(
            f"{path} holds settings that are not finite (learning rate {group.lr}, betas {group.betas}, "
            f"eps {group.eps}, weight decay {group.weight_decay})."
        )
    return group


def _moments(path: Path, name: str, parameter: nn.Parameter, stored: Mapping[str, Any] | None) -> Moments:
    if stored is None:
        zeros = torch.zeros(parameter.shape)
        return Moments(0, zeros, zeros)
    moments = Moments(
        int(stored["step"]), stored["exp_avg"], stored["exp_avg_sq"], stored.get("max_exp_avg_sq")
    )
    for tensor in (moments.exp_avg, moments.exp_avg_sq, moments.max_exp_avg_sq):
        if tensor is None:
            continue
        if tensor.shape != parameter.shape:
            raise ModelError(
                f"{path} holds moments of shape {tuple(tensor.shape)} where {name} has "
                f"{tuple(parameter.shape)}: it is of another model or in another order; {FRESH}."
            )
        if not torch.isfinite(tensor).all():
            raise NumericsError(f"{path} holds moments of {name} that are not finite.")
    return moments


def _missing(folder: Path) -> str:
    """Why there is no optimizer to read, as a sentence."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if sharded := sorted(names.intersection(FSDP)):
        return (
            f"{folder} holds an optimizer as FSDP saves it ({', '.join(sharded)}), which is not read; "
            f"{FRESH}."
        )
    if sharded := sorted(name for name in names if ZERO_STEP.fullmatch(name) or name == "zero_to_fp32.py"):
        return (
            f"{folder} holds an optimizer as DeepSpeed saves it ({', '.join(sharded)}), which is not read; "
            f"{FRESH}."
        )
    return (
        f"{folder} has no {OPTIMIZER}: it was saved without the optimizer (`save_only_model`), or is no "
        f"trainer's checkpoint; {FRESH}."
    )
