"""One training run by transformers' Trainer and PEFT, on tokens with loss weights. Knows no data formats."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from assay.data.example import Tokens
from assay.errors import ModelError, NumericsError
from assay.models.loading import load_model, quiet, resolve_device
from assay.progress import Advance, Progress

if TYPE_CHECKING:
    from assay.models.recipe import FineTuneRecipe


def train(
    base: str,
    tokens: Sequence[Tokens],
    out: Path,
    recipe: "FineTuneRecipe",
    *,
    steps: int,
    tokenizer: Any,
    progress: Progress,
    last: Path | None,
    device: str,
) -> None:
    """Train up to optimizer step `steps` into `out/checkpoint-N/`, from the checkpoint `last` if any."""
    on = resolve_device(device)
    bf16 = recipe.precision == "bf16" or (
        recipe.precision == "auto" and on.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    transformers.set_seed(recipe.seed)
    model = prepare_model(base, recipe, device=on, bf16=bf16)
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=recipe.examples_at_once,
        gradient_accumulation_steps=recipe.batch_size // recipe.examples_at_once,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim="adamw_torch_fused",
        save_strategy="steps",
        save_steps=recipe.save_every,
        logging_strategy="steps",
        logging_steps=recipe.save_every,
        logging_nan_inf_filter=False,
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=bf16,
        use_cpu=on.type == "cpu",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on.type == "cuda",
        average_tokens_across_devices=False,
    )
    # Trainer would otherwise spread batches over all GPUs and so enlarge them.
    arguments._n_gpu = min(1, arguments.n_gpu)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    with progress.stage("fine-tuning", steps, "steps") as advance, quiet():
        trainer = WeightedTrainer(
            model=model,
            args=arguments,
            train_dataset=TokensDataset(tokens),
            data_collator=lambda batch: pad_batch(batch, pad),
            processing_class=tokenizer,
            callbacks=[_Advancing(advance)],
        )
        trainer.recipe, trainer.steps = recipe, steps
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(last) if last else None)


def prepare_model(base: str, recipe: "FineTuneRecipe", *, device: torch.device, bf16: bool) -> Any:
    """The base with a fresh LoRA, or to be trained whole; under `bf16` a frozen base is bf16, else fp32."""
    dtype = torch.bfloat16 if bf16 and not recipe.full_finetuning else torch.float32
    model = load_model(base, device=device, dtype=dtype)
    if recipe.full_finetuning:
        return model.requires_grad_(True)
    structure = LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear"
        if recipe.target_modules == ("all-linear",)
        else list(recipe.target_modules),
    )
    try:
        with quiet():
            return get_peft_model(model, structure)
    except ValueError as error:
        linear = sorted(
            {name.rpartition(".")[2] for name, module in model.named_modules() if _is_linear(module)}
        )
        raise ModelError(
            f"The model {base} has no modules named {', '.join(recipe.target_modules)} to put LoRA on; "
            f"its linear modules are {', '.join(linear)} (target_modules)."
        ) from error


class WeightedTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped
    """Trainer with the loss Σ w · (−log p) / (number of tokens with w > 0) over a whole accumulated batch."""

    recipe: "FineTuneRecipe"
    steps: int
    lr_scheduler: torch.optim.lr_scheduler.LRScheduler | None

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """The next parts of a batch, and how many tokens are learned in all of them."""
        parts = [part for _, part in zip(range(num_batches), epoch_iterator, strict=False)]
        learned = sum(int((part["loss_weights"][:, 1:] > 0).sum()) for part in parts)
        return parts, torch.tensor(max(learned, 1), device=device)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """A part's share of the batch's loss. Raises NumericsError when it is not finite."""
        weights, ids = inputs["loss_weights"][:, 1:], inputs["input_ids"]
        outputs = model(input_ids=ids, attention_mask=inputs["attention_mask"], use_cache=False)
        learned = weights > 0
        losses = nn.functional.cross_entropy(
            outputs.logits[:, :-1][learned].float(), ids[:, 1:][learned], reduction="none"
        )
        count = num_items_in_batch if num_items_in_batch is not None else learned.sum().clamp(min=1)
        loss = (losses * weights[learned]).sum() / count
        if not torch.isfinite(loss):
            raise NumericsError(
                f"The training loss is not finite in step {self.state.global_step + 1}; lower learning_rate."
            )
        return (loss, outputs) if return_outputs else loss

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The recipe's own schedule."""
        recipe, steps = self.recipe, self.steps
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: recipe.rate(step, steps) / recipe.learning_rate
            )
        return self.lr_scheduler


class TokensDataset(Dataset[Tokens]):
    """Tokens as torch's loaders want them."""

    def __init__(self, tokens: Sequence[Tokens]) -> None:
        self._tokens = tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: int) -> Tokens:
        return self._tokens[index]


def pad_batch(examples: Sequence[Tokens], pad: int) -> dict[str, Tensor]:
    """Right-padded `input_ids`, `attention_mask` (int64) and `loss_weights` (fp32), each (n, t)."""
    shape = (len(examples), max(len(example) for example in examples))
    ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    weights = np.zeros(shape, np.float32)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = example.input_ids
        mask[row, : len(example)] = 1
        weights[row, : len(example)] = example.weights
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "loss_weights": torch.from_numpy(weights),
    }


class _Advancing(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Tells the progress of every step, and of those done before a run was cut off."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance(1)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | transformers.pytorch_utils.Conv1D)
