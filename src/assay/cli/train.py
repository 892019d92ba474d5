"""`assay train`: one fine-tuning run with checkpoints to study, by the paper's recipe unless told
otherwise.
"""

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.console import Terminal, output
from assay.cli.options import (
    COMPUTE,
    ChatTemplate,
    Columns,
    Completion,
    Device,
    Format,
    LossOn,
    MaxLength,
    OnBadRows,
    Prompt,
    Render,
    Unescape,
    given_options,
)

RECIPE = "The recipe (the paper's)"


def train(
    base_model: Annotated[str, typer.Option(metavar="MODEL", help="A local folder or hub id.")],
    data: Annotated[list[str], typer.Option(metavar="FILE", help="Training examples; repeatable.")],
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Where checkpoints go; the same command goes on from them."),
    ],
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Probes or queries to keep out of training; repeatable."),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(metavar="X", rich_help_panel=RECIPE, help="Passes over the data (6).")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=RECIPE, help="Steps, instead of epochs.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=RECIPE, help="Examples of a step (32).")
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=COMPUTE, help="Examples at once, to save memory."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="X", rich_help_panel=RECIPE, help="Highest learning rate (1e-5)."),
    ] = None,
    final_learning_rate: Annotated[
        float | None, typer.Option(metavar="X", rich_help_panel=RECIPE, help="The last one (1e-7).")
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=RECIPE, help="Steps between checkpoints (50)."),
    ] = None,
    lora_r: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=RECIPE, help="LoRA rank (64).")
    ] = None,
    lora_alpha: Annotated[
        float | None, typer.Option(metavar="X", rich_help_panel=RECIPE, help="LoRA alpha (512).")
    ] = None,
    target_modules: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", rich_help_panel=RECIPE, help="LoRA on these (up_proj,down_proj)."),
    ] = None,
    full_finetuning: Annotated[
        bool | None,
        typer.Option("--full-finetuning", rich_help_panel=RECIPE, help="Train every weight."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=RECIPE, help="Order of examples, initial adapter (0)."),
    ] = None,
    format: Format = None,
    columns: Columns = None,
    prompt: Prompt = None,
    completion: Completion = None,
    unescape: Unescape = None,
    on_bad_rows: OnBadRows = None,
    loss_on: LossOn = None,
    render: Render = None,
    chat_template: ChatTemplate = None,
    max_length: MaxLength = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=COMPUTE, help="fp32, bf16 or auto (default)."),
    ] = None,
    device: Device = None,
) -> None:
    """Fine-tune with checkpoints to study.

    LoRA r=64 on the MLP, 6 epochs of batches of 32, as in the paper, unless
    told otherwise.
    """
    given = given_options(locals())
    from assay.data.texts import counted
    from assay.models.recipe import FineTuneRecipe
    from assay.runs.config import DataConfig, data_config
    from assay.runs.train import run_training

    recipe = {field.name: given[field.name] for field in fields(FineTuneRecipe) if field.name in given}
    if target_modules is not None:
        recipe["target_modules"] = tuple(part.strip() for part in target_modules.split(","))
    of_data = {name: value for name, value in given.items() if name in DataConfig.model_fields}
    trajectory = run_training(
        base_model,
        data,
        out,
        FineTuneRecipe(**recipe),
        exclude=exclude or [],
        config=data_config(of_data, options=of_data),
        device=device or "auto",
        progress=Terminal(),
    )
    output.print(
        f"{counted(len(trajectory.checkpoints), 'checkpoint')} in {out}", markup=False, soft_wrap=True
    )
