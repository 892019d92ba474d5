"""The comparison's fixture as it lies on disk, and the clock and scale that every contender is measured by.

Knows nothing of assay or its peers: it is read in an environment of theirs and in ours. A fixture is a folder
with a base model, a LoRA adapter for it, and `rows.json`: for candidates and queries their `input_ids` and
`labels` (-100 where nothing is learned), and `batches`, lists of row numbers. A contender is called as

    python with_somebody.py FIXTURE dots|given|ekfac RESULT

and leaves RESULT/measured.json (seconds of each stage, peak memory) and RESULT/scores.npy, (candidates,
queries). "given" is "dots" in the fixture's own batches. Importing, reading the model and a warm-up are
outside the clock.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Group:
    """Rows, and how they fall into padded batches."""

    rows: list[Row]
    batches: list[list[int]]

    def first(self, batches: int) -> "Group":
        """The rows of the first batches alone, for a warm-up."""
        kept = self.batches[:batches]
        numbers = iter(range(len(self.rows)))
        rows = [self.rows[row] for batch in kept for row in batch]
        return Group(rows, [[next(numbers) for _ in batch] for batch in kept])

    @property
    def order(self) -> list[int]:
        """Row numbers in the order in which the batches hold them."""
        return [row for batch in self.batches for row in batch]

    def padded(self) -> list[dict[str, Tensor]]:
        return [padded([self.rows[row] for row in batch]) for batch in self.batches]


@dataclass
class Clock:
    """Wall and processor seconds of each stage."""

    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        found = self.stages.setdefault(name, {"wall": 0.0, "processor": 0.0})
        found["wall"] += time.perf_counter() - wall
        found["processor"] += time.process_time() - processor

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with its time added to a stage."""

        def call(*args: object, **options: object) -> object:
            with self.stage(name):
                return function(*args, **options)

        return call


@dataclass(frozen=True)
class Call:
    """What a contender was asked to do."""

    fixture: Path
    work: str
    result: Path

    @classmethod
    def read(cls) -> "Call":
        parser = argparse.ArgumentParser()
        parser.add_argument("fixture", type=Path)
        parser.add_argument("work", choices=["dots", "given", "ekfac"])
        parser.add_argument("result", type=Path)
        return cls(**vars(parser.parse_args()))

    def model(self) -> PeftModel:
        """Fresh from disk, fp32, its LoRA weights trainable."""
        base = AutoModelForCausalLM.from_pretrained(self.fixture / "base", dtype=torch.float32)
        return PeftModel.from_pretrained(base, self.fixture / "adapter", is_trainable=True)

    def groups(self) -> tuple[Group, Group]:
        """Candidates and queries."""
        rows = json.loads((self.fixture / "rows.json").read_text())
        return Group(**rows["candidates"]), Group(**rows["queries"])

    def leave(self, clock: Clock, scores: np.ndarray | None = None) -> None:
        self.result.mkdir(parents=True, exist_ok=True)
        if scores is not None:
            np.save(self.result / "scores.npy", scores)
        measured = {"stages": clock.stages, "peak_bytes": peak_bytes(), "threads": torch.get_num_threads()}
        (self.result / "measured.json").write_text(json.dumps(measured, indent=1) + "\n")


def padded(rows: list[Row]) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask` and `labels`, (rows, longest), padded on the right."""
    longest = max(len(row["input_ids"]) for row in rows)

    def filled(key: str, filler: int) -> Tensor:
        return torch.tensor([row[key] + [filler] * (longest - len(row[key])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": filled("input_ids", 0),
        "attention_mask": torch.tensor(mask),
        "labels": filled("labels", -100),
    }


def peak_bytes() -> int:
    """Peak resident bytes of this process (Linux)."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert peak is not None
    return int(peak[1]) * 1024
