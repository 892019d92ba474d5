"""From scores to kept rows: every rule on a real scoring, the files it writes, and what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import assay
from assay.data.answers import Answer
from assay.data.prompts import Prompt
from assay.errors import AssayError, ConfigError, DataError
from assay.runs.scores.run import Scores
from assay.runs.selecting import Selection
from tests.runs.lab import Lab, rows, write_rows

METHODS = ["graddot", "self_influence", "embedding", "length"]


@pytest.fixture(scope="module")
def scores(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    folder = tmp_path_factory.mktemp("selecting")
    few = folder / "queries.jsonl"
    few.write_text("".join(lab.queries.read_text().splitlines(keepends=True)[::3]))
    pool = folder / "pool.jsonl"
    pool.write_text(lab.base.read_text())
    return assay.score(lab.run, method=METHODS, candidates=pool, queries={"dev": few}, out=folder / "scores")


def selected(scores: Scores, out: Path, **options: Any) -> Selection:
    return assay.select(scores, out=out, **{"method": "graddot", "budget": "50%", **options})


def kept_ids(done: Selection) -> list[str]:
    return [json.loads(line)["id"] for path in done.written for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "top"},
        {"rule": "trim"},
        {"rule": "middle"},
        {"rule": "balance", "equally": True},
        {"rule": "diverse", "threshold": 1.0},
        {"rule": "round_robin"},
        {"rule": "top", "method": "self_influence", "reverse": True},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_a_rule_keeps_its_budget_and_writes_rows_as_they_came(
    scores: Scores, tmp_path: Path, options: dict[str, Any]
) -> None:
    done = selected(scores, tmp_path / "out", **options)
    table = pq.read_table(tmp_path / "out" / "selection.parquet").to_pylist()
    assert [row["candidate_id"] for row in table if row["kept"]] == kept_ids(done)
    assert len(kept_ids(done)) == len(scores.candidates) // 2
    assert all(row["reason"] for row in table)
    source = (scores.folder.parent / "pool.jsonl").read_text().splitlines()
    assert set(done.written[0].read_text().splitlines()) <= set(source)
    assert done.report.read_text().startswith("<!")


def test_top_keeps_what_ranks_first(scores: Scores, tmp_path: Path) -> None:
    done = selected(scores, tmp_path / "out", rule="top", budget="4")
    (found,) = [one.scores for one in scores.aggregates if one.method == "graddot" and one.query_task is None]
    best = {scores.candidates.ids[int(at)].as_py() for at in np.argsort(-found)[:4]}
    assert set(kept_ids(done)) == best


def test_one_task_of_queries_can_decide(scores: Scores, tmp_path: Path) -> None:
    done = selected(scores, tmp_path / "out", rule="top", budget="4", task="next")
    wanted = "graddot", "next"
    (found,) = [one.scores for one in scores.aggregates if (one.method, one.query_task) == wanted]
    best = {scores.candidates.ids[int(at)].as_py() for at in np.argsort(-found)[:4]}
    assert set(kept_ids(done)) == best


def test_weights_are_added_on_request(scores: Scores, tmp_path: Path) -> None:
    done = selected(scores, tmp_path / "out", rule="top", weight=True)
    weights = [json.loads(line)["weight"] for line in done.written[0].read_text().splitlines()]
    assert np.mean(weights) == pytest.approx(1)


def test_a_source_that_changed_is_refused_and_nothing_is_written(scores: Scores, tmp_path: Path) -> None:
    source = scores.folder.parent / "pool.jsonl"
    before = source.read_text()
    try:
        source.write_text(before.replace("twice 60", "twice 61", 1))
        with pytest.raises(DataError, match="has changed since it was scored"):
            selected(scores, tmp_path / "out", rule="top")
    finally:
        source.write_text(before)
    assert not (tmp_path / "out" / "selection.parquet").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "topp"}, "did you mean top"),
        ({"rule": "top", "budget": "0"}, "keeps nothing"),
        ({"rule": "top", "budget": "half"}, "cannot be read"),
        ({"rule": "top", "budget": "9000"}, "pool has"),
        ({"rule": "top", "method": "ekfac"}, "there are no such scores"),
        ({"rule": "top", "method": None}, "name one with --method"),
        ({"rule": "top", "query_set": "eval"}, "graddot has dev"),
        ({"rule": "top", "task": "thrice"}, "graddot has .*next"),
        ({"rule": "combined"}, "query set 'correct'"),
        ({"rule": "top", "threshold": 2.0}, "threshold"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    scores: Scores, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(AssayError, match=said):
        selected(scores, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        assay.select(tmp_path / "none", rule="top", budget="50%")
    with pytest.raises(ConfigError, match="has not finished"):
        assay.select(tmp_path, rule="top", budget="50%")


def test_answers_of_two_models_make_the_query_sets_of_pruning(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models are told what to answer: questions about `next` turn right, those about `twice` wrong."""
    questions = write_rows(tmp_path / "questions.jsonl", rows("plain", 30, 3))
    right = {row["id"]: row["messages"][-1]["content"] for row in rows("plain", 30, 3)}

    def told(session: Any, checkpoint: Any, prompts: Sequence[Prompt], *_: Any, **__: Any) -> list[Answer]:
        after = checkpoint.kind != "base"
        said = []
        for prompt in prompts:
            task = prompt.id.split("-")[1]
            good = task == "digit" or (task == "next") == after
            text = right[prompt.id] if good else "7777"
            said.append(Answer(prompt.id, text, False, tuple(session.tokenizer(text)["input_ids"])))
        return said

    monkeypatch.setattr("assay.runs.flips.ask", told)
    scores = assay.score(
        lab.run, method="ekfac", candidates=lab.base, questions=questions, out=tmp_path / "scores"
    )
    sets = {one.query_set for one in scores.aggregates if one.method == "ekfac"}
    assert sets == {"correct", "incorrect"}
    flips = pq.read_table(tmp_path / "scores" / "answers" / "flips.parquet").to_pylist()
    assert {row["task"]: row["set"] for row in flips} == {"next": "C", "twice": "I", "digit": "none"}
    done = assay.select(scores, rule="combined", budget="70%")
    assert done.result.region is not None
    assert 12 <= len(kept_ids(done)) < len(scores.candidates)
    assert any("quantile" in line for line in done.result.reading)
