"""A tiny study to run: a random Llama, a short LoRA run on it, and files of probes and queries."""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from assay.models.loading import quiet
from assay.models.recipe import FineTuneRecipe
from assay.progress import Advance
from assay.runs.config import StudyConfig, study_config
from assay.runs.train import run_training
from tests.data.tokenizers_for_tests import TAGGED, fast_tokenizer

TASKS = {"twice": lambda n: 2 * n, "next": lambda n: n + 1, "digit": lambda n: n % 10}
CONTEXT = 160
RECIPE = FineTuneRecipe(
    lora_r=2,
    lora_alpha=4,
    learning_rate=1e-2,
    final_learning_rate=1e-3,
    warmup_steps=1,
    batch_size=4,
    epochs=None,
    max_steps=6,
    save_every=2,
    precision="fp32",
)


@dataclass(frozen=True)
class Lab:
    """Folders and files: `run` holds checkpoints 2, 4 and 6 over `model`, trained on `base`."""

    folder: Path
    model: Path
    run: Path
    base: Path
    plain: Path
    cot: Path
    queries: Path

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "checkpoints": str(self.run),
            "probes": {"cot": str(self.cot)},
            "control": {"plain": str(self.plain)},
            "queries": {"queries": str(self.queries)},
            **changes,
        }

    def config(self, **changes: Any) -> StudyConfig:
        return study_config(self.settings(**changes))

    def arguments(self, out: Path, *more: str) -> list[str]:
        """The command line of the same study; `more` may name other checkpoints."""
        checkpoints = [] if "--checkpoints" in more else ["--checkpoints", str(self.run)]
        return [
            "study",
            *checkpoints,
            "--probes",
            f"cot={self.cot}",
            "--control",
            f"plain={self.plain}",
            "--queries",
            str(self.queries),
            "--out",
            str(out),
            *more,
        ]


class Heard:
    """A progress that remembers what it was told, and can stop a run at the start of a stage.

    `told` are notes and labels of stages together, in their order.
    """

    def __init__(self, stop_at: str | None = None) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []
        self.told: list[str] = []
        self.stop_at = stop_at

    @contextmanager
    def stage(self, label: str, total: float, unit: str) -> Iterator[Advance]:
        if self.stop_at is not None and self.stop_at in label:
            raise KeyboardInterrupt
        self.stages.append(label)
        self.told.append(label)
        yield lambda amount: None

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.told.append(sentence)


def rows(style: str, first: int, count: int, pair: str = "ref") -> list[dict[str, Any]]:
    """`count` rows of every task, about the numbers from `first` on."""
    made = []
    for task, rule in TASKS.items():
        for n in range(first, first + count):
            answer = f"{rule(n)}"
            said = f"{task} of {n}, so {answer}" if style == "cot" else answer
            question = f"{task} {n}?"
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": said}]
            made.append(
                {"id": f"{style}-{task}-{n}", "task": task, "pair": f"{pair}-{task}-{n}", "messages": turns}
            )
    return made


def write_rows(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in records), encoding="utf-8")
    return path


def save_model(folder: Path, template: str | None = TAGGED) -> Path:
    tokenizer = copy.deepcopy(fast_tokenizer())
    tokenizer.chat_template = template
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
    )
    with quiet():
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def make_lab(folder: Path) -> Lab:
    """The lab in `folder`, built if it is not there."""
    lab = Lab(
        folder,
        *(
            folder / name
            for name in ("model", "run", "base.jsonl", "plain.jsonl", "cot.jsonl", "queries.jsonl")
        ),
    )
    if not lab.run.exists():
        folder.mkdir(exist_ok=True)
        save_model(lab.model)
        write_rows(lab.base, rows("plain", 60, 6, pair="base"))
        write_rows(lab.plain, rows("plain", 10, 4))
        write_rows(lab.cot, rows("cot", 10, 4))
        write_rows(lab.queries, [{**row, "id": f"q-{row['id']}"} for row in rows("plain", 12, 4)])
        run_training(str(lab.model), [str(lab.base)], lab.run, RECIPE)
    return lab
