"""How long measuring an EK-FAC curvature takes beside a plain forward and backward pass of the same batches.

    python benchmarks/curvature.py --vocabulary 16000 --out curvature.json

The model and examples are those of `fixture.py`. Plain: forward with full logits and backward into the LoRA
weights, as a training step does. Covariances and moments: the two passes of EK-FAC with labels drawn from the
model. Scoring: H⁻¹g of the queries is held and the candidates pass. Runs are interleaved; the median of
`--runs` ratios counts, of wall-clock time and of processor time. The eigendecompositions between the two
passes are timed once, in seconds.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import fixture
import numpy as np
import torch

from assay.data.batches import pad, token_budget_batches
from assay.gradients import Batch, Engine
from assay.gradients.curvature import Covariances, Moments, curvature, eigenbases, layout, observe
from assay.gradients.held import hold
from assay.gradients.meeting import Side, meet

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fixture.settle_allocator()
    torch.set_num_threads(options.threads)
    passes, eigen_seconds = sides(options)
    result = compared(options, passes) | {"eigen_seconds": round(eigen_seconds, 2)}
    result |= {
        name: getattr(options, name) for name in ("vocabulary", "candidates", "threads", "device", "dtype")
    }
    result |= {"torch": torch.__version__, "date": date.today().isoformat()}
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def sides(options: argparse.Namespace) -> tuple[dict[str, Callable[[], object]], float]:
    """The passes compared, on the same model and batches, and the seconds between the two of EK-FAC."""
    base = fixture.base_model(options.vocabulary).to(options.device, getattr(torch, options.dtype))
    model = fixture.with_adapter(base)
    candidates = fixture.examples(options.candidates, 0, options.vocabulary)
    queries = fixture.examples(options.queries, 1, options.vocabulary)
    batches = [
        [candidates[row] for row in rows]
        for rows in token_budget_batches([len(one) for one in candidates], 2048)
    ]

    def plain() -> None:
        for members in batches:
            batch = pad(members)
            labels = np.where(batch.weights > 0, batch.input_ids, -100)
            arrays = (batch.input_ids, batch.attention_mask.astype(np.int64), labels)
            ids, mask, targets = (torch.from_numpy(array).to(options.device) for array in arrays)
            model(input_ids=ids, attention_mask=mask, labels=targets, use_cache=False).loss.backward()
        model.zero_grad()

    def covariances() -> Covariances:
        with Engine(model) as engine:
            sums = Covariances.zeros(layout(engine, "ekfac"), engine.device)
            for members in batches:
                observe(engine, Batch.of(members, engine.device), 0, sums)
        return sums

    found = covariances()
    start = time.perf_counter()
    bases = eigenbases(found)
    seconds = time.perf_counter() - start

    def moments() -> Moments:
        with Engine(model) as engine:
            sums = Moments.zeros(layout(engine, "ekfac").shapes, bases, engine.device)
            for members in batches:
                observe(engine, Batch.of(members, engine.device), 1, sums)
        return sums

    measured = moments()
    with Engine(model) as engine:
        inverse = curvature(layout(engine, "ekfac"), bases, measured).inverse()
    length = sum(map(len, candidates)) / len(candidates)

    def scoring() -> None:
        with Engine(model) as engine:
            engine.check([*candidates, *queries])
            held = hold(engine, queries, candidate_length=length, transform=inverse)
            meet(engine, candidates, {"only": Side(held)})

    return {"plain": plain, "covariances": covariances, "moments": moments, "scoring": scoring}, seconds


def compared(options: argparse.Namespace, passes: dict[str, Callable[[], object]]) -> dict:
    """For every clock the seconds of each pass, and its ratio to the plain pass of the same round."""
    measured = {clock: {name: [] for name in passes} for clock in CLOCKS}
    for run in range(options.runs + 1):
        for name, side in passes.items():
            starts = {clock: read() for clock, read in CLOCKS.items()}
            side()
            if options.device != "cpu":
                torch.cuda.synchronize()
            for clock, read in CLOCKS.items():
                if run:
                    measured[clock][name].append(read() - starts[clock])
    return {clock: summary(seconds) for clock, seconds in measured.items()}


def summary(seconds: dict[str, list[float]]) -> dict:
    ratios = {
        name: [mine / plain for mine, plain in zip(runs, seconds["plain"], strict=True)]
        for name, runs in seconds.items()
    }
    together = [sum(each) for each in zip(*(ratios[name] for name in ratios if name != "plain"), strict=True)]
    medians = {name: round(statistics.median(each), 3) for name, each in ratios.items()}
    spread = {name: [round(ratio, 3) for ratio in each] for name, each in ratios.items()}
    return {
        "plain_seconds": round(statistics.median(seconds["plain"]), 2),
        "ratio": medians | {"together": round(statistics.median(together), 3)},
        "ratios": spread,
    }


if __name__ == "__main__":
    main()
