"""What lm-eval says, as measures; and lm-eval itself, where it is installed."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.errors import ConfigError
from assay.models.loading import load_tokenizer
from assay.runs.validation.benchmark_tasks import read_benchmarks
from assay.runs.validation.harness import Harness, outcome_of


class Task:
    """As much of lm-eval's task as is asked for."""

    def __init__(self, better: dict[str, bool | None], **aggregation: Any) -> None:
        self._better, self._aggregation = better, aggregation

    def higher_is_better(self) -> dict[str, bool | None]:
        return self._better

    def aggregation(self) -> dict[str, Any]:
        return self._aggregation


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def perplexity(values: list[float]) -> float:
    return float(np.exp(-np.mean(values)))


def found(filters: tuple[str, ...] = ("none",), **metrics: list[Any]) -> dict[str, Any]:
    """What lm-eval returns for these values of each question."""
    samples = [
        {
            "filter": one,
            "doc_id": place,
            "filtered_resps": [f"said {place}"],
            "metrics": [*metrics],
            **{name: values[place] for name, values in metrics.items()},
        }
        for one in filters
        for place in range(len(next(iter(metrics.values()))))
    ]
    return {"samples": {"quiz": samples}, "results": {"quiz": {"ppl,none": 2.5}}}


def test_means_are_kept_for_every_question_and_other_numbers_once() -> None:
    task = Task({"acc": True, "ppl": False}, acc=mean, ppl=perplexity)
    outcome = outcome_of("quiz", task, found(acc=[1.0, 0.0, True], ppl=[-1.0, -2.0, -0.5]))
    acc, ppl = outcome.metrics
    assert (acc.name, acc.higher_is_better, acc.of_questions, acc.values) == (
        "acc",
        True,
        True,
        (1.0, 0.0, 1.0),
    )
    assert (ppl.name, ppl.higher_is_better, ppl.of_questions, ppl.values) == ("ppl", False, False, (2.5,))
    assert outcome.questions == (0, 1, 2) and outcome.answers[1] == "['said 1']"


def test_each_filter_is_a_metric_of_its_own() -> None:
    outcome = outcome_of("quiz", Task({"em": True}, em=mean), found(("strict", "loose"), em=[1.0, 0.0]))
    assert [one.name for one in outcome.metrics] == ["em, strict", "em, loose"]
    assert len(outcome.questions) == 2


def test_a_metric_without_direction_or_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="whether higher is better"):
        outcome_of("quiz", Task({"acc": None}, acc=mean), found(acc=[1.0]))
    with pytest.raises(ConfigError, match="is not one number"):
        outcome_of("quiz", Task({"f1": True}, f1=perplexity), found(f1=[(1, 0)]))


def test_without_lm_eval_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
    with pytest.raises(ConfigError, match=r"pip install 'assay\[benchmarks\]'"):
        Harness(())


@pytest.fixture
def quiz(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("lm_eval")
    rows = [
        {"q": json.loads(line)["messages"][0]["content"], "choices": ["one", "two three"], "gold": place % 2}
        for place, line in enumerate((world / "queries.jsonl").read_text().splitlines())
    ]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "quiz.yaml").write_text(
        "task: quiz\ndataset_path: json\ndataset_kwargs: {data_files: {test: quiz.jsonl}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: '{{choices}}'\n"
        "doc_to_target: gold\n"
        "metric_list:\n- {metric: acc, aggregation: mean, higher_is_better: true}\n"
        "- {metric: brier_score, aggregation: brier_score, higher_is_better: false}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_lm_eval_scores_the_model_in_memory_and_twice_alike(world: Path, quiz: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(world / "model")
    tokenizer = load_tokenizer([str(world / "model")])
    harness = Harness(read_benchmarks(["quiz.yaml"]), limit=3)
    ((name, first),) = harness.ask(model, tokenizer, chat=False)
    ((_, again),) = harness.ask(model, tokenizer, chat=False)
    assert (name, first) == ("quiz", again)
    assert [one.name for one in first.metrics] == ["acc", "brier_score"]
    rows = [json.loads(line) for line in (quiz / "quiz.jsonl").read_text().splitlines()][:3]
    for row, answer, right in zip(rows, first.answers, first.metrics[0].values, strict=True):
        likely = [_log_likelihood(model, tokenizer, row["q"], f" {choice}") for choice in row["choices"]]
        assert [said for said, _ in eval(answer)] == pytest.approx(likely, abs=1e-4)
        assert right == (int(np.argmax(likely)) == row["gold"])


def _log_likelihood(model: Any, tokenizer: Any, question: str, answer: str) -> float:
    before = tokenizer(question)["input_ids"]
    ids = tokenizer(question + answer)["input_ids"]
    assert ids[: len(before)] == before
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return float(sum(logits[place - 1, ids[place]] for place in range(len(before), len(ids))))


def test_a_task_that_lm_eval_cannot_set_up_is_told_in_one_sentence(quiz: Path) -> None:
    text = (quiz / "quiz.yaml").read_text()
    for wrong, becomes, said in (
        ("test_split: test", "test_split: none", "bad.yaml: lm-eval cannot set up the task 'quiz': .*none"),
        ("metric: acc", "metric: no_such_thing", "names the metric 'no_such_thing', which"),
    ):
        (quiz / "bad.yaml").write_text(text.replace(wrong, becomes))
        with pytest.raises(ConfigError, match=f"--benchmarks.*{said}"):
            Harness(read_benchmarks(["bad.yaml"]))
