"""Which checkpoints a trainer left in a folder, in the order they were trained. Reads no tensors.

Understands the folders of transformers' Trainer and so those of TRL, LLaMA-Factory, Axolotl and ms-swift
(`docs/models.md` lists what is read from where), single checkpoints, final adapters, plain models, hub ids.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ModelError
from assay.models.bases import base_of_adapter, base_of_full, given_base
from assay.models.folders import IncompleteError, Weights, find_weights
from assay.models.hub import fetch, is_hub_id
from assay.models.learned import read_loss_on
from assay.models.position import CHECKPOINT, read_position
from assay.models.trajectory import Checkpoint, Trajectory
from assay.models.weights import content_digest

TORCHTUNE = re.compile(r"epoch_\d+")


def discover(
    source: str | Path,
    *,
    base_model: str | None = None,
    steps: Sequence[int] | None = None,
    every: int | None = None,
    include_base: bool = False,
    allow_pickle: bool = False,
) -> Trajectory:
    """The trajectory in a trainer's folder, a checkpoint's folder, a model's folder, or under a hub id.

    `base_model` overrides the base that the folder names. `steps` keeps the checkpoints of these steps;
    `every=n` keeps every n-th checkpoint counted back from the last, which is always kept. `include_base`
    puts the untrained base before the first, as step 0. Raises ModelError with what to do.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        try:
            trajectory = _in_folder(path, base_model, allow_pickle)
        except OSError as error:
            raise ModelError(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    elif path.exists():
        raise ModelError(f"{path} is a file; give the folder that the trainer wrote.")
    else:
        trajectory = _on_hub(str(source), base_model)
    chosen = _select(trajectory.checkpoints, steps, every)
    if include_base:
        chosen = (_base_checkpoint(trajectory, path), *chosen)
    return Trajectory(chosen, trajectory.base_model, trajectory.loss_on, trajectory.notes)


@dataclass(frozen=True, slots=True)
class _Found:
    checkpoint: Checkpoint
    weights: Weights
    note: str | None


def _in_folder(path: Path, base_model: str | None, allow_pickle: bool) -> Trajectory:
    numbered = sorted(
        (int(match[1]), child)
        for child in path.iterdir()
        if (match := CHECKPOINT.fullmatch(child.name)) and child.is_dir()
    )
    if numbered:
        found, notes = _saved_states(path, [child for _, child in numbered], allow_pickle)
        run = path
    else:
        weights = find_weights(path, allow_pickle=allow_pickle)
        if weights is None:
            raise ModelError(_nothing_in(path))
        found, notes = [_describe(path, weights, path.resolve().name)], []
        run = path.resolve().parent if CHECKPOINT.fullmatch(path.resolve().name) else path
    notes += [one.note for one in found if one.note]
    return Trajectory(
        tuple(one.checkpoint for one in found),
        given_base(base_model) if base_model else _base_of(found, run),
        read_loss_on([run, Path(found[-1].checkpoint.source)]),
        tuple(notes),
    )


def _saved_states(run: Path, folders: Sequence[Path], allow_pickle: bool) -> tuple[list[_Found], list[str]]:
    """Every whole checkpoint of `folders`, then the run's own weights where they are yet another state."""
    found: list[_Found] = []
    incomplete: list[str] = []
    for folder in folders:
        try:
            weights = find_weights(folder, allow_pickle=allow_pickle)
            if weights is None:
                raise IncompleteError(f"{folder} has no weights.")
            found.append(_describe(folder, weights, folder.name))
        except IncompleteError as error:
            incomplete.append(str(error))
    notes = [f"Skipped an incomplete checkpoint: {reason}" for reason in incomplete]
    try:
        final = find_weights(run, allow_pickle=allow_pickle)
    except ModelError as error:
        final = None
        notes.append(f"Skipped the final weights: {error}")
    if not found and final is None:
        raise ModelError(f"No checkpoint in {run} is whole: {incomplete[0]}")
    kinds = {one.weights.kind for one in found}
    if len(kinds) > 1:
        raise ModelError(
            f"{run} mixes adapters and full weights; keep the checkpoints of one run in a folder."
        )
    if final and found and final.kind not in kinds:
        notes.append(
            f"The {final.kind} weights in {run} itself are not counted: its checkpoints are of another kind."
        )
    elif final:
        twin = _same_weights(final, found)
        if twin is None:
            found.append(_describe(run, final, "final"))
        elif twin is not found[-1]:
            notes.append(f"The final weights in {run} are those of {twin.checkpoint.name}.")
    return found, notes


def _describe(folder: Path, weights: Weights, name: str) -> _Found:
    position = read_position(folder)
    checkpoint = Checkpoint(
        name, str(folder), weights.kind, position.step, position.epoch, position.learning_rate
    )
    return _Found(checkpoint, weights, position.note)


def _same_weights(weights: Weights, among: Sequence[_Found]) -> _Found | None:
    """The latest of `among` whose weight files hold the same bytes."""
    size = sum(path.stat().st_size for path in weights.files)
    likely = [one for one in among if sum(path.stat().st_size for path in one.weights.files) == size]
    if not likely:
        return None
    digest = content_digest(weights.files)
    return next((one for one in reversed(likely) if content_digest(one.weights.files) == digest), None)


def _base_of(found: Sequence[_Found], run: Path) -> str | None:
    """The one base that all checkpoints name; None for full weights that name none."""
    if found[0].weights.kind == "full":
        return base_of_full(Path(found[-1].checkpoint.source), run)
    bases = sorted({base_of_adapter(Path(one.checkpoint.source), run) for one in found})
    if len(bases) > 1:
        raise ModelError(
            f"The adapters in {run} name different base models ({', '.join(bases)}); "
            "name the right one with --base-model."
        )
    return bases[0]


def _on_hub(name: str, base_model: str | None) -> Trajectory:
    """A trajectory of one under an `owner/name`; where a folder `owner` is here, a mistyped path is meant."""
    owner, _, rest = name.partition("/")
    if not rest or not is_hub_id(name) or Path(owner).exists():
        raise ModelError(f"There is no folder {name}.")
    config = fetch(name, "adapter_config.json")
    if config is not None:
        base = given_base(base_model) if base_model else base_of_adapter(config.parent, config.parent)
        return Trajectory((Checkpoint(name, name, "adapter"),), base)
    if fetch(name, "config.json") is None:
        raise ModelError(f"'{name}' on the hub holds neither an adapter nor a model.")
    return Trajectory((Checkpoint(name, name, "full"),), given_base(base_model) if base_model else None)


def _select(
    checkpoints: tuple[Checkpoint, ...], steps: Sequence[int] | None, every: int | None
) -> tuple[Checkpoint, ...]:
    if steps is not None:
        there = {checkpoint.step for checkpoint in checkpoints}
        if absent := [step for step in steps if step not in there]:
            known = ", ".join(str(step) for step in sorted(step for step in there if step is not None))
            raise ModelError(
                f"No checkpoint of step {absent[0]}; the folder holds steps {known or 'unknown'}."
            )
        checkpoints = tuple(checkpoint for checkpoint in checkpoints if checkpoint.step in set(steps))
    if every is not None:
        if every < 1:
            raise ModelError(f"`every` must be 1 or more, not {every}.")
        checkpoints = checkpoints[::-1][::every][::-1]
    if not checkpoints:
        raise ModelError("No checkpoint is left: `steps` is empty.")
    return checkpoints


def _base_checkpoint(trajectory: Trajectory, path: Path) -> Checkpoint:
    if trajectory.base_model is None:
        raise ModelError(
            f"{path} does not tell which base model it was trained from; name it with --base-model."
        )
    return Checkpoint("base", trajectory.base_model, "base", step=0, epoch=0.0)


def _nothing_in(path: Path) -> str:
    """What a folder without weights probably is, as a sentence."""
    children = sorted(path.iterdir())
    folders = [child for child in children if child.is_dir()]
    if not children:
        return f"{path} is empty; give the folder that the trainer wrote."
    if tuned := [child.name for child in folders if TORCHTUNE.fullmatch(child.name)]:
        return (
            f"{path} holds torchtune's folders ({', '.join(tuned[:3])}), which are not read as one run; "
            "give one that holds an adapter or a model in safetensors as a checkpoint of its own."
        )
    runs = [
        child.name for child in folders if any(CHECKPOINT.fullmatch(inner.name) for inner in child.iterdir())
    ]
    if runs:
        names = ", ".join(runs[:5])
        return f"{path} holds no checkpoints itself, but these folders in it do: {names}; give one of them."
    return (
        f"{path} holds no checkpoint, adapter or model (no checkpoint-N, adapter_model.safetensors or "
        "model.safetensors); give the folder that the trainer wrote."
    )
