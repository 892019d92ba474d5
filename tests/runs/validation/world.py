"""A tiny validation: a random Llama, sets of a few rows, two seeds."""

from pathlib import Path
from typing import Any

from assay.runs.validation.config import ValidateConfig, validate_config
from tests.runs.lab import rows, save_model, write_rows

RECIPE = {
    "lora_r": 2,
    "lora_alpha": 4,
    "learning_rate": 1e-2,
    "final_learning_rate": 1e-3,
    "warmup_steps": 1,
    "batch_size": 4,
    "epochs": 2,
    "precision": "fp32",
}
ARMS = ["base", "base+cot", "continue(base) -> cot"]


def make_world(folder: Path) -> Path:
    """Files of the sets `base` and `cot`, queries, bad responses to them, and the model, in `folder`."""
    save_model(folder / "model")
    write_rows(folder / "base.jsonl", rows("plain", 60, 3))
    write_rows(folder / "cot.jsonl", rows("cot", 10, 2))
    write_rows(folder / "queries.jsonl", [{**row, "id": f"q-{row['id']}"} for row in rows("plain", 12, 2)])
    write_rows(folder / "neg.jsonl", [{**row, "id": f"n-{row['id']}"} for row in rows("cot", 30, 1)])
    return folder


def settings(world: Path, **changes: Any) -> dict[str, Any]:
    return {
        "base_model": str(world / "model"),
        "sets": {name: str(world / f"{name}.jsonl") for name in ("base", "cot")},
        "arms": ARMS,
        "queries": {"queries": str(world / "queries.jsonl"), "neg": str(world / "neg.jsonl")},
        "undesired": ["neg"],
        "seeds": 2,
        "recipe": RECIPE,
        "continue_recipe": {"learning_rate": 1e-3, "epochs": 1},
        "max_new_tokens": 3,
        "device": "cpu",
        **changes,
    }


def config(world: Path, **changes: Any) -> ValidateConfig:
    return validate_config(settings(world, **changes))
