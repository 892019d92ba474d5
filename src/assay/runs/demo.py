"""The demo: fine-tune the embedded world's model, then study strategies on it, as with anybody's own
files.
"""

from pathlib import Path

from assay.models.recipe import FineTuneRecipe
from assay.progress import SILENT, Progress
from assay.runs.config import study_config
from assay.runs.folder import require_writable
from assay.runs.study import Study, run_study
from assay.runs.train import run_training
from assay.world import base_model_path, demo_inputs, world_recipe


def run_demo(out: Path, *, progress: Progress = SILENT, max_steps: int | None = None) -> Study:
    """Write the world's files into `out`, fine-tune, study, report; goes on from what is there.

    `max_steps` shortens the fine-tuning run (8 checkpoints all the same).
    """
    require_writable(out)
    inputs = demo_inputs(out / "data")
    changes = {} if max_steps is None else {"max_steps": max_steps, "save_every": max(1, max_steps // 8)}
    run_training(
        str(base_model_path()),
        [str(inputs.base)],
        out / "run",
        FineTuneRecipe(**world_recipe(**changes)),
        progress=progress,
    )
    probes = {name: str(path) for name, path in inputs.probes.items()}
    config = study_config(
        {
            "checkpoints": str(out / "run"),
            "control": {inputs.control: probes.pop(inputs.control)},
            "probes": probes,
            "queries": {"queries": str(inputs.queries)},
            "train_data": str(inputs.base),
            "token_budget": 8192,
        }
    )
    return run_study(config, out=out / "study", progress=progress, command=f"assay demo --out {out}")
