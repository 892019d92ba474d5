"""Two models are asked, and the query sets C and I come out: prompts, answers in shards, one table.

A killed run goes on where it stopped. Whether answers are right is for `data.answers`, which sets they make
for `methods.flips`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.data.answers import Answer, CheckChoice, reference_text
from assay.data.example import Example
from assay.data.prompts import Prompt, as_written, ends_of, prompts_of, written
from assay.data.render import Render
from assay.data.texts import prompt_text
from assay.errors import ConfigError, ResumeError
from assay.files import read_json, write_atomically, write_json
from assay.fingerprint import differing_fields, digest
from assay.methods.flips import CorrectTarget, Flips, Incorrect, QuerySet, Question, find_flips, require
from assay.models.generate import generate, own_ends
from assay.models.session import Session
from assay.models.trajectory import Checkpoint
from assay.progress import SILENT, Progress

SHARD = 64
"""Questions in a file of answers."""

Which = tuple[Session, Checkpoint]
"""A model: the session that loads it, and the checkpoint whose weights it carries."""

TABLE = pa.schema(
    [
        ("question_id", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("task", pa.string()),
        ("set", pa.string()),
        ("check", pa.string()),
        ("compared_reference", pa.string()),
        *(
            (f"{name}_{when}", kind)
            for when in ("before", "after")
            for name, kind in (
                ("right", pa.bool_()),
                ("cut_off", pa.bool_()),
                ("compared", pa.string()),
                ("answer", pa.string()),
            )
        ),
    ]
)


def query_sets(
    before: Which,
    after: Which,
    questions: Sequence[Example],
    folder: Path,
    *,
    needed: Sequence[QuerySet] = ("C", "I"),
    check: CheckChoice = "auto",
    incorrect: Incorrect = "right-to-wrong",
    correct_target: CorrectTarget = "reference",
    max_new_tokens: int = 256,
    render: Render = "auto",
    chat_template: str | None = None,
    token_budget: int = 16_384,
    progress: Progress = SILENT,
) -> Flips:
    """Ask both models the questions and make C and I.

    Writes the answers to `folder/before` and `folder/after`, and the table `folder/flips.parquet`. `before`
    and `after` may share a session. `chat_template` is Jinja text. Raises ConfigError where both are one
    model, DataError where a set in `needed` is empty (the table is there then), ResumeError for answers in
    the folder that were made otherwise, and what `prompts_of` and `generate` raise.
    """
    if before[0] is after[0] and before[1] == after[1]:
        raise ConfigError(
            f"The models before and after are both {after[1].name}, so no answer can change; name two."
        )
    said = {}
    for when, (session, checkpoint) in (("before", before), ("after", after)):
        prompts = prompts_of(questions, session.tokenizer, render=render, chat_template=chat_template)
        said[when] = ask(
            session,
            checkpoint,
            prompts,
            folder / when,
            max_new_tokens=max_new_tokens,
            token_budget=token_budget,
            progress=progress,
        )
    flips = find_flips(
        [question_of(example, after[0].tokenizer) for example in questions],
        said["before"],
        said["after"],
        check=check,
        incorrect=incorrect,
        correct_target=correct_target,
    )
    write_flips(folder / "flips.parquet", flips)
    require(flips, *needed)
    return flips


def ask(
    session: Session,
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    folder: Path,
    *,
    max_new_tokens: int = 256,
    token_budget: int = 16_384,
    progress: Progress = SILENT,
) -> list[Answer]:
    """A model's answers in the order of the prompts; `folder` keeps them in shards of prompts of like length.

    Shards that are there are read, and no weights are moved when all are. Raises ResumeError for a shard with
    other settings, naming the fields.
    """
    tokenizer = session.tokenizer
    ends = sorted({*ends_of(prompts, tokenizer), *own_ends(session.model)})
    settings = {
        **session.describe(),
        "weights": session.weights_digest(checkpoint),
        "max_new_tokens": max_new_tokens,
        "ends": ends,
    }
    order = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), row))
    shards = [order[start : start + SHARD] for start in range(0, len(order), SHARD)]
    paths = [folder / f"{number:05d}.json" for number in range(len(shards))]
    settings_of = [settings | {"questions": _asked([prompts[row] for row in rows])} for rows in shards]
    known = [read_answers(path, expected) for path, expected in zip(paths, settings_of, strict=True)]
    found: dict[int, Answer] = {}
    with progress.stage(f"answers of {checkpoint.name}", len(prompts), "questions") as advance:
        for rows, path, expected, there in zip(shards, paths, settings_of, known, strict=True):
            answers = there
            if answers is None:
                answers = generate(
                    session.at(checkpoint),
                    [prompts[row] for row in rows],
                    tokenizer,
                    ends=ends,
                    max_new_tokens=max_new_tokens,
                    token_budget=token_budget,
                    advance=advance,
                )
                write_answers(path, answers, expected)
            else:
                advance(len(rows))
            found.update(zip(rows, answers, strict=True))
    return [found[row] for row in range(len(prompts))]


def write_answers(path: Path, answers: Sequence[Answer], settings: Mapping[str, Any]) -> None:
    """One shard, whole or not at all."""
    rows = [
        {"id": one.id, "text": one.text, "cut_off": one.cut_off, "tokens": list(one.tokens)}
        for one in answers
    ]
    write_json(path, {"settings": dict(settings), "answers": rows})


def read_answers(path: Path, settings: Mapping[str, Any]) -> list[Answer] | None:
    """The answers in a shard, None where there is none or it is broken.

    Raises ResumeError for a whole shard with other settings.
    """
    if not path.is_file():
        return None
    try:
        stored = read_json(path)
        theirs = dict(stored["settings"])
        answers = [
            Answer(row["id"], row["text"], row["cut_off"], tuple(row["tokens"])) for row in stored["answers"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    differing = differing_fields(settings, theirs)
    if differing:
        raise ResumeError(
            f"{path} holds answers that were made otherwise ({', '.join(differing)}); give another --out, or "
            f"delete {path.parent}."
        )
    return answers


def write_flips(path: Path, flips: Flips) -> None:
    """A row per question: what both models said, what was compared, whether it was right, and its set."""
    rows = []
    for one in flips.outcomes:
        example = one.question.example
        row = {
            "question_id": example.id,
            "source_file": example.source.file,
            "source_row": example.source.row,
            "task": example.task,
            "set": one.query_set or "none",
            "check": one.check,
            "compared_reference": one.judged_after.reference,
        }
        for when, answer, judged, right in (
            ("before", one.before, one.judged_before, one.right_before),
            ("after", one.after, one.judged_after, one.right_after),
        ):
            row |= {
                f"right_{when}": right,
                f"cut_off_{when}": answer.cut_off,
                f"compared_{when}": judged.answer,
                f"answer_{when}": answer.text,
            }
        rows.append(row)
    table = pa.Table.from_pylist(rows, schema=TABLE)
    table = table.replace_schema_metadata({"notes": "\n".join(flips.notes)})
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))


def question_of(example: Example, tokenizer: Any) -> Question:
    """A question whose texts are as the tokenizer gives them back, as it does a model's answers."""
    if example.rendering != "tokens":
        return Question(example, prompt_text(example), as_written(tokenizer, reference_text(example)))
    start = next(place for place, label in enumerate(example.labels) if label >= 0)
    learned = [label for label in example.labels if label >= 0]
    return Question(example, written(tokenizer, example.input_ids[:start]), written(tokenizer, learned))


def _asked(prompts: Sequence[Prompt]) -> str:
    """Digest of ids and tokens, in order."""
    return digest(
        *(part for one in prompts for part in (one.id, one.input_ids.astype(np.int64).tobytes())),
    )
