"""Fine-tuning from files: read, leave out what is studied, tokenise, train. Ends in a trajectory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assay.data.example import Example, Reject
from assay.data.overlap import trained_on
from assay.data.readers import write_rejects
from assay.data.texts import counted
from assay.errors import DataError
from assay.models.loading import context_length, load_config, load_tokenizer
from assay.models.recipe import FineTuneRecipe, fine_tune
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.config import DataConfig, SetConfig
from assay.runs.folder import require_writable
from assay.runs.inputs import read_file, tokenise


def run_training(
    base_model: str,
    data: Sequence[str],
    out: Path,
    recipe: FineTuneRecipe,
    *,
    exclude: Sequence[str] = (),
    config: DataConfig | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Trajectory:
    """Fine-tune `base_model` on the files of `data` into checkpoints under `out`.

    Examples whose content also stands in a file of `exclude` (probes and queries of the study to come) are
    left out and counted. `config` says how files are read and what is learned; rows set aside go to
    `out/rejects.jsonl`. Raises AssayError of the fitting kind for whatever a person can mend.
    """
    require_writable(out)
    config = config or DataConfig()
    examples: list[Example] = []
    rejects: list[Reject] = []
    for file in data:
        found = read_file(SetConfig(file=file), config)
        examples += [replace(example, id=f"{file}:{example.id}") for example in found.examples]
        rejects += found.rejects
        for note in found.notes:
            progress.note(note)
    examples = _without(examples, exclude, config, progress)
    tokenizer = load_tokenizer([base_model])
    tokenised = tokenise(examples, tokenizer, config, longest=context_length(load_config(base_model)))
    for note in tokenised.notes:
        progress.note(note)
    trajectory = fine_tune(
        base_model, tokenised.tokens, out, recipe, tokenizer=tokenizer, progress=progress, device=device
    )
    if rejects or tokenised.rejects:
        write_rejects(out / "rejects.jsonl", [*rejects, *tokenised.rejects])
    return trajectory


def _without(
    examples: list[Example], exclude: Sequence[str], config: DataConfig, progress: Progress
) -> list[Example]:
    """The examples whose content stands in no file of `exclude`."""
    if not exclude:
        return examples
    studied = [example for file in exclude for example in read_file(SetConfig(file=file), config).examples]
    gone = {match.id for match in trained_on(studied, {"": examples}) if match.by == "content"}
    progress.note(f"Left out {counted(len(gone), 'training example')} that the study will use.")
    if len(gone) == len(examples):
        raise DataError("Every training example is also a probe or query, so nothing is left to train on.")
    return [example for example in examples if example.id not in gone]
