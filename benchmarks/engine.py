"""How long exact products take beside a plain forward and backward pass of the same batches.

    python benchmarks/engine.py --vocabulary 16000 --out engine.json

The model and examples are those of `fixture.py`: a random Llama with LoRA, 256 candidates of about 90 tokens,
half of them completion, in padded batches of 2,048 tokens. Plain: forward with full logits and backward into
the LoRA weights, as a training step does. Products: inner products of all candidates with 12 queries, the
queries' own gradients included. Runs are interleaved; the median of `--runs` ratios counts, of wall-clock
time and, as a machine may be shared, of processor time beside it. Peak memory is that of a process of its own
for each side.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import fixture
import numpy as np
import torch

from assay.data.batches import pad, token_budget_batches
from assay.gradients import products


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=16_000)
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--order",
        choices=["length", "arrival"],
        default="length",
        help="how both sides fill batches: as assay does, or as the examples come, as most trainers do",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--peak", choices=["plain", "products"], help="run one side once and print its memory"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fixture.settle_allocator()
    if options.peak:
        sides(options)[options.peak]()
        print(peak_bytes())
        return
    result = times(options) | memory(options) | about(options)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def sides(options: argparse.Namespace) -> dict:
    """The two things compared, as functions of nothing, on the same model and batches."""
    torch.set_num_threads(options.threads)
    base = fixture.base_model(options.vocabulary).to(options.device, getattr(torch, options.dtype))
    model = fixture.with_adapter(base)
    candidates = fixture.examples(options.candidates, 0, options.vocabulary)
    queries = fixture.examples(options.queries, 1, options.vocabulary)
    if options.order == "arrival":
        sys.modules["assay.gradients.products"].__dict__["token_budget_batches"] = fixture.arrival_batches
    fill = fixture.arrival_batches if options.order == "arrival" else token_budget_batches
    batches = []
    for rows in fill([len(c) for c in candidates], 2048):
        batch = pad([candidates[row] for row in rows])
        labels = np.where(batch.weights > 0, batch.input_ids, -100)
        arrays = (batch.input_ids, batch.attention_mask.astype(np.int64), labels)
        batches.append([torch.from_numpy(array).to(options.device) for array in arrays])

    def plain() -> None:
        for input_ids, mask, labels in batches:
            model(input_ids=input_ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
        model.zero_grad()

    def exact() -> None:
        products(model, {"candidates": candidates, "queries": queries}, [("candidates", "queries")])

    return {"plain": plain, "products": exact}


def times(options: argparse.Namespace) -> dict:
    both = sides(options)
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    measured: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in both} for clock in clocks}
    for run in range(options.runs + 1):
        for name, side in both.items():
            starts = {clock: read() for clock, read in clocks.items()}
            side()
            if options.device != "cpu":
                torch.cuda.synchronize()
            for clock, read in clocks.items():
                if run:
                    measured[clock][name].append(read() - starts[clock])
    return {clock: compared(sides) for clock, sides in measured.items()}


def compared(seconds: dict[str, list[float]]) -> dict:
    """Medians over runs, and the median of the ratios of runs that follow each other."""
    ratios = [b / a for a, b in zip(seconds["plain"], seconds["products"], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "plain_seconds": round(statistics.median(seconds["plain"]), 2),
        "products_seconds": round(statistics.median(seconds["products"]), 2),
    }


def memory(options: argparse.Namespace) -> dict:
    """Peak resident bytes of each side in a process of its own."""
    peaks = {}
    for name in ("plain", "products"):
        command = [sys.executable, *sys.argv, "--peak", name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[name] = int(printed.split()[-1])
    return {
        "peak_ratio": round(peaks["products"] / peaks["plain"], 3),
        "peak_megabytes": {name: round(peak / 2**20) for name, peak in peaks.items()},
    }


def peak_bytes() -> int:
    """Peak resident bytes of this process (Linux). `ru_maxrss` would start at the parent's own peak."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return int(peak[1]) * 1024


def about(options: argparse.Namespace) -> dict:
    return {
        "vocabulary": options.vocabulary,
        "candidates": options.candidates,
        "queries": options.queries,
        "order": options.order,
        "threads": options.threads,
        "device": options.device,
        "dtype": options.dtype,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
    }


if __name__ == "__main__":
    main()
