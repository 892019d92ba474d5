"""Settings of a craft: short forms, what cannot be, and which key goes where."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import ConfigError
from assay.runs.crafting.config import CraftConfig, Place, craft_config, labelled_files, places


def config(**settings: Any) -> CraftConfig:
    return craft_config({"strategies": "cot", "references": "refs.jsonl", **settings})


def test_short_forms() -> None:
    found = config(queries={"dev": "dev.jsonl"}, from_columns="question, answer,rationale=why", price="0.5,2")
    assert found.strategies == ["cot"]
    assert found.references[0].file == "refs.jsonl"
    assert found.queries["dev"].file == "dev.jsonl"
    assert found.reference_columns == {"question": "question", "answer": "answer", "rationale": "why"}
    assert found.price is not None
    assert (found.price.prompt, found.price.completion) == (0.5, 2)


def test_a_file_can_be_labelled_with_a_task(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.jsonl"
    odd.touch()
    assert labelled_files(["math=m.tsv", "plain.jsonl", str(odd), "x/y=z.jsonl"]) == [
        {"file": "m.tsv", "task": "math"},
        {"file": "plain.jsonl"},
        {"file": str(odd)},
        {"file": "x/y=z.jsonl"},
    ]
    with pytest.raises(ConfigError, match="TASK=FILE"):
        labelled_files(["=m.tsv"])


WRITER = {"endpoint": "http://here/v1", "model": "big"}


def test_the_writer_judges_unless_somebody_else_does() -> None:
    found = places(config(**WRITER))
    assert found["judge"] == found["writer"] == Place("big", "http://here/v1", "OPENAI_API_KEY")
    assert "student" not in found
    assert places(config(**WRITER, judge_model="small"))["judge"] == Place(
        "small", "http://here/v1", "OPENAI_API_KEY"
    )


def test_a_key_is_sent_only_where_it_belongs() -> None:
    found = places(
        config(**WRITER, student_endpoint="http://there/v1", student_model="mine", key_env="MY_KEY")
    )
    assert found["writer"].key_env == "MY_KEY"
    assert found["student"] == Place("mine", "http://there/v1", None)
    own = config(**WRITER, judge_endpoint="http://there/v1", judge_model="other", judge_key_env="THEIR_KEY")
    assert places(own)["judge"].key_env == "THEIR_KEY"


def test_models_that_are_loaded_here() -> None:
    found = places(config(local="tiny", student="runs/sft/checkpoint-6"))
    assert found["writer"] == found["judge"] == Place("tiny")
    assert found["student"] == Place("runs/sft/checkpoint-6")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"strategies": []}, "--strategy NAME"),
        ({"references": []}, "--references FILE"),
        ({"strategies": ["cot", "cot"]}, "'cot' is given twice"),
        ({"endpoint": "http://here/v1"}, "--model NAME"),
        ({"model": "big"}, "--endpoint"),
        ({**WRITER, "local": "tiny"}, "not both"),
        ({"student": "a", "student_model": "b"}, "not both"),
        ({"student_endpoint": "http://here/v1"}, "student_model"),
        ({"judge_model": "b"}, "--judge-endpoint"),
        ({"from_columns": "question"}, "at least two columns"),
        ({"from_columns": "question,,answer"}, "at least two columns"),
        ({"from_columns": "a,b,a"}, "'a' is named twice"),
        ({"from_columns": "a,b", **WRITER}, "no model is asked"),
        ({"from_columns": "a,b", "reading": {"prompt": "a", "completion": "b"}}, "leave out --prompt"),
        ({"queries": {"dev": "d"}, "references_are": "queries"}, "queries already"),
        ({"build": True, "queries": {"dev": "d"}}, "no queries"),
        ({"build": True, "checkpoints": "runs"}, "no study"),
        ({"price": "1"}, "--price 1: give what a million tokens cost"),
        ({"price": "-1,2"}, "price"),
        ({"limit": 0}, "limit"),
        ({"concurrency": 0}, "concurrency"),
        ({"references_are": "answers"}, "references_are"),
        ({"strategi": "cot"}, "did you mean strategies"),
        ({"endpoint": "http://me:secret@here/v1", "model": "big"}, "without a user name"),
        ({"endpoint": "http://here/v1?api_key=secret", "model": "big"}, "without a user name"),
    ],
)
def test_what_cannot_be(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(**settings)
    assert named in str(error.value)
    assert "secret" not in str(error.value)
