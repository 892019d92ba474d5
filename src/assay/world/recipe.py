"""How the world's base model is fine-tuned: the keyword arguments of `assay.models.recipe.FineTuneRecipe`."""

from typing import Any


def world_recipe(**changes: Any) -> dict[str, Any]:
    """LoRA on attention and MLP, fast enough for a demo; `changes` override fields.

    8 checkpoints, at steps 40, 80, … 320: about 4 passes over the 2,304 base examples.
    """
    return {
        "lora_r": 16,
        "lora_alpha": 64,
        "lora_dropout": 0.0,
        "target_modules": ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"),
        "learning_rate": 4e-3,
        "final_learning_rate": 4e-5,
        "warmup_steps": 10,
        "schedule": "linear",
        "batch_size": 32,
        "epochs": None,
        "max_steps": 320,
        "save_every": 40,
        "seed": 0,
        "full_finetuning": False,
        "weight_decay": 0.0,
        "precision": "fp32",
        **changes,
    }
