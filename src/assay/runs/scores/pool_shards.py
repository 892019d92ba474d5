"""A part of the pool in two forms: tokens as one file of safetensors, and rows of `candidates.parquet`.

Knows nothing of where candidates come from or what is done with them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors import safe_open
from safetensors.numpy import save_file

from assay.data.example import Example, Tokens
from assay.data.texts import completion_text, content_key, prompt_text
from assay.files import whole
from assay.fingerprint import digest

LONGEST_TEXT = 2_000
"""Characters of a prompt or completion that the table keeps."""

CANDIDATES = pa.schema(
    [
        ("candidate_id", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("candidate_task", pa.string()),
        ("candidate_pair", pa.string()),
        ("tokens", pa.int64()),
        ("length", pa.int64()),
        ("content_key", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
    ]
)
"""`tokens` are the learned ones, `length` is all; `content_key` is equal for candidates and queries that say
the same (`texts.content_key`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What the pool keeps of an example."""

    tokens: Tokens
    task: str | None
    row: dict[str, str | int | None]


def candidate(example: Example, tokens: Tokens, task: str | None) -> Candidate:
    """The example as tokens and as a row of `CANDIDATES`."""
    row: dict[str, str | int | None] = {
        "candidate_id": example.id,
        "source_file": _text(example.source.file),
        "source_row": example.source.row,
        "candidate_task": task,
        "candidate_pair": example.pair,
        "tokens": tokens.completion_tokens,
        "length": len(tokens),
        "content_key": content_key(example),
        "prompt": _text(prompt_text(example)[:LONGEST_TEXT]),
        "completion": _text(completion_text(example)[:LONGEST_TEXT]),
    }
    return Candidate(tokens, task, row)


def table_of(candidates: Sequence[Candidate]) -> pa.Table:
    return pa.Table.from_pylist([one.row for one in candidates], schema=CANDIDATES)


def write_tokens(path: Path, candidates: Sequence[Candidate]) -> None:
    """Ids (int32) and loss weights (float32) in one row, and where each example begins; whole or absent."""
    tokens = [one.tokens for one in candidates]
    arrays: dict[str, np.ndarray] = {
        "input_ids": np.concatenate([one.input_ids for one in tokens]).astype(np.int32),
        "weights": np.concatenate([one.weights for one in tokens]).astype(np.float32),
        "offsets": np.cumsum([0, *map(len, tokens)], dtype=np.int64),
    }
    about = {"ids": [one.id for one in tokens], "tasks": [one.task for one in candidates]}
    with whole(path) as temporary:
        save_file(arrays, temporary, metadata={"about": json.dumps(about)})


def read_tokens(path: Path) -> tuple[list[Tokens], list[str | None]]:
    """The examples of `write_tokens` with ids in int64 as they were, and their tasks."""
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["about"])
        ids, weights, offsets = (file.get_tensor(name) for name in ("input_ids", "weights", "offsets"))
    ids, cuts = ids.astype(np.int64), offsets[1:-1]
    parts = zip(about["ids"], np.split(ids, cuts), np.split(weights, cuts), strict=True)
    return [Tokens(name, own_ids, own_weights) for name, own_ids, own_weights in parts], about["tasks"]


def tokens_digest(tokens: Sequence[Tokens]) -> str:
    """Of example ids, token ids and loss weights, in order: all that a measure depends on."""
    fields: list[bytes] = []
    for one in tokens:
        fields += [
            one.id.encode(),
            one.input_ids.astype(np.int64).tobytes(),
            one.weights.astype(np.float32).tobytes(),
        ]
    return digest(*fields)


def _text(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
