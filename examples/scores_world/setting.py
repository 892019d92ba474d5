"""What one study of scores is: base model, recipe, subsets, kinds of candidates. 01 writes it beside the data
as `setting.json`; the other scripts read it there, and so serve every study of this shape.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.data.example import Example, Message, Source, Tokens
from assay.data.render import tokenize_all
from assay.files import read_json, write_json
from assay.models.loading import load_tokenizer
from assay.models.recipe import FineTuneRecipe


@dataclass(frozen=True)
class Setting:
    """`name` is part of every random stream. `training` holds fields of `FineTuneRecipe`; its length is
    `passes` over the examples, with `checkpoints` equally far apart. `groups` says for each column of AUC
    which kinds of candidates are looked for among which others."""

    name: str
    base_model: str
    training: Mapping[str, Any]
    passes: int
    checkpoints: int
    subsets: int
    seeds: Sequence[int]
    groups: Mapping[str, tuple[Sequence[str], Sequence[str]]]

    def recipe(self, seed: int, examples: int) -> FineTuneRecipe:
        steps = self.passes * -(-examples // self.training["batch_size"])
        length = {"epochs": None, "max_steps": steps, "save_every": steps // self.checkpoints}
        fields = {**self.training, "target_modules": tuple(self.training["target_modules"])}
        return FineTuneRecipe(**fields, **length, seed=seed)


def write_setting(data: Path, setting: Setting) -> None:
    write_json(data / "setting.json", asdict(setting))


def read_setting(data: Path) -> Setting:
    return Setting(**read_json(data / "setting.json"))


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_tokens(path: Path, base_model: str) -> list[Tokens]:
    """The examples of a file as ids and loss weights, in the order of the file."""
    examples = [
        Example(
            id=row["id"],
            messages=tuple(Message(one["role"], one["content"]) for one in row["messages"]),
            source=Source(path.name, number),
            task=row["task"],
        )
        for number, row in enumerate(read_rows(path), start=1)
    ]
    found = tokenize_all(examples, load_tokenizer([base_model]))
    assert len(found.tokens) == len(examples), found.rejects
    return list(found.tokens)
