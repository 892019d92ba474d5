"""From scores to kept rows: every rule on a real scoring, the files it writes, and what it refuses."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import assay
from assay.data.answers import Answer
from assay.data.prompts import Prompt
from assay.errors import AssayError, ConfigError, DataError
from assay.runs.scores.run import COMPARED, DIFFICULTY, Scores
from assay.runs.selecting import Selection
from assay.runs.selecting_columns import BESIDE
from assay.runs.selecting_config import SelectConfig, select_config
from assay.selection.rules import RULES
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
        {"rule": "round_robin", "turns": "task"},
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
        ({"rule": "top", "method": "length", "task": "next"}, "length asks no queries"),
        ({"rule": "top", "method": "length", "query_set": "dev"}, "length asks no queries"),
        ({"rule": "round_robin", "method": "length"}, "round_robin goes by scores of queries"),
        ({"rule": "combined", "method": "length"}, "combined goes by scores of queries"),
        ({"rule": "combined"}, "sets 'correct' and 'incorrect', but graddot has dev"),
        ({"rule": "incorrect"}, "query set 'incorrect', but graddot has dev"),
        ({"rule": "top", "threshold": 2.0}, "threshold"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    scores: Scores, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(AssayError, match=said):
        selected(scores, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


GIVEN = {
    "query_set": "dev",
    "task": "next",
    "reverse": True,
    "turns": "query",
    "by": "task",
    "equally": True,
    "start": 0.1,
    "threshold": 0.9,
}
TAKEN = {
    "top": {"query_set", "task", "reverse"},
    "trim": {"query_set", "task", "reverse"},
    "middle": {"query_set", "task", "reverse", "start"},
    "round_robin": {"query_set", "reverse", "turns"},
    "balance": {"query_set", "task", "reverse", "by", "equally"},
    "diverse": {"query_set", "task", "reverse", "threshold"},
    "correct": set[str](),
    "incorrect": set[str](),
    "combined": set[str](),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("setting", GIVEN)
def test_a_setting_that_a_rule_does_not_go_by_is_refused(rule: str, setting: str) -> None:
    """Also where it says what is so by default: the person thinks that it does something."""
    values = {"rule": rule, "budget": "50%", setting: GIVEN[setting]}
    if setting in TAKEN[rule]:
        assert getattr(select_config(values), setting) == GIVEN[setting]
        return
    having = ", ".join(other for other in TAKEN if setting in TAKEN[other])
    option = f"--{setting}".replace("_", "-")
    with pytest.raises(ConfigError, match=f"^{rule} does not go by {setting}; it belongs to {having}.$"):
        select_config(values)
    with pytest.raises(ConfigError, match=f"^{rule} does not go by {option}; it belongs to {having}.$"):
        select_config(values, options=values)


@pytest.mark.parametrize("rule", RULES)
def test_a_setting_that_is_off_is_no_setting(rule: str) -> None:
    off = {"query_set": None, "task": None, "reverse": False, "equally": False, "start": None}
    assert select_config({"rule": rule, "budget": "5", **off}).rule == rule


def test_every_rule_is_in_the_table_of_settings() -> None:
    assert set(TAKEN) == set(RULES)
    assert {*GIVEN, "rule", "budget", "method", "weight"} == set(SelectConfig.model_fields)


def test_tasks_take_turns_by_their_mean_scores(scores: Scores, tmp_path: Path) -> None:
    done = selected(scores, tmp_path / "out", rule="round_robin", turns="task", budget="3")
    by_task = [
        one.scores for one in scores.aggregates if one.method == "graddot" and one.query_task is not None
    ]
    assert len(by_task) == 3
    taken: list[int] = []
    for column in by_task:
        taken.append(next(i for i in np.argsort(-column, kind="stable").tolist() if i not in taken))
    assert set(kept_ids(done)) == {scores.candidates.ids[i].as_py() for i in taken}
    assert any("Each of 3 tasks in turn" in sentence for sentence in done.sentences)
    assert "on graddot, in which tasks take turns" in done.sentences[0]
    assert "Tasks chose, each by a score of its own" in done.report.read_text()


def test_the_lowest_in_turn_are_said_to_be_the_lowest(scores: Scores, tmp_path: Path) -> None:
    done = selected(scores, tmp_path / "out", rule="round_robin", reverse=True)
    assert "highest minus graddot" in done.result.reading[0]
    assert "on graddot, lowest first, in which queries take turns" in done.sentences[0]


def test_queries_without_a_task_have_no_turn_among_tasks(lab: Lab, tmp_path: Path) -> None:
    """Of two sets one has no tasks: it is said which, and a column is named after its set."""
    some = write_rows(tmp_path / "some.jsonl", rows("plain", 30, 1))
    bare = write_rows(
        tmp_path / "bare.jsonl",
        [{name: value for name, value in row.items() if name != "task"} for row in rows("plain", 40, 1)],
    )
    folder = tmp_path / "scores"
    queries = {"some": some, "bare": bare}
    assay.score(lab.run, method="graddot", candidates=lab.base, queries=queries, out=folder)
    options: dict[str, Any] = {"method": "graddot", "budget": "50%", "out": tmp_path / "out"}
    with pytest.raises(ConfigError, match=r"several query sets.*some, bare"):
        assay.select(folder, rule="round_robin", **options)
    with pytest.raises(ConfigError, match="3 of 3 queries of bare have no task"):
        assay.select(folder, rule="round_robin", turns="task", query_set="bare", **options)
    with pytest.raises(ConfigError, match="--task next: graddot has no tasks"):
        assay.select(folder, rule="top", query_set="bare", task="next", **options)
    assert not (tmp_path / "out").exists()
    done = assay.select(folder, rule="top", query_set="some", task="next", **options)
    assert "by the rule top on graddot on some, next" in done.sentences[0]
    done = assay.select(folder, rule="round_robin", query_set="bare", **options)
    assert "on graddot on bare, in which queries take turns" in done.sentences[0]


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        assay.select(tmp_path / "none", rule="top", budget="50%")
    with pytest.raises(ConfigError, match="has not finished"):
        assay.select(tmp_path, rule="top", budget="50%")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no such folder"):
        assay.select(tmp_path / "file", rule="top", budget="50%")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _without_scores(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["score"]), path)


def _turned_around(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(len(table)))[::-1]), path)


@pytest.mark.parametrize(
    ("file", "damage", "rule", "said"),
    [
        ("aggregates.parquet", Path.unlink, "top", "aggregates.parquet is not there; the scoring has not"),
        ("aggregates.parquet", _cut, "top", r"aggregates.parquet cannot be read \("),
        ("aggregates.parquet", _without_scores, "top", "there is no column score"),
        ("aggregates.parquet", _turned_around, "top", "does not have a row for each candidate of this pool"),
        ("pool/candidates.parquet", _turned_around, "top", "does not have a row for each candidate of this"),
        ("scores.parquet", Path.unlink, "round_robin", "scores.parquet is not there"),
        ("scores.parquet", _cut, "round_robin", r"scores.parquet cannot be read \("),
        ("scores.parquet", _turned_around, "round_robin", "scores.parquet does not have a row for each"),
        ("scores.json", lambda path: path.write_text("[]"), "top", "scores.json cannot be read"),
        ("scores.json", _cut, "top", "scores.json cannot be read"),
        ("pool/manifest.json", Path.unlink, "top", "manifest.json cannot be read"),
    ],
)
def test_scores_that_are_broken_or_of_another_pool_are_refused(
    scores: Scores, tmp_path: Path, file: str, damage: Callable[[Path], Any], rule: str, said: str
) -> None:
    folder = tmp_path / "scores"
    shutil.copytree(scores.folder, folder)
    damage(folder / file)
    with pytest.raises(AssayError, match=said):
        assay.select(folder, rule=rule, budget="50%", method="graddot", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hidden_states_that_cannot_be_read_are_refused(scores: Scores, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    shutil.copytree(scores.folder, folder)
    for path in folder.glob("measures/*/embedding/*.safetensors"):
        _cut(path)
    with pytest.raises(DataError, match="safetensors cannot be read"):
        assay.select(folder, rule="diverse", budget="50%", method="graddot", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_scored_unasked_decides_only_where_it_is_named_or_alone(lab: Lab, tmp_path: Path) -> None:
    assert (COMPARED.name, DIFFICULTY.name) == BESIDE
    folder = tmp_path / "scores"
    scores = assay.score(lab.run, method="graddot", candidates=lab.base, queries=lab.queries, out=folder)
    assert {one.method for one in scores.aggregates} == {"graddot", COMPARED.name}
    assert assay.select(scores, rule="top", budget="50%").result.order == "graddot"
    assert assay.select(scores, rule="top", budget="50%", method="minus_loss").result.order == "minus_loss"
    assay.score(lab.run, method="minus_loss", candidates=lab.base, queries=lab.queries, out=folder)
    assert assay.select(scores, rule="top", budget="50%").result.order == "minus_loss"


def test_one_candidate_can_be_kept_and_nothing_else_done(lab: Lab, tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.jsonl", rows("plain", 90, 1)[:1])
    folder = tmp_path / "scores"
    assay.score(lab.run, method="length", candidates=one, out=folder)
    for rule in ("top", "trim", "middle"):
        done = assay.select(folder, rule=rule, budget=1, method="length")
        assert done.written[0].read_text() == one.read_text()
    with pytest.raises(ConfigError, match="less than one candidate"):
        assay.select(folder, rule="top", budget="50%", method="length")


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
