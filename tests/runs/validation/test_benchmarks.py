"""Benchmarks of a validation, with a stand-in for lm-eval: tables, resuming, refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from torch import nn

from assay.errors import ConfigError, ResumeError
from assay.files import read_json
from assay.runs.validation import benchmarks
from assay.runs.validation.harness import Metric, Outcome
from assay.runs.validation.run import run_validation
from tests.runs.lab import Heard
from tests.runs.validation.test_benchmark_tasks import task
from tests.runs.validation.world import config

ARMS = ["base", "base+cot"]


class Harness:
    """Three questions, and numbers that follow from the model's weights."""

    version = "0"
    asked: list[float] = []  # noqa: RUF012  # of all stand-ins together

    def __init__(self, tasks: Any, *, limit: int | None = None) -> None:
        self.tasks, self.limit = tasks, limit

    def ask(self, model: nn.Module, tokenizer: Any, **how: Any) -> Iterator[tuple[str, Outcome]]:
        weight = float(
            sum(one.detach().double().abs().sum() for one in model.parameters() if one.requires_grad)
        )
        self.asked.append(weight)
        assert how["chat"] is True and how["longest"] == model.config.max_position_embeddings
        right = tuple(float(int(weight * 1e6) % (place + 2) == 0) for place in range(3))
        yield (
            "quiz",
            Outcome(
                (0, 1, 2),
                ("a", "b", "c"),
                (
                    Metric("acc", True, True, right),
                    Metric("wer", False, True, (weight, weight, None)),
                    Metric("ppl", False, False, (2 * weight,)),
                ),
            ),
        )


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[Harness]:
    monkeypatch.setattr(benchmarks, "Harness", Harness)
    Harness.asked.clear()
    return Harness


def rows_by(out: Path, measure: str) -> dict[str, dict[str, Any]]:
    said = read_json(out / "validation.json")
    return {
        row["arm"]: row for row in said["rows"] if (row["query_set"], row["measure"]) == ("quiz", measure)
    }


def test_a_benchmark_stands_among_the_query_sets_and_lower_is_better_where_it_says_so(
    world: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_validation(config(world, arms=ARMS, benchmarks=str(task(tmp_path))), out)
    table = pq.read_table(out / "benchmarks.parquet").to_pylist()
    assert len(table) == 2 * 2 * (3 + 3 + 1)
    weights = {
        arm: [
            row["value"] for row in table if (row["arm"], row["metric"], row["question"]) == (arm, "wer", 0)
        ]
        for arm in ARMS
    }
    expected = np.mean(weights["base"]) - np.mean(weights["base+cot"])
    wer, ppl = rows_by(out, "quiz: wer")["base+cot"], rows_by(out, "quiz: ppl")["base+cot"]
    assert wer["effect"]["value"] == pytest.approx(expected) and wer["effect"]["queries"] == 2
    assert ppl["effect"]["value"] == pytest.approx(2 * expected) and ppl["effect"]["test"] == "t over seeds"
    units = {one["name"]: one["unit"] for one in read_json(out / "validation.json")["measures"]}
    assert units["quiz: acc"] == "share of right answers" and units["quiz: wer"] == "its own unit"


def test_a_killed_run_asks_no_benchmark_twice_and_ends_in_the_same_table(
    world: Path, tmp_path: Path, stand_in: type[Harness]
) -> None:
    chosen = config(world, arms=ARMS, seeds=2, benchmarks=str(task(tmp_path)))
    run_validation(chosen, tmp_path / "whole")
    whole, out = list(stand_in.asked), tmp_path / "out"
    stand_in.asked.clear()
    with pytest.raises(KeyboardInterrupt):
        run_validation(chosen, out, progress=Heard(stop_at="base, seed 1"))
    run_validation(chosen, out)
    assert stand_in.asked == whole
    for name in ("benchmarks.parquet", "answers.parquet"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    next(out.rglob("seed-1/benchmarks.parquet")).unlink()
    run_validation(chosen, out)
    assert len(stand_in.asked) == len(whole) + 1

    (tmp_path / "quiz.jsonl").write_text('{"q": "1+1", "a": "3"}\n')
    with pytest.raises(ResumeError, match=r"made with another benchmarks \(tasks\)"):
        run_validation(chosen, out)


def test_a_benchmark_called_like_a_query_set_is_refused_before_anything_is_written(
    world: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is called like a query set"):
        run_validation(config(world, benchmarks=str(task(tmp_path, "queries"))), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="name the tasks that it limits"):
        config(world, benchmark_limit=3)
