"""How long exact products take beside a plain forward and backward pass of the same batches.

    python benchmarks/engine.py --vocabulary 16000 --out engine.json

A random Llama (hidden 512, 8 layers, MLP 1,024 wide) with LoRA r=16 on up and down; 256 candidates with
log-normal lengths (about 90 tokens, half of them completion) in padded batches of 2,048 tokens. The width of
the MLP is a choice of this file: twice the hidden size. Plain: forward with full logits and backward into the
LoRA weights, as a training step does. Products: inner products of all candidates with 12 queries, the
queries' own gradients included. Runs are interleaved; the median of `--runs` ratios counts, of wall-clock
time and, as a machine may be shared, of processor time beside it.
Peak memory is that of a process of its own for each side.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

# Set before the allocator starts: without it glibc gives large temporaries back to the kernel at every step.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=16_000)
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--peak", choices=["plain", "products"], help="run one side once and print its memory"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})
    if options.peak:
        sides(options)[options.peak]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    result = times(options) | memory(options) | about(options)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def sides(options: argparse.Namespace) -> dict:
    """The two things compared, as functions of nothing, on the same model and batches."""
    import numpy as np
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from assay.data.batches import pad, token_budget_batches
    from assay.data.example import Tokens
    from assay.gradients import products

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=options.vocabulary,
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    base = LlamaForCausalLM(config).to(options.device, getattr(torch, options.dtype))
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=["up_proj", "down_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.02)

    def examples(count: int, seed: int) -> list[Tokens]:
        rng = np.random.default_rng(seed)
        lengths = np.clip(rng.lognormal(np.log(78), 0.55, count), 12, 1024).astype(int)
        weights = [np.r_[np.zeros(n - n // 2), np.ones(n // 2)].astype(np.float32) for n in lengths]
        ids = [rng.integers(0, options.vocabulary, n) for n in lengths]
        return [Tokens(str(i), a, w) for i, (a, w) in enumerate(zip(ids, weights, strict=True))]

    candidates, queries = examples(options.candidates, 0), examples(options.queries, 1)
    batches = []
    for rows in token_budget_batches([len(c) for c in candidates], 2048):
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
                import torch

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


def about(options: argparse.Namespace) -> dict:
    import torch

    return {
        "vocabulary": options.vocabulary,
        "candidates": options.candidates,
        "queries": options.queries,
        "threads": options.threads,
        "device": options.device,
        "dtype": options.dtype,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
    }


if __name__ == "__main__":
    main()
