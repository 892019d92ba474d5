"""Writes the fixture of the comparison to a folder: base model, adapter, rows and batches (see `stored.py`).

The model and rows are those of `benchmarks/fixture.py`; batches are filled by length, as assay fills them, or
in the order in which the rows come. A tokenizer of two words is written beside the model, as Bergson asks for
one; nothing is tokenized with it.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import fixture

TOKEN_BUDGET = 2048


@dataclass(frozen=True)
class Size:
    """How large a fixture is."""

    vocabulary: int
    candidates: int
    queries: int = 12
    hidden: int = 512
    layers: int = 8
    order: str = "length"

    @property
    def name(self) -> str:
        return f"{self.vocabulary}-{self.candidates}-{self.queries}-{self.hidden}-{self.layers}-{self.order}"


def write(folder: Path, size: Size) -> Path:
    """The fixture in `folder`, written unless it is there. Returns its path."""
    path = (folder / size.name).resolve()
    if (path / "rows.json").exists():
        return path
    base = fixture.base_model(size.vocabulary, size.hidden, size.layers)
    base.save_pretrained(path / "base")
    words = Tokenizer(models.WordLevel({"w0": 0, "w1": 1}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1").save_pretrained(path / "base")
    base.config._name_or_path = str(path / "base")
    model = fixture.with_adapter(base)
    model.peft_config["default"].base_model_name_or_path = str(path / "base")
    model.save_pretrained(path / "adapter")
    groups = {
        "candidates": group(fixture.examples(size.candidates, 0, size.vocabulary), size.order),
        "queries": group(fixture.examples(size.queries, 1, size.vocabulary), size.order),
    }
    (path / "rows.json").write_text(json.dumps(groups))
    return path


def group(examples: list[Tokens], order: str) -> dict:
    rows = [
        {
            "input_ids": one.input_ids.tolist(),
            "labels": [
                int(token) if weight else -100
                for token, weight in zip(one.input_ids, one.weights, strict=True)
            ],
        }
        for one in examples
    ]
    fill = fixture.arrival_batches if order == "arrival" else token_budget_batches
    return {"rows": rows, "batches": fill([len(one) for one in examples], TOKEN_BUDGET)}
