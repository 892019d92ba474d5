"""How long moving to another LoRA checkpoint takes beside scoring one.

    python benchmarks/swap.py --out swap.json

The model and examples of `fixture.py` are saved as a trainer does, a base and a run folder with two LoRA
checkpoints. Swap: `Session.at` to the other checkpoint, its weights read from disk (from the page cache, as
they were just written). Scoring: inner products of 256 candidates with 12 queries. Medians over `--runs`.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import fixture
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from assay.gradients import products
from assay.models.session import Session
from assay.models.trajectory import Trajectory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=16_000)
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fixture.settle_allocator()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(saved_run(Path(folder), options.vocabulary), options)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def saved_run(folder: Path, vocabulary: int) -> Trajectory:
    """A base, its tokenizer, and two checkpoints of an adapter in `folder`."""
    words = Tokenizer(models.WordLevel({f"w{index}": index for index in range(vocabulary)}, unk_token="w0"))
    base = fixture.base_model(vocabulary)
    base.save_pretrained(folder / "base")
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1").save_pretrained(folder / "base")
    base.config._name_or_path = str(folder / "base")
    for step in (1, 2):
        model = fixture.with_adapter(base, seed=step)
        model.peft_config["default"].base_model_name_or_path = str(folder / "base")
        model.save_pretrained(folder / "run" / f"checkpoint-{step}")
        base = model.unload()
    return Trajectory.discover(folder / "run", base_model=str(folder / "base"))


def measure(trajectory: Trajectory, options: argparse.Namespace) -> dict:
    session = Session.open(trajectory, device="cpu")
    candidates = fixture.examples(options.candidates, 0, options.vocabulary)
    queries = fixture.examples(options.queries, 1, options.vocabulary)

    def score() -> None:
        products(session.model, {"candidates": candidates, "queries": queries}, [("candidates", "queries")])

    swaps, scores = [], []
    for run in range(options.runs + 1):
        checkpoint = trajectory.checkpoints[(run + 1) % 2]
        assert checkpoint != session.checkpoint
        swap_seconds = seconds(lambda checkpoint=checkpoint: session.at(checkpoint))
        score_seconds = seconds(score)
        if run:
            swaps.append(swap_seconds)
            scores.append(score_seconds)
    return {
        "ratio": round(statistics.median(swaps) / statistics.median(scores), 5),
        "swap_seconds": round(statistics.median(swaps), 4),
        "score_seconds": round(statistics.median(scores), 2),
        "vocabulary": options.vocabulary,
        "candidates": options.candidates,
        "queries": options.queries,
        "threads": options.threads,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
