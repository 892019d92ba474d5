"""One arm on one base model with one seed: the model it starts from, its steps, the state it ends in.

What is in which step comes from `validation.schedule`, what a step is from `lookahead.steps`. Equal arms with
equal seeds end in equal weights on the same machine. Knows no files but those of weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from assay.data.example import Tokens
from assay.errors import ResumeError
from assay.files import write_atomically
from assay.gradients.coverage import trained_parameters
from assay.lookahead.steps import Step, mean_loss, sum_of_means, take_steps
from assay.models.loading import resolve_device
from assay.models.recipe import FineTuneRecipe
from assay.models.training import prepare_model
from assay.progress import SILENT, Progress

Row = tuple[str, int]
"""A set, and the place of an example in it."""
Weigh = Literal["tokens", "sets"]
"""Whether a step's loss is the mean over all its learned tokens, or the sum of every set's own mean."""


def untrained(base_model: str, recipe: FineTuneRecipe, seed: int, device: str = "auto") -> nn.Module:
    """The base model as every arm of a seed finds it: a fresh adapter is drawn by the seed alone."""
    on = resolve_device(device)
    torch.manual_seed(seed)
    model: nn.Module = prepare_model(base_model, recipe, device=on, bf16=in_bf16(recipe, on))
    return model


def in_bf16(recipe: FineTuneRecipe, device: torch.device) -> bool:
    """Whether a frozen base is held in bf16, as `assay train` decides it."""
    return recipe.precision == "bf16" or (
        recipe.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )


def train_arm(
    model: nn.Module,
    sets: Mapping[str, Sequence[Tokens]],
    steps: Sequence[Sequence[Row]],
    recipe: FineTuneRecipe,
    *,
    weigh: Weigh = "tokens",
    token_budget: int = 8192,
    label: str = "training",
    progress: Progress = SILENT,
) -> None:
    """Take an arm's steps, in place: AdamW from a fresh state, rates by the recipe over these steps.

    The loss of a step is the mean over the learned tokens of its examples; with `weigh="sets"` it is the sum
    of every set's own mean, so that what is added takes nothing from the base. Raises as `take_steps` does.
    """
    optimizer = torch.optim.AdamW(
        list(trained_parameters(model).values()), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    rates = [recipe.rate(number, len(steps)) for number in range(len(steps))]
    with progress.stage(label, len(steps), "steps") as advance:

        def told() -> Iterator[Step]:
            for rows in steps:
                yield step_on(sets, rows, weigh)
                advance(1)

        take_steps(
            model,
            optimizer,
            told(),
            rates=rates,
            max_grad_norm=recipe.max_grad_norm,
            token_budget=token_budget,
        )


def step_on(sets: Mapping[str, Sequence[Tokens]], rows: Sequence[Row], weigh: Weigh) -> Step:
    """What one step learns from."""
    if weigh == "tokens":
        return mean_loss([sets[name][row] for name, row in rows])
    groups: dict[str, list[Tokens]] = {}
    for name, row in rows:
        groups.setdefault(name, []).append(sets[name][row])
    return sum_of_means(groups.values())


def save_state(path: Path, model: nn.Module, fingerprint: str) -> None:
    """The trained parameters, whole or not at all."""
    state = {
        name: parameter.detach().cpu().contiguous() for name, parameter in trained_parameters(model).items()
    }
    write_atomically(path, lambda temporary: save_file(state, temporary, {"fingerprint": fingerprint}))


def has_state(path: Path, fingerprint: str) -> bool:
    """Whether the file is there and whole, and of this training."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("fingerprint") == fingerprint
    except (SafetensorError, OSError):
        return False


def load_state(path: Path, model: nn.Module) -> None:
    """Put a saved state onto a model of the same structure. Raises ResumeError where it does not fit."""
    parameters: dict[str, Any] = trained_parameters(model)
    with safe_open(path, framework="pt") as file, torch.no_grad():
        if set(file.keys()) != set(parameters):
            raise ResumeError(f"{path} holds other parameters than the model trains; delete its folder.")
        for name, parameter in parameters.items():
            parameter.copy_(file.get_tensor(name))
