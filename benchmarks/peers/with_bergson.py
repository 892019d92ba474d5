"""Bergson's part in the comparison: `build` of the queries' gradients and `score`, or its `ekfac` pipeline.

What its command line runs is called in this process, so that imports and the reading of the model stay
outside the clock: its steps read the model themselves and are handed the one that was read before. It fills
its own batches (2,048 padded tokens, longest first), keeps full gradients (no projection), sums losses over
the learned tokens, and runs on a processor as it is. EK-FAC is its K-FAC with corrected eigenvalues, damped
by 0.1 of their mean.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import bergson.build
import bergson.hessians.hessian_approximations
import bergson.hessians.pipeline
import bergson.score.score
import numpy as np
from bergson.config.config import (
    DataConfig,
    HessianConfig,
    HessianPipelineConfig,
    IndexConfig,
    PreprocessConfig,
    QuerySetConfig,
    ScoreConfig,
)
from bergson.data import load_scores
from bergson.utils.worker_utils import setup_model_and_peft
from datasets import Dataset
from stored import Call, Clock

READERS = (bergson.build, bergson.score.score, bergson.hessians.hessian_approximations)


def main() -> None:
    call, clock = Call.read(), Clock()
    candidates, queries = call.groups()
    work = call.result / "bergson"
    shutil.rmtree(work, ignore_errors=True)
    sets = {"warm": candidates.first(2), "candidates": candidates, "queries": queries}
    for name, group in sets.items():
        Dataset.from_list(group.rows).save_to_disk(str(work / "data" / name))
    with model_read_once(call, work), redirect_stdout(StringIO()):
        dots(call, work, "warm", Clock())
        scores = (ekfac if call.work == "ekfac" else dots)(call, work, "candidates", clock)
    call.leave(clock, np.array(scores, dtype=np.float64))


def index(call: Call, work: Path, run: str, data: str) -> IndexConfig:
    return IndexConfig(
        run_path=str(work / run),
        model=str(call.fixture / "adapter"),
        tokenizer=str(call.fixture / "base"),
        data=DataConfig(dataset=str(work / "data" / data)),
    )


@contextmanager
def model_read_once(call: Call, work: Path) -> Iterator[None]:
    """Every step of Bergson finds the model read already."""
    read = setup_model_and_peft(index(call, work, "none", "candidates"))
    for module in READERS:
        module.setup_model_and_peft = lambda *_, **__: read
    yield
    for module in READERS:
        module.setup_model_and_peft = setup_model_and_peft


def dots(call: Call, work: Path, data: str, clock: Clock) -> np.ndarray:
    """Inner products of `data` with the queries, (rows, queries)."""
    built, scored = index(call, work, f"{data}-build", "queries"), index(call, work, f"{data}-score", data)
    with clock.stage("scores"):
        bergson.build.build(built, PreprocessConfig())
        bergson.score.score.score_dataset(scored, ScoreConfig(query_path=built.run_path), PreprocessConfig())
    return load_scores(Path(scored.run_path))[:]


def ekfac(call: Call, work: Path, data: str, clock: Clock) -> np.ndarray:
    """Its whole pipeline on `data`, (rows, queries)."""
    pipeline, fitting = bergson.hessians.pipeline, bergson.hessians.hessian_approximations
    fitting.eigendecompose_owned = clock.timed("eigen", fitting.eigendecompose_owned)
    pipeline.approximate_hessians = clock.timed("factors", pipeline.approximate_hessians)
    with clock.stage("scores"):
        pipeline.hessian_pipeline(
            index(call, work, "ekfac", data),
            HessianConfig(method="kfac", ev_correction=True),
            ScoreConfig(),
            PreprocessConfig(),
            HessianPipelineConfig(query=QuerySetConfig(dataset=str(work / "data" / "queries"))),
        )
    stages = clock.stages
    for kind in ("wall", "processor"):
        stages["scores"][kind] -= stages["factors"][kind]
        stages["factors"][kind] -= stages["eigen"][kind]
    return load_scores(work / "ekfac" / "scores")[:]


if __name__ == "__main__":
    main()
