"""Checking the engine on a person's own model and data: read a handful, load one checkpoint, compare."""

from assay.data.example import Tokens
from assay.gradients.verify import Check
from assay.gradients.verify import verify as verify_gradients
from assay.models.loading import context_length
from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.config import DataConfig, SetConfig
from assay.runs.inputs import read_file, tokenise


def verify(
    trajectory: Trajectory,
    probes: str,
    queries: str,
    config: DataConfig,
    *,
    count: int = 4,
    device: str = "auto",
    dtype: str = "auto",
    attention: str | None = None,
    gradient_checkpointing: bool = False,
    allow_pickle: bool = False,
    token_budget: int = 2048,
    progress: Progress = SILENT,
) -> list[Check]:
    """The checks of `assay.gradients.verify` at the last checkpoint, on the first `count` examples of two
    files. Raises AssayError of the fitting kind for whatever a person can mend.
    """
    found = {file: read_file(SetConfig(file=file), config, limit=count) for file in (probes, queries)}
    session = Session.open(
        trajectory,
        device=device,
        dtype=dtype,
        attention=attention,
        allow_pickle=allow_pickle,
        gradient_checkpointing=gradient_checkpointing,
    )
    tokens: dict[str, tuple[Tokens, ...]] = {}
    for file, read in found.items():
        tokenised = tokenise(
            read.examples, session.tokenizer, config, longest=context_length(session.model.config)
        )
        tokens[file] = tokenised.tokens
        for note in (*read.notes, *tokenised.notes):
            progress.note(note)
    model = session.at(trajectory.checkpoints[-1])
    return verify_gradients(
        model, tokens[probes], tokens[queries], token_budget=token_budget, progress=progress
    )
