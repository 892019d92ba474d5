"""What a judge needs out of a user's row: key checkpoints, and a person's label. Opens no file."""

import json
import math
from typing import Any

from assay.data.answers import reference_text
from assay.data.example import Example
from assay.data.texts import prompt_text
from assay.errors import DataError
from assay.judging.judgement import Case
from assay.judging.reading import RIGHT

KEY_CHECKPOINTS = "key_checkpoints"


def case_of(example: Example, answer: str, *, name: str | None = None, column: str = KEY_CHECKPOINTS) -> Case:
    """An answer to an evaluation example, whose completion is the golden answer.

    `name` is the answer's id, by default the example's. `column` holds the key checkpoints, if a row has any.
    Raises DataError for key checkpoints that are none, and for an empty golden answer.
    """
    points = key_checkpoints_of(example.record.get(column), f"{example.source}, {column}")
    return Case(name or example.id, prompt_text(example), reference_text(example), answer, points)


def key_checkpoints_of(value: Any, where: str) -> tuple[str, ...]:
    """A list of texts, the same as JSON in a text, or a text with one on each line. Empty ones are left out.

    Raises DataError, beginning with `where`, for anything else.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            value = value.splitlines()
    elif isinstance(value, str):
        value = value.splitlines()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise DataError(f"{where}: key checkpoints are a list of texts, or a text with one on each line.")
    return tuple(one.strip() for one in value if one.strip())


def labelled_case(
    example: Example, *, answer: str, label: str, column: str = KEY_CHECKPOINTS
) -> tuple[Case, bool | None]:
    """An answer that stands in a row beside its question and golden answer, with a person's label.

    `answer`, `label` and `column` (of the key checkpoints) name columns of the row. Raises DataError where
    one of the first two is missing, or holds what is none.
    """
    for name, what in ((answer, "the answer that people judged"), (label, "people's labels")):
        if name not in example.record:
            raise DataError(f"{example.source}: there is no column {name!r}, where {what} should be.")
    said = example.record[answer]
    if not isinstance(said, str):
        raise DataError(f"{example.source}: the answer in {answer!r} is no text.")
    case = case_of(example, said, column=column)
    return case, human_label(example.record[label], f"{example.source}, {label}")


def human_label(value: Any, where: str) -> bool | None:
    """A person's label: 1 or 0, true or false, yes or no, right or wrong; None where the cell is empty.

    Raises DataError, beginning with `where`, for anything else.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    said = str(value).strip().lower()
    if said and said not in RIGHT:
        raise DataError(f"{where}: the label is {said[:40]!r}; give 1 or 0.")
    return RIGHT[said] if said else None
