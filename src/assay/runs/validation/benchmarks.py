"""What trained arms do on benchmarks: a table for each base model, arm and seed, and measures of it.

A benchmark stands among the query sets under its task's name, each of its metrics is a measure. Knows
nothing of training; lm-eval itself is in `harness`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import nn

from assay.errors import ConfigError
from assay.models.loading import context_length
from assay.progress import SILENT, Progress
from assay.runs.validation.benchmark_tasks import BenchmarkTask, read_benchmarks
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.harness import Harness
from assay.runs.validation.inputs import Examples, Ready
from assay.validation.effects import Measured
from assay.validation.result import Measure, QuerySet, Unit

BENCHMARKED = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("seed", pa.int64()),
        ("benchmark", pa.string()),
        ("metric", pa.string()),
        ("higher_is_better", pa.bool_()),
        ("question", pa.int64()),
        ("value", pa.float64()),
        ("answer", pa.string()),
    ]
)
"""`question` is the place of a question in its data, null for a metric that is one number for all of them;
`value` is null where the metric says nothing; `answer` is what lm-eval read from the model."""


class Benchmarks:
    """The benchmarks of a validation, ready to be asked."""

    def __init__(self, config: ValidateConfig, examples: Examples) -> None:
        """Raises ConfigError as `read_benchmarks` and `Harness` do, and for a task called like a query set.

        Requests go through the chat template as the training examples do: where none of them is a chat
        (`render` "auto"), as plain text.
        """
        self.tasks: tuple[BenchmarkTask, ...] = read_benchmarks(config.benchmarks)
        for task in self.tasks:
            if task.name in config.queries:
                raise ConfigError(
                    f"--benchmarks {task.file}: the task {task.name!r} is called like a query set; give that "
                    f"another name (--queries NAME={config.queries[task.name].file})."
                )
        trained = (example for members in examples.sets.values() for example in members)
        self.chat = config.render == "chat" or (
            config.render == "auto" and any(example.rendering == "chat" for example in trained)
        )
        self._limit, self._token_budget = config.benchmark_limit, config.token_budget
        self._harness = Harness(self.tasks, limit=self._limit)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides a benchmark's table beside the model."""
        return {
            "tasks": {task.name: task.digest for task in self.tasks},
            "limit": self._limit,
            "chat": self.chat,
            "lm_eval": self._harness.version,
        }

    def ask(
        self,
        model: nn.Module,
        ready: Ready,
        told: Mapping[str, Any],
        *,
        chat_template: str | None,
        progress: Progress = SILENT,
    ) -> pa.Table:
        """Every task of a trained model; `told` are the model, arm and seed of the rows."""
        rows: list[dict[str, Any]] = []
        with progress.stage("benchmarks", len(self.tasks), "tasks") as advance:
            for name, outcome in self._harness.ask(
                model,
                ready.tokenizer,
                chat=self.chat,
                chat_template=chat_template,
                longest=context_length(model.config),
                token_budget=self._token_budget,
            ):
                for metric in outcome.metrics:
                    row = {
                        **told,
                        "benchmark": name,
                        "metric": metric.name,
                        "higher_is_better": metric.higher_is_better,
                    }
                    if not metric.of_questions:
                        rows.append({**row, "value": metric.values[0]})
                        continue
                    rows += [
                        {**row, "question": question, "value": value, "answer": answer}
                        for question, value, answer in zip(
                            outcome.questions, metric.values, outcome.answers, strict=True
                        )
                    ]
                advance(1)
        return pa.Table.from_pylist(rows, schema=BENCHMARKED)


def benchmark_sets(table: pa.Table) -> list[QuerySet]:
    """Benchmarks as query sets, each one task, with as many queries as questions."""
    found = []
    for name in dict.fromkeys(table["benchmark"].to_pylist()):
        questions = table.filter(pc.equal(table["benchmark"], name))["question"]
        found.append(QuerySet(name, "desired", len(set(questions.drop_null().to_pylist())) or 1, 1))
    return found


def benchmark_measures(
    table: pa.Table, arms: Sequence[str], models: Sequence[str], seeds: Sequence[int]
) -> Iterator[Measured]:
    """Every metric of every benchmark under every model, as tables of seeds and questions.

    A metric whose values are 0 and 1, where 1 is better, counts right answers; any other stays in its own
    unit. Both are judged over all models and arms.
    """
    for name, metric in dict.fromkeys(
        zip(table["benchmark"].to_pylist(), table["metric"].to_pylist(), strict=True)
    ):
        mine = table.filter(pc.and_(pc.equal(table["benchmark"], name), pc.equal(table["metric"], metric)))
        measure = _measure(name, metric, mine)
        for model in models:
            of_model = mine.filter(pc.equal(mine["model"], model))
            values = {arm: _values(of_model, arm, seeds) for arm in arms}
            if not np.isnan(sum(values.values())).all():
                yield Measured(model, name, "desired", measure, values)


def _measure(name: str, metric: str, mine: pa.Table) -> Measure:
    known = {value for value in mine["value"].to_pylist() if value is not None and not math.isnan(value)}
    higher = bool(mine["higher_is_better"][0].as_py())
    right = higher and mine["question"].null_count == 0 and known <= {0.0, 1.0}
    unit: Unit = "share of right answers" if right else "its own unit"
    return Measure(f"{name}: {metric}", metric, unit, higher)


def _values(table: pa.Table, arm: str, seeds: Sequence[int]) -> np.ndarray:
    of_arm = table.filter(pc.equal(table["arm"], arm))
    rows = [of_arm.filter(pc.equal(of_arm["seed"], seed))["value"].to_numpy() for seed in seeds]
    return np.stack(rows)
