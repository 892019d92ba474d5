"""References out of files: every row accounted for, and bad ones told of before anything is asked."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import ConfigError, DataError
from assay.runs.crafting.config import CraftConfig, craft_config
from assay.runs.crafting.references import look, take
from tests.runs.crafting.made import write_rows


def config(*files: Path, **settings: Any) -> CraftConfig:
    references = settings.pop("references", [str(file) for file in files])
    return craft_config({"strategies": "cot", "references": references, **settings})


def rows(path: Path, tasks: str, **changes: Any) -> Path:
    return write_rows(
        path,
        [
            {
                "id": f"{task}{n}",
                "task": task,
                "prompt": f"what is {n} in {task} ?",
                "completion": str(n),
                **changes,
            }
            for n, task in enumerate(tasks)
        ],
    )


def ids(settings: CraftConfig, siblings: bool = False) -> list[str]:
    return [taken.reference.id for taken in take(settings, rows_are_siblings=siblings)]


def test_limits_keep_the_first_of_every_task_and_the_first_of_all(tmp_path: Path) -> None:
    file = rows(tmp_path / "r.jsonl", "aabbab")
    assert ids(config(file)) == ["a0", "a1", "b2", "b3", "a4", "b5"]
    assert ids(config(file, per_task=1)) == ["a0", "b2"]
    assert ids(config(file, limit=3)) == ["a0", "a1", "b2"]
    assert ids(config(file, per_task=2, limit=3)) == ["a0", "a1", "b2"]


def test_every_second_row_of_a_task_is_the_sibling_of_the_one_before(tmp_path: Path) -> None:
    file = rows(tmp_path / "r.jsonl", "abaabba")
    found = list(take(config(file), rows_are_siblings=True))
    pairs = [(one.reference.id, one.sibling.id) for one in found if one.sibling]
    assert pairs == [("a0", "a2"), ("b1", "b4"), ("a3", "a6")]


def test_a_row_that_asks_the_same_is_no_sibling(tmp_path: Path) -> None:
    again = {"prompt": "what is it ?", "completion": "x", "task": "a"}
    file = write_rows(tmp_path / "r.jsonl", [again, again, {**again, "prompt": "what else ?"}])
    (taken,) = take(config(file), rows_are_siblings=True)
    assert taken.sibling is not None
    assert taken.sibling.query == "what else ?"
    only = write_rows(tmp_path / "only.jsonl", [again, again])
    with pytest.raises(DataError, match="different queries"):
        look(config(only), rows_are_siblings=True)


def test_ids_are_unique_over_all_files(tmp_path: Path) -> None:
    first, second = rows(tmp_path / "1.jsonl", "ab"), rows(tmp_path / "2.jsonl", "ab")
    assert ids(config(first, second)) == ["a0", "b1", "a0#2", "b1#2"]


def test_a_first_look_counts_and_notes(tmp_path: Path) -> None:
    survey = look(config(rows(tmp_path / "r.jsonl", "aab")), rows_are_siblings=False)
    assert (survey.count, dict(survey.tasks), len(survey.prompts)) == (3, {"a": 2, "b": 1}, 3)
    assert any("read 3 examples" in note for note in survey.notes)


def test_samples_are_of_every_task_however_the_file_is_ordered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.runs.crafting.references.SAMPLE", 2)
    monkeypatch.setattr("assay.runs.crafting.references.SAMPLED_TASKS", 2)
    survey = look(config(rows(tmp_path / "r.jsonl", "aaabac")), rows_are_siblings=False)
    samples = {task: [one.id for one in members] for task, members in survey.samples.items()}
    assert samples == {"a": ["a0", "a1"], "b": ["b3"]}


def test_a_student_is_asked_as_references_are_written(tmp_path: Path) -> None:
    strings = rows(tmp_path / "strings.jsonl", "ab")
    turns = [{"role": "user", "content": "what ?"}, {"role": "assistant", "content": "this"}]
    chat = write_rows(tmp_path / "chat.jsonl", [{"id": "c", "task": "c", "messages": turns}])
    assert look(config(strings), rows_are_siblings=False).render == "plain"
    assert look(config(strings, chat), rows_are_siblings=False).render == "auto"


TABLE = "what is one ?\t1\tone is one\nwhat is\\ntwo ?\t2\ttwo is two\n"


def test_a_table_without_a_header_has_the_named_columns(tmp_path: Path) -> None:
    file = tmp_path / "t.tsv"
    file.write_text(TABLE)
    settings = config(file, from_columns="question,answer,rationale=why", reading={"unescape": True})
    first, second = (one.reference for one in take(settings, rows_are_siblings=False))
    assert (first.query, first.response, first.columns["rationale"]) == ("what is one ?", "1", "one is one")
    assert second.query == "what is\ntwo ?"
    survey = look(settings, rows_are_siblings=False)
    assert any("no header line" in note for note in survey.notes)


def test_a_header_is_found_and_its_columns_picked(tmp_path: Path) -> None:
    file = tmp_path / "t.tsv"
    file.write_text("id\twhy\tanswer\tquestion\n7\tone is one\t1\twhat is one ?\n")
    (taken,) = take(config(file, from_columns="question,answer,why"), rows_are_siblings=False)
    assert (taken.reference.id, taken.reference.query, taken.reference.columns["why"]) == (
        "7",
        "what is one ?",
        "one is one",
    )
    with pytest.raises(ConfigError, match="no column 'reason'; it has id, why, answer, question"):
        list(take(config(file, from_columns="question,answer,reason"), rows_are_siblings=False))


def test_named_columns_of_a_longer_table_without_a_header(tmp_path: Path) -> None:
    file = tmp_path / "t.tsv"
    file.write_text("x\twhat is one ?\t1\n")
    reading = {"columns": "id,question,answer"}
    (taken,) = take(config(file, from_columns="question,answer", reading=reading), rows_are_siblings=False)
    assert (taken.reference.id, taken.reference.query) == ("x", "what is one ?")
    with pytest.raises(ConfigError, match="'why' is none of --columns"):
        list(take(config(file, from_columns="question,why", reading=reading), rows_are_siblings=False))


def test_a_file_can_be_one_task(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "r.jsonl", [{"prompt": "what ?", "completion": "that"}])
    settings = config(references=[{"file": str(file), "task": "math"}])
    (taken,) = take(settings, rows_are_siblings=False)
    assert taken.reference.task == "math"


BAD = {
    "broken": {"prompt": "a"},
    "ready tokens": {"input_ids": [1, 2], "labels": [-100, 2]},
    "no user turn": {"messages": [{"role": "assistant", "content": "alone"}]},
}


@pytest.mark.parametrize("kind", ["broken", "no user turn"])
def test_a_row_that_cannot_be_used_stops_or_is_set_aside(tmp_path: Path, kind: str) -> None:
    good = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    file = write_rows(tmp_path / "r.jsonl", [good, BAD[kind]])
    with pytest.raises(DataError, match=r"row 2.*--on-bad-rows skip"):
        look(config(file), rows_are_siblings=False)
    survey = look(config(file, on_bad_rows="skip"), rows_are_siblings=False)
    assert survey.count == 1
    assert [one.source.row for one in survey.rejects] == [2]


def test_ready_tokens_are_refused(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "r.jsonl", [BAD["ready tokens"]])
    with pytest.raises(DataError, match="ready tokens"):
        look(config(file), rows_are_siblings=False)
