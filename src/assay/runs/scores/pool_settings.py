"""Everything that the tokens of a pool depend on, as fields that can be compared and named."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assay import __version__
from assay.fingerprint import digest
from assay.runs.config import DataConfig, SetConfig
from assay.runs.scores.pool_sources import source_digest


def pool_settings(
    sets: Sequence[SetConfig],
    config: DataConfig,
    tokenizer: Any,
    rendering: Mapping[str, Any],
    tasks: str | None,
    cut: Mapping[str, int],
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    """JSON values; `rendering` is what tokenising is asked for, `cut` the bounds of a shard, `fields` more.

    Files come with their sizes and digests. Raises DataError for one that is not there.
    """
    template = rendering["chat_template"] or getattr(tokenizer, "chat_template", None)
    settings = {
        "assay": __version__,
        "candidates": {
            f"{number}: {entry.file}": {
                **source_digest(entry.file),
                "task": entry.task,
                "reading": (entry.reading or config.reading).model_dump(mode="json"),
            }
            for number, entry in enumerate(sets, start=1)
        },
        "tasks": None if tasks is None else {"file": tasks, **source_digest(tasks)},
        "tokenizer": tokenizer_digest(tokenizer),
        **rendering,
        "chat_template": digest(json.dumps(template, sort_keys=True)),
        **cut,
        **fields,
    }
    found: dict[str, Any] = json.loads(json.dumps(settings, allow_nan=False))
    return found


def tokenizer_digest(tokenizer: Any) -> str:
    """Of all that decides ids: a fast tokenizer's state but for padding and truncation, a slow one's kind and
    vocabulary; and of the special tokens but for the padding's."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        state = {name: part for name, part in state.items() if name not in ("padding", "truncation")}
    else:
        state = {"kind": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
    special = {
        name: str(token) for name, token in tokenizer.special_tokens_map.items() if name != "pad_token"
    }
    return digest(json.dumps([state, special], sort_keys=True))
