"""`assay train`: one fine-tuning run with checkpoints to study, by the paper's recipe unless told
otherwise.
"""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.app import app
from assay.cli.console import Terminal, output
from assay.cli.options import Device, LossOn, one_of


@app.command()
def train(
    base_model: Annotated[str, typer.Option(help="A local folder or hub id.")],
    data: Annotated[list[str], typer.Option(help="Training examples; repeatable.")],
    out: Annotated[Path, typer.Option(help="Where checkpoints go; the same command goes on from them.")],
    exclude: Annotated[
        list[str] | None, typer.Option(help="Probe or query files to keep out of training; repeatable.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data (6).")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples of a step (32).")] = None,
    micro_batch: Annotated[int | None, typer.Option(help="Examples at once, to save memory.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate (1e-5).")] = None,
    final_learning_rate: Annotated[float | None, typer.Option(help="The last one (1e-7).")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints (50).")] = None,
    lora_r: Annotated[int | None, typer.Option(help="LoRA rank (64).")] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="LoRA alpha (512).")] = None,
    target_modules: Annotated[str | None, typer.Option(help="LoRA modules (up_proj,down_proj).")] = None,
    full_finetuning: Annotated[bool | None, typer.Option(help="Train every weight.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or auto.")] = None,
    seed: Annotated[int | None, typer.Option(help="Order of examples and initial adapter (0).")] = None,
    loss_on: LossOn = "assistant",
    max_length: Annotated[int | None, typer.Option(help="Longest example in tokens.")] = None,
    on_bad_rows: Annotated[str, typer.Option(help="error or skip.")] = "error",
    device: Device = "auto",
) -> None:
    """Fine-tune with checkpoints: LoRA r=64 on the MLP, 6 epochs of 32, as in the paper, unless told
    otherwise.
    """
    given: dict[str, Any] = {name: value for name, value in locals().items() if value is not None}
    from assay.models.recipe import FineTuneRecipe
    from assay.runs.train import run_training

    recipe = {field.name: given[field.name] for field in fields(FineTuneRecipe) if field.name in given}
    if target_modules is not None:
        recipe["target_modules"] = tuple(part.strip() for part in target_modules.split(","))
    trajectory = run_training(
        base_model,
        data,
        out,
        FineTuneRecipe(**recipe),
        exclude=exclude or [],
        loss_on=one_of(loss_on, ("assistant", "last", "all"), "--loss-on"),  # type: ignore[arg-type]
        max_length=max_length,
        on_bad_rows=one_of(on_bad_rows, ("error", "skip"), "--on-bad-rows"),
        device=device,
        progress=Terminal(),
    )
    output.print(f"{len(trajectory.checkpoints)} checkpoints in {out}", markup=False, soft_wrap=True)
