"""What a trained arm does with the queries: losses, teacher-forced right answers, answers of its own.

One table for each base model, arm and seed, with a row for every query. Knows nothing of training.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from assay.data.answers import CheckChoice, Picked, judge
from assay.data.prompts import ends_of, prompts_of
from assay.data.render import Render
from assay.errors import ResumeError
from assay.files import write_atomically
from assay.lookahead.losses import answers
from assay.methods.flips import Question, checks_of
from assay.models.generate import generate, own_ends
from assay.progress import SILENT, Progress
from assay.runs.flips import question_of
from assay.runs.inputs import Part

ASKED = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("seed", pa.int64()),
        ("query_set", pa.string()),
        ("query_id", pa.string()),
        ("query_task", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("tokens", pa.int64()),
        ("loss", pa.float64()),
        ("forced", pa.bool_()),
        ("check", pa.string()),
        ("reference", pa.string()),
        ("answer", pa.string()),
        ("cut_off", pa.bool_()),
        ("compared", pa.string()),
        ("compared_reference", pa.string()),
        ("exact", pa.bool_()),
        ("right", pa.bool_()),
        ("judged", pa.bool_()),
        ("judge_said", pa.string()),
        ("judge_lacks", pa.string()),
        ("preferred", pa.string()),
        ("preferred_said", pa.string()),
    ]
)
"""`loss` is summed over the completion's `tokens`, nats; `forced` says whether every learned token was the
likeliest after the true ones; `exact` and `right` are of the generated answer, by whole text and by `check`.
`judged` is a judge's verdict, `judge_lacks` why there is none (refused, unreadable, failed); `preferred` says
whether the judge finds the answer better than the first arm's (better, worse, tie, or why it did not say).
What was not asked is null."""


class Queries:
    """The query sets of a validation for one base model, and how each task's answers are compared."""

    def __init__(
        self,
        sets: Mapping[str, Part],
        tokenizer: Any,
        *,
        generated: Sequence[str],
        check: CheckChoice = "auto",
        max_new_tokens: int = 256,
        render: Render = "auto",
        chat_template: str | None = None,
        token_budget: int = 8192,
    ) -> None:
        """`generated` names the sets for which answers are generated. Raises as `prompts_of` does."""
        self._sets, self._tokenizer = sets, tokenizer
        self._max_new_tokens, self._token_budget = max_new_tokens, token_budget
        self._prompts = {
            name: prompts_of(sets[name].examples, tokenizer, render=render, chat_template=chat_template)
            for name in generated
        }
        self._questions: dict[str, list[Question]] = {
            name: [question_of(example, tokenizer) for example in sets[name].examples] for name in generated
        }
        self.checks: dict[str, dict[str | None, Picked]] = {
            name: checks_of(questions, check) for name, questions in self._questions.items()
        }

    def ask(self, model: nn.Module, told: Mapping[str, Any], progress: Progress = SILENT) -> pa.Table:
        """Every query under `model`; `told` are the model, arm and seed of the rows."""
        rows: list[dict[str, Any]] = []
        for name, part in self._sets.items():
            found = answers(model, part.tokens, self._token_budget)
            own = self._answers(model, name, progress)
            for place, (example, tokens) in enumerate(zip(part.examples, part.tokens, strict=True)):
                row = {
                    **told,
                    "query_set": name,
                    "query_id": example.id,
                    "query_task": example.task,
                    "source_file": example.source.file,
                    "source_row": example.source.row,
                    "tokens": tokens.completion_tokens,
                    "loss": float(found.losses[place]),
                    "forced": bool(found.right[place]),
                }
                rows.append({**row, **(own[place] if own else {})})
        return pa.Table.from_pylist(rows, schema=ASKED)

    def _answers(self, model: nn.Module, name: str, progress: Progress) -> list[dict[str, Any]]:
        """What is generated for a set, and whether it is right; an answer that was cut off is wrong."""
        if name not in self._prompts:
            return []
        prompts = self._prompts[name]
        with progress.stage(f"answers to {name}", len(prompts), "questions") as advance:
            said = generate(
                model,
                prompts,
                self._tokenizer,
                ends=sorted({*ends_of(prompts, self._tokenizer), *own_ends(model)}),
                max_new_tokens=self._max_new_tokens,
                token_budget=self._token_budget,
                advance=advance,
            )
        rows = []
        for question, one in zip(self._questions[name], said, strict=True):
            check = self.checks[name][question.example.task].check
            judged = judge(one.text, question.reference, check, question.prompt)
            exact = judge(one.text, question.reference, "exact")
            rows.append(
                {
                    "check": check,
                    "reference": question.reference,
                    "answer": one.text,
                    "cut_off": one.cut_off,
                    "compared": judged.answer,
                    "compared_reference": judged.reference,
                    "exact": exact.right and not one.cut_off,
                    "right": judged.right and not one.cut_off,
                }
            )
        return rows


def write_asked(path: Path, table: pa.Table, fingerprint: str) -> None:
    """The table of a finished arm, whole or not at all."""
    kept = table.replace_schema_metadata({"fingerprint": fingerprint})
    write_atomically(path, lambda temporary: pq.write_table(kept, temporary))


def read_asked(path: Path, fingerprint: str) -> pa.Table | None:
    """The table of a finished arm, or None where there is none or it is broken.

    Raises ResumeError for one that was made otherwise.
    """
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        return None
    if (table.schema.metadata or {}).get(b"fingerprint") != fingerprint.encode():
        raise ResumeError(
            f"{path} holds an arm that was made with other settings; give another --out, or delete "
            f"{path.parent}."
        )
    return table.replace_schema_metadata(None)
