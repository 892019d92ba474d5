"""What of a file's first examples would be learned. Knows no screens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.data.example import Example
from assay.data.preview import Segment, segments
from assay.progress import SILENT, Progress
from assay.runs.config import SetConfig, data_config
from assay.runs.inputs import read_file, tokenise


@dataclass(frozen=True, slots=True)
class Preview:
    """One example: `learned` of its `length` tokens have a weight; `segments` are its text in stretches."""

    example: Example
    learned: int
    length: int
    segments: tuple[Segment, ...]


def preview(
    file: str, tokenizer: Any, rows: int, settings: Mapping[str, Any], progress: Progress = SILENT
) -> list[Preview]:
    """The first `rows` usable examples of `file`; `settings` are fields of `DataConfig`.

    Raises AssayError of the fitting kind for whatever a person can mend.
    """
    config = data_config(settings, options=settings.keys())
    found = read_file(SetConfig(file=file), config, limit=rows)
    tokenised = tokenise(found.examples, tokenizer, config)
    for note in (*found.notes, *tokenised.notes):
        progress.note(note)
    examples = {example.id: example for example in found.examples}
    return [
        Preview(examples[tokens.id], tokens.completion_tokens, len(tokens), segments(tokens, tokenizer))
        for tokens in tokenised.tokens
    ]
