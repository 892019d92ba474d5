"""The base batches of a lookahead: what the run was trained on, as tokens. Knows no steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.data.example import Example, Tokens
from assay.data.texts import counted
from assay.errors import DataError
from assay.fingerprint import digest
from assay.runs.config import StudyConfig
from assay.runs.inputs import read_file, tokenise
from assay.streams import stream

POOL = 4096
"""Training examples that base batches are drawn from, where there are more."""


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """The pool of base batches; empty without training data. `notes` are sentences for a person."""

    tokens: tuple[Tokens, ...]
    digest: str | None
    notes: tuple[str, ...]


def read_base(config: StudyConfig, tokenizer: Any, longest: int | None) -> Base:
    """`train_data`, tokenised with the study's `loss_on`; at most `POOL` of its examples, drawn at random.

    Rows that cannot be used are left out and counted. Raises DataError where none can be used.
    """
    if not config.train_data:
        return Base((), None, ())
    lenient = config.model_copy(update={"on_bad_rows": "skip"})
    examples = [one for entry in config.train_data for one in read_file(entry, lenient).examples]
    tokenised = tokenise(_pool(examples), tokenizer, lenient, longest=longest)
    if not tokenised.tokens:
        raise DataError("No example of the training data can be used for the base batches of a lookahead.")
    notes = []
    if len(examples) > POOL:
        notes.append(f"Base batches are drawn from {POOL:,} of {len(examples):,} training examples.")
    if tokenised.rejects:
        notes.append(
            f"{counted(len(tokenised.rejects), 'training example')} that cannot be used (the first: "
            f"{tokenised.rejects[0].reason}) are not in the base batches."
        )
    return Base(tokenised.tokens, _digest(tokenised.tokens), tuple(notes))


def _pool(examples: Sequence[Example]) -> list[Example]:
    if len(examples) <= POOL:
        return list(examples)
    chosen = stream("base pool").permutation(len(examples))[:POOL]
    return [examples[i] for i in sorted(chosen)]


def _digest(tokens: Sequence[Tokens]) -> str:
    return digest(
        *(
            part
            for one in tokens
            for part in (
                one.input_ids.astype(np.int64).tobytes(),
                one.weights.astype(np.float32).tobytes(),
            )
        )
    )
