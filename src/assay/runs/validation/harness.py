"""The one place that knows lm-eval: local tasks are loaded once, and asked of models that are in memory.

Nothing is fetched: whatever lm-eval would look for on the network is not found. Knows nothing of arms.
"""

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import Any

from torch import nn
from transformers import set_seed

from assay.errors import ConfigError
from assay.runs.validation.benchmark_tasks import BenchmarkTask

SEED = 1234
"""That of lm-eval's own command, for few-shot examples; the same before every task and model."""
LONGEST_BATCHED = 1024
"""Tokens that a request is taken to have at most where a batch is measured."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a task, for every question (None where it says nothing) or, where it is not a mean over
    them, one value for all."""

    name: str
    higher_is_better: bool
    of_questions: bool
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What lm-eval found; `answers` are what the model said to each question, as lm-eval read it."""

    questions: tuple[int, ...]
    answers: tuple[str, ...]
    metrics: tuple[Metric, ...]


class Harness:
    """Tasks that are ready to be asked."""

    def __init__(self, tasks: Sequence[BenchmarkTask], *, limit: int | None = None) -> None:
        """`limit` asks the first so many questions of each. Raises ConfigError where lm-eval is not
        installed, and for a task that it cannot set up."""
        self._evaluate, manager, self._model_class, self.version = _lm_eval()
        self._limit = limit
        self._tasks: dict[str, Any] = {}
        with _alone():
            found = manager(include_defaults=False)
            for task in tasks:
                try:
                    self._tasks[task.name] = _ready(found.load([str(task.file)])["tasks"][task.name])
                except ConfigError:
                    raise
                except Exception as error:
                    raise ConfigError(
                        f"--benchmarks {task.file}: lm-eval cannot set up the task {task.name!r}: "
                        f"{_first_line(error)}"
                    ) from error

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self._tasks)

    def ask(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        chat: bool,
        chat_template: str | None = None,
        longest: int | None = None,
        token_budget: int = 8192,
    ) -> Iterator[tuple[str, Outcome]]:
        """Every task of this model, one by one.

        With `chat` requests go through the tokenizer's chat template, or `chat_template`. Raises ConfigError
        for a task that fails on the way, and for a metric without a direction.
        """
        tokenizer = copy.deepcopy(tokenizer)
        if chat_template is not None:
            tokenizer.chat_template = chat_template
        batch_size = max(1, token_budget // min(longest or LONGEST_BATCHED, LONGEST_BATCHED))
        with _alone():
            asked = self._model_class(
                pretrained=model,
                tokenizer=tokenizer,
                backend="causal",
                max_length=longest,
                batch_size=batch_size,
            )
        for name, task in self._tasks.items():
            with _alone():
                task.set_fewshot_seed(seed=SEED)
                try:
                    found = self._evaluate(
                        lm=asked,
                        task_dict={"tasks": {name: task}, "groups": {}, "group_map": {}},
                        limit=self._limit,
                        bootstrap_iters=0,
                        log_samples=True,
                        apply_chat_template=chat,
                        fewshot_as_multiturn=chat,
                    )
                except Exception as error:
                    raise ConfigError(
                        f"--benchmarks: lm-eval failed on the task {name!r}: {_first_line(error)}"
                    ) from error
            yield name, outcome_of(name, task, found)


def outcome_of(name: str, task: Any, found: Mapping[str, Any]) -> Outcome:
    """What `found`, as lm-eval's evaluate returns it, says of a task.

    A metric that lm-eval averages over questions is kept for each of them, any other as the one number that
    it comes to. Raises ConfigError for a metric that does not say whether higher is better.
    """
    samples, whole = found["samples"][name], found["results"][name]
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    better, aggregation = task.higher_is_better(), task.aggregation()
    metrics = []
    for one in filters:
        mine = [sample for sample in samples if sample["filter"] == one]
        for metric in dict.fromkeys(metric for sample in mine for metric in sample["metrics"]):
            title = metric if len(filters) == 1 else f"{metric}, {one}"
            if better.get(metric) is None:
                raise _undirected(name, metric)
            values = [sample.get(metric) for sample in mine]
            mean = getattr(aggregation.get(metric), "__name__", "mean") in ("mean", "nanmean")
            of_questions = mean and all(value is None or _is_number(value) for value in values)
            if not of_questions:
                values = [whole.get(f"{metric},{one}")]
                if not _is_number(values[0]):
                    raise ConfigError(
                        f"--benchmarks: the metric {metric!r} of the task {name!r} is not one number, so "
                        "arms cannot be compared by it; leave it out of its metric_list."
                    )
            told = tuple(None if value is None else float(value) for value in values)
            metrics.append(Metric(title, bool(better[metric]), of_questions, told))
    first = [sample for sample in samples if sample["filter"] == filters[0]]
    return Outcome(
        tuple(int(sample["doc_id"]) for sample in first),
        tuple(str(sample["filtered_resps"]) for sample in first),
        tuple(metrics),
    )


def _is_number(value: Any) -> bool:
    """Whether it can be averaged; numpy's numbers and truth values can."""
    try:
        return not isinstance(value, str) and math.isfinite(float(value) if value == value else 0.0)
    except (TypeError, ValueError):
        return False


def _ready(task: Any) -> Any:
    """As lm-eval's command has a task where nothing is said of few-shot examples."""
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    for metric, function in getattr(task, "_metric_fn_list", {}).items():
        if function is None:
            raise ConfigError(
                f"--benchmarks: the task {task.task_name!r} names the metric {metric!r}, which lm-eval does "
                "not have here."
            )
    unsaid = [metric for metric, better in task.higher_is_better().items() if better is None]
    if unsaid:
        raise _undirected(task.task_name, unsaid[0])
    return task


def _undirected(task: str, metric: str) -> ConfigError:
    return ConfigError(
        f"--benchmarks: the task {task!r} does not say of its metric {metric!r} whether higher is better; "
        "write `higher_is_better` into its metric_list."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _lm_eval() -> tuple[Any, Any, Any, str]:
    try:
        from importlib.metadata import version

        from lm_eval.evaluator import evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(
            "Benchmarks take lm-eval, which is not installed; pip install 'assay[benchmarks]'."
        ) from error
    return evaluate, TaskManager, HFLM, version("lm_eval")


@contextmanager
def _alone() -> Iterator[None]:
    """lm-eval without its bars, its warnings, chance and the network."""
    import datasets.config
    import evaluate.config
    import huggingface_hub.constants

    loud = logging.getLogger("lm_eval")
    level = loud.level
    switches: list[tuple[Any, str]] = [
        (datasets.config, "HF_HUB_OFFLINE"),
        (evaluate.config, "HF_EVALUATE_OFFLINE"),
        (huggingface_hub.constants, "HF_HUB_OFFLINE"),
    ]
    before = [getattr(module, name) for module, name in switches]
    loud.setLevel(logging.ERROR)
    for module, name in switches:
        setattr(module, name, True)
    set_seed(SEED)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        loud.setLevel(level)
        for (module, name), value in zip(switches, before, strict=True):
            setattr(module, name, value)
