"""The fine-tuning recipe, the paper's by default (arXiv 2502.13514), and the run that follows it.

Trains on `Tokens`, so what is learned is what is scored. Knows nothing of data formats or studies.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from assay.data.example import Tokens
from assay.errors import ConfigError, DataError, ModelError, ResumeError
from assay.files import read_json, write_json
from assay.fingerprint import differing_fields, digest
from assay.models.bases import given_base
from assay.models.discover import discover
from assay.models.folders import find_weights
from assay.models.position import CHECKPOINT
from assay.models.trajectory import Trajectory
from assay.models.weights import content_digest
from assay.progress import SILENT, Progress

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class FineTuneRecipe:
    """How to fine-tune. Batches are of examples; `micro_batch` of them go through the model at once.

    `learning_rate` is reached after `warmup_steps` and under "linear" falls to `final_learning_rate` at the
    last step. `max_steps` overrides `epochs`. `save_every` counts optimizer steps; the last is saved too.
    `precision`: bf16 computes in bf16 with trained weights kept in fp32; auto is bf16 on a GPU that has it,
    else fp32. `target_modules` are names of linear modules, or "all-linear" alone. `full_finetuning` trains
    every weight and ignores the LoRA fields.
    """

    lora_r: int = 64
    lora_alpha: float = 512
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("up_proj", "down_proj")
    learning_rate: float = 1e-5
    final_learning_rate: float = 1e-7
    warmup_steps: int = 10
    schedule: Literal["linear", "constant"] = "linear"
    batch_size: int = 32
    micro_batch: int | None = None
    epochs: float | None = 6
    max_steps: int | None = None
    save_every: int = 50
    seed: int = 0
    full_finetuning: bool = False
    weight_decay: float = 0.0
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        """Raise ConfigError for a recipe that cannot be followed."""
        positive = ("lora_r", "lora_alpha", "learning_rate", "batch_size", "save_every")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ConfigError(f"The recipe's {name} must be above 0, not {getattr(self, name)}.")
        if self.epochs is None and self.max_steps is None:
            raise ConfigError("The recipe needs epochs or max_steps.")
        if any(length is not None and length <= 0 for length in (self.epochs, self.max_steps)):
            raise ConfigError("The recipe's epochs and max_steps must be above 0.")
        if self.batch_size % self.examples_at_once:
            raise ConfigError(
                f"The recipe's batch_size {self.batch_size} is no multiple of micro_batch {self.micro_batch}."
            )
        if self.schedule not in ("linear", "constant") or self.precision not in ("fp32", "bf16", "auto"):
            raise ConfigError(
                "The recipe's schedule is linear or constant, its precision fp32, bf16 or auto."
            )

    @property
    def examples_at_once(self) -> int:
        return self.micro_batch or self.batch_size

    def steps(self, examples: int) -> int:
        """Optimizer steps on that many examples; the last batch of an epoch may be smaller."""
        if self.max_steps is not None:
            return self.max_steps
        assert self.epochs is not None
        return math.ceil(self.epochs * math.ceil(examples / self.batch_size))

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of optimizer step `step`, counted from 0, of `steps`.

        Linear warm-up that reaches the full rate at step `warmup_steps`, then constant, or linear down to the
        final rate at the last step.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / (self.warmup_steps + 1)
        if self.schedule == "constant":
            return self.learning_rate
        done = min(1.0, (step - self.warmup_steps) / max(1, steps - 1 - self.warmup_steps))
        return self.learning_rate + done * (self.final_learning_rate - self.learning_rate)


def fine_tune(
    base_model: str | Path,
    tokens: Sequence[Tokens],
    out: Path,
    recipe: FineTuneRecipe,
    *,
    tokenizer: Any,
    progress: Progress = SILENT,
    resume: bool = True,
    device: str = "auto",
) -> Trajectory:
    """Fine-tune `base_model` on `tokens` into `out/checkpoint-N/` folders and return their trajectory.

    The loss of a batch is Σ weights · (−log p) over all its examples, divided by the number of learned tokens
    (weight above 0), as transformers' Trainer averages. With `resume`, a run that was cut off goes on from
    its last whole checkpoint and one that is finished is returned as it is; without, `out` must be empty.
    Base, data and recipe are kept in `out/recipe.json`. Raises ResumeError when `out` was made with others,
    DataError when nothing is learned, ModelError, ConfigError, and NumericsError when the loss is not finite.
    """
    out = Path(out)
    base = given_base(str(base_model))
    learned = sum(example.completion_tokens for example in tokens)
    if learned == 0:
        raise DataError(
            "There is nothing to fine-tune on: no example has a token with a loss weight above 0."
        )
    steps = recipe.steps(len(tokens))
    _claim(out, _settings(base, tokens, recipe), resume)
    last = _last_whole_checkpoint(out)
    if last is None or _step(last) < steps:
        from assay.models.training import train

        train(
            base,
            tokens,
            out,
            recipe,
            steps=steps,
            tokenizer=tokenizer,
            progress=progress,
            last=last,
            device=device,
        )
    return discover(out, base_model=base)


def _settings(base: str, tokens: Sequence[Tokens], recipe: FineTuneRecipe) -> dict[str, Any]:
    data = digest(
        *(
            part
            for one in tokens
            for part in (one.input_ids.astype("int64").tobytes(), one.weights.astype("float64").tobytes())
        )
    )
    folder = Path(base)
    weights = find_weights(folder) if folder.is_dir() else None
    return {
        "base_model": folder.resolve().name if weights else base,
        "base_digest": content_digest(weights.files) if weights else None,
        "data": data,
        "examples": len(tokens),
        **asdict(recipe),
        "target_modules": list(recipe.target_modules),
    }


def _claim(out: Path, settings: dict[str, Any], resume: bool) -> None:
    """Write the settings of a new run, or check that those of the run in `out` are the same."""
    path = out / RECIPE_FILE
    if not out.exists() or not any(out.iterdir()):
        write_json(path, settings)
        return
    if not resume:
        raise ConfigError(f"{out} is not empty; give another folder for the fine-tuning run.")
    if not path.is_file():
        raise ResumeError(
            f"{out} is not empty and holds no {RECIPE_FILE}, so it is no run of ours to go on with."
        )
    try:
        differing = differing_fields(settings, read_json(path))
    except (ValueError, AttributeError) as error:
        raise ResumeError(f"{path} cannot be read; give another folder for the fine-tuning run.") from error
    if differing:
        raise ResumeError(
            f"{out} holds a fine-tuning run with another {', '.join(differing)}; "
            "give another folder, or the same settings."
        )


def _last_whole_checkpoint(out: Path) -> Path | None:
    """The latest checkpoint that training can go on from; Trainer writes `trainer_state.json` last."""
    needed = ("optimizer.pt", "scheduler.pt", "trainer_state.json")
    whole = [
        folder
        for folder in out.iterdir()
        if CHECKPOINT.fullmatch(folder.name) and all((folder / name).is_file() for name in needed)
    ]
    return max(whole, key=_step, default=None)


def _step(checkpoint: Path) -> int:
    match = CHECKPOINT.fullmatch(checkpoint.name)
    if match is None:
        raise ModelError(f"{checkpoint} is not named checkpoint-N.")
    return int(match[1])
