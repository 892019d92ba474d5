"""Checking the engine on a person's own model and data: read a handful, load one checkpoint, compare."""

from assay.data.example import Tokens
from assay.gradients.verify import Check
from assay.gradients.verify import verify as verify_gradients
from assay.models.loading import context_length
from assay.models.trajectory import Trajectory
from assay.progress import SILENT, Progress
from assay.runs.config import MeasureConfig, SetConfig
from assay.runs.inputs import read_file, tokenise
from assay.runs.opening import open_session


def verify(
    trajectory: Trajectory,
    probes: str,
    queries: str,
    config: MeasureConfig,
    *,
    count: int = 4,
    progress: Progress = SILENT,
) -> list[Check]:
    """The checks of `assay.gradients.verify` at the last checkpoint, on the first `count` examples of two
    files, with the gradients that a study with `config` measures. Raises AssayError of the fitting kind for
    whatever a person can mend.
    """
    sides = ((probes, config.loss_on), (queries, config.query_loss_on))
    read = [read_file(SetConfig(file=file), config, limit=count) for file, _ in sides]
    session = open_session(trajectory, config)
    longest = context_length(session.model.config)
    tokens: list[tuple[Tokens, ...]] = []
    for found, (_, loss_on) in zip(read, sides, strict=True):
        tokenised = tokenise(found.examples, session.tokenizer, config, loss_on=loss_on, longest=longest)
        tokens.append(tokenised.tokens)
        for note in (*found.notes, *tokenised.notes):
            progress.note(note)
    model = session.at(trajectory.checkpoints[-1])
    return verify_gradients(model, *tokens, token_budget=config.token_budget, progress=progress)
