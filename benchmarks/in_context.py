"""What in-context influence costs: demonstrations whose keys and values are reused, beside passes without.

    python benchmarks/in_context.py --candidates 48 --runs 3 --out in_context.json

The model and examples are those of `fixture.py`, without an adapter. Every candidate is a demonstration for
5 others, drawn at random. Four sides take turns on the same pairs, in padded batches of 2,048 tokens:

  shown   mean nll of the 5 queries behind their demonstration, whose cache is reused
  all     the same, and of every candidate by itself with and without its prompt, once (what `wici` passes)
  plain   one forward pass with full logits over the tokens of every pair, as a user would batch them
  loop    one pair at a time: the completion alone, behind its prompt, and behind demonstration and prompt

Ratios are medians over interleaved runs, of wall-clock and of processor time; the first run warms up. Peak
memory is that of processes of their own which go through pools of --sizes in blocks of 100 candidates.
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
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import fixture
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from assay.data.batches import pad, token_budget_batches
from assay.data.example import Tokens
from assay.incontext.perplexity import alone, mean_nll
from assay.incontext.shown import shown_nll

QUERIES = 5
BUDGET = 2048
BLOCK = 100
BOS = 1

Model = torch.nn.Module
Queries = list[list[Tokens]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=16_000)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sizes", type=int, nargs="*", default=[200, 2_000], help="pools to see memory with")
    parser.add_argument("--memory-layers", type=int, default=2, help="layers of the model for these pools")
    parser.add_argument("--peak", type=int, help="go through a pool of this size and print its memory")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fixture.settle_allocator()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak_of(options))
        return
    result = times(options) | {"peak_megabytes": memory(options)} | about(options)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def pool(count: int, vocabulary: int) -> tuple[list[Tokens], Queries]:
    """Candidates, and for each of them the others that it is a demonstration for."""
    candidates = fixture.examples(count, 0, vocabulary)
    rng = np.random.default_rng(1)
    others = [rng.choice(np.delete(np.arange(count), at), QUERIES, replace=False) for at in range(count)]
    return candidates, [[candidates[other] for other in row] for row in others]


def sides(options: argparse.Namespace) -> dict[str, Callable[[], np.ndarray]]:
    """What is compared, as functions of nothing; each gives the mean nll of every pair, (n, 5)."""
    model = fixture.base_model(options.vocabulary, layers=options.layers).eval()
    candidates, queries = pool(options.candidates, options.vocabulary)

    def shown() -> np.ndarray:
        openings = [one.input_ids for one in candidates]
        return shown_nll(model, openings, queries, token_budget=BUDGET).nll

    def everything() -> np.ndarray:
        mean_nll(model, candidates, token_budget=BUDGET)
        mean_nll(model, [alone(one, BOS) for one in candidates], token_budget=BUDGET)
        return shown()

    return {
        "shown": shown,
        "all": everything,
        "plain": lambda: plain(model, candidates, queries),
        "loop": lambda: loop(model, candidates, queries),
    }


@torch.no_grad()
def plain(model: Model, candidates: list[Tokens], queries: Queries) -> np.ndarray:
    pairs = [behind(one, query) for one, row in zip(candidates, queries, strict=True) for query in row]
    found = np.empty(len(pairs))
    for rows in token_budget_batches([len(pair) for pair in pairs], BUDGET):
        batch = pad([pairs[row] for row in rows])
        ids, weights = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.weights)[:, 1:]
        logits = model(input_ids=ids, attention_mask=torch.from_numpy(batch.attention_mask)).logits
        losses = cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        found[rows] = ((losses * weights).sum(1) / weights.sum(1)).numpy()
    return found.reshape(len(candidates), QUERIES)


@torch.no_grad()
def loop(model: Model, candidates: list[Tokens], queries: Queries) -> np.ndarray:
    def nll(tokens: Tokens) -> float:
        ids, weights = torch.from_numpy(tokens.input_ids)[None], torch.from_numpy(tokens.weights)[1:]
        losses = cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="none")
        return float((losses * weights).sum() / weights.sum())

    found = np.empty((len(candidates), QUERIES))
    for at, (one, row) in enumerate(zip(candidates, queries, strict=True)):
        for k, query in enumerate(row):
            nll(alone(query, BOS))
            nll(query)
            found[at, k] = nll(behind(one, query))
    return found


def behind(candidate: Tokens, query: Tokens) -> Tokens:
    ids = np.concatenate([candidate.input_ids, query.input_ids])
    weights = np.concatenate([np.zeros(len(candidate), dtype=np.float32), query.weights])
    return Tokens(query.id, ids, weights)


def times(options: argparse.Namespace) -> dict:
    compared = sides(options)
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    seconds: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in compared} for clock in clocks}
    for run in range(options.runs + 1):
        found = {}
        for name, side in compared.items():
            starts = {clock: read() for clock, read in clocks.items()}
            found[name] = side()
            for clock, read in clocks.items():
                if run:
                    seconds[clock][name].append(read() - starts[clock])
        for name in compared:
            np.testing.assert_allclose(found[name], found["loop"], rtol=1e-4)
    return {clock: summary(taken, options.candidates) for clock, taken in seconds.items()}


def summary(taken: dict[str, list[float]], candidates: int) -> dict:
    """Seconds per candidate, and ratios of runs that follow each other."""
    result: dict = {
        f"{name}_seconds": round(statistics.median(runs) / candidates, 4) for name, runs in taken.items()
    }
    for over, under in (("shown", "plain"), ("all", "plain"), ("loop", "shown"), ("loop", "all")):
        ratios = [a / b for a, b in zip(taken[over], taken[under], strict=True)]
        result[f"{over}/{under}"] = round(statistics.median(ratios), 3)
        result[f"{over}/{under}, runs"] = [round(ratio, 3) for ratio in ratios]
    return result


def memory(options: argparse.Namespace) -> dict[str, int]:
    """Peak resident MB of a process for each size of pool."""
    peaks = {}
    for size in options.sizes:
        command = [sys.executable, *sys.argv, "--peak", str(size)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[str(size)] = round(int(printed.split()[-1]) / 2**20)
    return peaks


def peak_of(options: argparse.Namespace) -> int:
    """Go through a pool block by block; peak resident bytes of this process (Linux)."""
    model = fixture.base_model(options.vocabulary, layers=options.memory_layers).eval()
    for candidates, queries in blocks(options.peak, options.vocabulary):
        shown_nll(model, [one.input_ids for one in candidates], queries, token_budget=BUDGET)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return int(peak[1]) * 1024


def blocks(count: int, vocabulary: int) -> Iterator[tuple[list[Tokens], Queries]]:
    candidates, queries = pool(count, vocabulary)
    for start in range(0, count, BLOCK):
        yield candidates[start : start + BLOCK], queries[start : start + BLOCK]


def about(options: argparse.Namespace) -> dict:
    return {
        "vocabulary": options.vocabulary,
        "layers": options.layers,
        "candidates": options.candidates,
        "threads": options.threads,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
    }


if __name__ == "__main__":
    main()
