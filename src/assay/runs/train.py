"""Fine-tuning from files: read, leave out what is studied, tokenise, train. Ends in a trajectory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assay.data.overlap import trained_on
from assay.data.readers import read_examples
from assay.data.render import tokenize_all
from assay.data.texts import counted
from assay.errors import DataError
from assay.models.loading import load_tokenizer
from assay.models.recipe import FineTuneRecipe, fine_tune
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.config import LossOn


def run_training(
    base_model: str,
    data: Sequence[str],
    out: Path,
    recipe: FineTuneRecipe,
    *,
    exclude: Sequence[str] = (),
    loss_on: LossOn = "assistant",
    max_length: int | None = None,
    on_bad_rows: str = "error",
    device: str = "auto",
    progress: Progress = SILENT,
) -> Trajectory:
    """Fine-tune `base_model` on the files of `data` into checkpoints under `out`.

    Examples whose content also stands in a file of `exclude` (probes and queries of the study to come) are
    left out and counted. Raises AssayError of the fitting kind for whatever a person can mend.
    """
    bad_rows = "skip" if on_bad_rows == "skip" else "error"
    examples = []
    for file in data:
        found = read_examples(file, on_bad_rows=bad_rows)  # type: ignore[arg-type]
        examples += [replace(example, id=f"{file}:{example.id}") for example in found.examples]
        for note in found.notes:
            progress.note(note)
    if exclude:
        studied = [example for file in exclude for example in read_examples(file).examples]
        matches = [match for match in trained_on(studied, {"": examples}) if match.by == "content"]
        gone = {match.id for match in matches}
        examples = [example for example in examples if example.id not in gone]
        progress.note(f"Left out {counted(len(gone), 'training example')} that the study will use.")
        if not examples:
            raise DataError(
                "Every training example is also a probe or query, so nothing is left to train on."
            )
    tokenizer = load_tokenizer([base_model])
    tokenised = tokenize_all(
        examples,
        tokenizer,
        loss_on=loss_on,
        max_length=max_length,
        on_bad_rows=bad_rows,  # type: ignore[arg-type]
    )
    for note in tokenised.notes:
        progress.note(note)
    return fine_tune(
        base_model, tokenised.tokens, out, recipe, tokenizer=tokenizer, progress=progress, device=device
    )
