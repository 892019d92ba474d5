"""Query sets from two models' own answers, as a scoring asks for them. Knows no methods."""

from dataclasses import dataclass
from pathlib import Path

from assay.data.example import Example, Reject
from assay.methods.flips import require
from assay.models.session import Session
from assay.progress import SILENT, Progress
from assay.runs.flips import query_sets
from assay.runs.inputs import chat_template_text, read_file
from assay.runs.scores.config import CORRECT, INCORRECT, ScoreConfig


@dataclass(frozen=True, slots=True)
class FlippedSets:
    """The sets that are not empty, by name, and sentences about how they came to be."""

    sets: dict[str, list[Example]]
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...]


def flipped_sets(
    config: ScoreConfig, session: Session, folder: Path, progress: Progress = SILENT
) -> FlippedSets:
    """Ask the first and the last checkpoint of the session's trajectory the questions of `config`.

    Answers are kept in `folder`. Raises DataError where no answer makes a query of either set.
    """
    found = [read_file(entry, config) for entry in config.questions]
    questions = [example for one in found for example in one.examples]
    before, after = session.trajectory.checkpoints[0], session.trajectory.checkpoints[-1]
    flips = query_sets(
        (session, before),
        (session, after),
        questions,
        folder,
        needed=(),
        check=config.answers,
        incorrect=config.incorrect,
        max_new_tokens=config.max_new_tokens,
        render=config.render,
        chat_template=chat_template_text(config.chat_template),
        progress=progress,
    )
    sets = {CORRECT: list(flips.correct), INCORRECT: list(flips.incorrect)}
    if not any(sets.values()):
        require(flips, "C", "I")
    notes = [note for one in found for note in one.notes]
    notes.append(f"{before.name} and {after.name} answered {len(questions):,} questions.")
    notes += flips.notes
    notes += [f"No answer makes a query of the set {name!r}." for name, made in sets.items() if not made]
    return FlippedSets(
        {name: made for name, made in sets.items() if made},
        tuple(notes),
        tuple(reject for one in found for reject in one.rejects),
    )
