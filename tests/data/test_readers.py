"""From files to examples: format said aloud, ids, labels, rejects, limits, dataset_info.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.data.columns import ColumnMapping
from assay.data.drafts import Options, checked
from assay.data.example import Example, Reject, Source
from assay.data.fields import RowError
from assay.data.formats import FORMATS
from assay.data.readers import content_key, prompt_key, read_examples, write_rejects
from assay.errors import ConfigError, DataError
from tests.data.helpers import write


def jsonl(path: Path, *records: Any) -> Path:
    return write(path, "\n".join(json.dumps(record) for record in records))


def qa(question: str = "q", answer: str = "a", **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, **more}


def test_the_detected_format_is_said_aloud_and_can_be_overridden(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", qa(text="free text"))
    found = read_examples(path)
    assert found.format == "question-answer"
    assert found.notes == (f"{path}: read 1 example as question-answer (detected on the first 1 rows).",)
    asked = read_examples(path, format="text")
    assert asked.format == "text"
    assert asked.examples[0].messages[0].content == "free text"
    with pytest.raises(ConfigError, match="Unknown format 'qa'"):
        read_examples(path, format="qa")


def test_an_unknown_shape_names_its_columns_and_the_ways_out(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"first": "x", "second": "y"})
    with pytest.raises(DataError, match=r"first, second.*--format.*map its columns"):
        read_examples(path)


def test_rows_labels_and_records_are_kept(tmp_path: Path) -> None:
    record = qa(task="sums", pair="ref-1", id=12, extra={"kept": None})
    (example,) = read_examples(jsonl(tmp_path / "a.jsonl", record)).examples
    assert (example.id, example.task, example.pair) == ("12", "sums", "ref-1")
    assert example.source == Source(str(tmp_path / "a.jsonl"), 1)
    assert example.record == record


def test_a_task_for_the_whole_file_goes_before_the_column(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", qa(task="own", kind="k", ref="r", key="i"))
    assert read_examples(path, task="all").examples[0].task == "all"
    (example,) = read_examples(path, task_column="kind", pair_column="ref", id_column="key").examples
    assert (example.task, example.pair, example.id) == ("k", "r", "i")


def test_ids_are_content_hashes_and_repeats_are_numbered_and_noted(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", qa("x"), qa("y"), qa("x"), qa("x", task="other"))
    found = read_examples(path)
    first, other, second, third = (example.id for example in found.examples)
    assert first != other
    assert (second, third) == (f"{first}#2", f"{first}#3")
    assert found.notes[1].endswith("2 repeated ids (or content) numbered id#2, id#3, …")
    elsewhere = read_examples(jsonl(tmp_path / "b.jsonl", qa("x"))).examples[0].id
    assert elsewhere == first


def test_numbering_never_takes_an_id_that_is_in_use(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", qa("1", id="a"), qa("2", id="a"), qa("3", id="a#2"))
    assert [example.id for example in read_examples(path).examples] == ["a", "a#3", "a#2"]


def test_a_bad_row_is_an_error_with_file_row_and_reason(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", qa(), qa(answer=""), qa())
    with pytest.raises(DataError, match=r"a\.jsonl, row 2: field 'answer' is empty"):
        read_examples(path)


def test_skipping_counts_every_row_as_example_or_reject(tmp_path: Path) -> None:
    lines = [json.dumps(qa()), '{"question": ', json.dumps(qa(answer="")), json.dumps(qa("other"))]
    found = read_examples(write(tmp_path / "a.jsonl", "\n".join(lines)), on_bad_rows="skip")
    assert len(found.examples) == 2
    assert [reject.source.row for reject in found.rejects] == [2, 3]
    assert found.rejects[0].record == '{"question": '
    assert found.rejects[1].record == qa(answer="")
    assert "2 rows set aside; row 2: broken JSON" in found.notes[1]


def test_rejects_are_written_whole_in_strict_json(tmp_path: Path) -> None:
    records: list[Any] = [qa("ö"), {"x": float("nan"), "y": b"\xff"}, "\ud800", None]
    path = tmp_path / "deep" / "rejects.jsonl"
    write_rejects(
        path, [Reject(Source("f.jsonl", row), "why", record) for row, record in enumerate(records, 1)]
    )

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    rows = [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 4]
    assert rows[0] == {"file": "f.jsonl", "row": 1, "reason": "why", "record": qa("ö")}
    assert rows[1]["record"] == {"x": "nan", "y": "b'\\xff'"}
    assert rows[2]["record"] == "\ud800"
    assert "ö" in path.read_text(encoding="utf-8")


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        read_examples(write(tmp_path / "a.json", "[]"))
    with pytest.raises(DataError, match="is empty"):
        read_examples(write(tmp_path / "b.jsonl", ""))
    with pytest.raises(DataError, match=r"no row can be used; row 1: field 'answer'"):
        read_examples(jsonl(tmp_path / "c.jsonl", qa(answer=" ")), on_bad_rows="skip")
    with pytest.raises(DataError, match="row 1: broken JSON"):
        read_examples(write(tmp_path / "d.jsonl", "{{{"), on_bad_rows="skip")


def test_limit_counts_usable_examples_and_reads_no_further(tmp_path: Path) -> None:
    lines = [json.dumps(qa(str(number))) for number in range(30)] + ["{broken"]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert len(read_examples(path, limit=25).examples) == 25
    with pytest.raises(ConfigError):
        read_examples(path, limit=0)


def test_a_row_of_several_instances_is_several_examples_or_one_reject(tmp_path: Path) -> None:
    instances = [{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]
    record = {"id": "seed", "instruction": "Do.", "instances": instances}
    broken = {**record, "instances": [*instances, {"input": "e"}]}
    found = read_examples(jsonl(tmp_path / "a.jsonl", record, broken), on_bad_rows="skip")
    assert [example.id for example in found.examples] == ["seed", "seed#2"]
    assert len(found.rejects) == 1


def test_a_headerless_table_by_a_mapping(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", '"Two"\\n?\t4\tBecause.\n\n')
    mapping = ColumnMapping.parse(
        "question,answer,rationale", prompt="question", completion=r"{rationale}\nSo {answer}.", unescape=True
    )
    found = read_examples(path, columns=mapping, task="sums")
    assert [message.content for message in found.examples[0].messages] == ['"Two"\n?', "Because.\nSo 4."]
    assert found.format == "columns"
    assert found.examples[0].record == {"question": '"Two"\\n?', "answer": "4", "rationale": "Because."}


def test_names_alone_let_a_headerless_table_be_detected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "q\ta\n")
    assert read_examples(path, columns=ColumnMapping.parse("question,answer")).format == "question-answer"


def test_keys_fold_white_space_and_tell_contents_apart(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        qa("two  words", "a"),
        qa("two\nwords ", "a"),
        qa("two words", "b"),
        qa("c", "a"),
    )
    one, same, other_answer, other_question = read_examples(path).examples
    assert content_key(one) == content_key(same) != content_key(other_answer)
    assert prompt_key(one) == prompt_key(other_answer) != prompt_key(other_question)


def test_keys_do_not_depend_on_how_the_same_exchange_was_written(tmp_path: Path) -> None:
    chat = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0.5}]
    }
    records = [qa(), {"prompt": "q", "completion": "a"}, {"instruction": "q", "output": "a"}, chat]
    keys = set()
    for number, record in enumerate(records):
        keys.add(content_key(read_examples(jsonl(tmp_path / f"{number}.jsonl", record)).examples[0]))
    assert len(keys) == 1


def test_dataset_info_names_file_columns_and_tags(tmp_path: Path) -> None:
    info = {
        "sums": {"file_name": "sums.json", "columns": {"prompt": "ask", "query": "more", "response": "say"}},
        "talk": {
            "file_name": "talk.json",
            "formatting": "sharegpt",
            "columns": {"messages": "talk", "system": "sys"},
            "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "me", "assistant_tag": "you"},
        },
        "pairs": {
            "file_name": "pairs.json",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "talk", "chosen": "good", "rejected": "bad"},
        },
        "nowhere": {},
        "odd": {"file_name": "x.json", "formatting": "xml"},
    }
    file = write(tmp_path / "dataset_info.json", json.dumps(info))
    write(
        tmp_path / "sums.json",
        json.dumps([{"ask": "a", "more": "b", "say": "c", "system": "not mapped", "id": 3}]),
    )
    turns = [{"who": "me", "what": "a"}, {"who": "you", "what": "b"}]
    write(tmp_path / "talk.json", json.dumps([{"talk": turns, "sys": "s"}]))
    pair = {
        "talk": [{"from": "human", "value": "a"}],
        "good": {"from": "gpt", "value": "b"},
        "bad": {"from": "gpt", "value": "c"},
    }
    write(tmp_path / "pairs.json", json.dumps([pair]))

    sums = read_examples(f"{file}:sums").examples[0]
    assert [message.content for message in sums.messages] == ["a\nb", "c"]
    assert sums.id == "3"
    talk = read_examples(f"{file}:talk").examples[0]
    assert [(message.role, message.content) for message in talk.messages] == [
        ("system", "s"),
        ("user", "a"),
        ("assistant", "b"),
    ]
    rejected = read_examples(f"{file}:pairs", response="rejected").examples[0]
    assert rejected.messages[-1].content == "c"
    for name, says in (
        ("missing", "has no entry 'missing'"),
        ("nowhere", "neither file_name"),
        ("odd", "'xml'"),
    ):
        with pytest.raises(DataError, match=says):
            read_examples(f"{file}:{name}")
    with pytest.raises(DataError, match=r"dataset_info\.json:NAME"):
        read_examples(file)


SCALARS = st.sampled_from([None, True, -1, 2.5, float("nan"), "", " ", "word", "[1]", "\ud800"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "from", "value", "type", "text", "function", "name", "arguments", "human"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
FIELDS = sorted(
    {key for row in FORMATS for key in json.loads(row.sample)} | {"history", "system", "tools", "task", "id"}
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(FORMATS), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), st.booleans())
def test_any_record_is_read_or_refused_with_a_reason(
    row: Any, fields: dict[str, Any], onto_sample: bool
) -> None:
    record = {**json.loads(row.sample), **fields} if onto_sample else fields
    try:
        for draft in row.read(record, Options()):
            checked(draft)
    except RowError as problem:
        assert str(problem)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.one_of(VALUES, st.fixed_dictionaries({"question": VALUES, "answer": VALUES})),
        min_size=1,
        max_size=5,
    )
)
def test_every_row_of_any_file_becomes_an_example_or_a_reject(
    tmp_path_factory: Any, records: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [qa("first"), *records]
    found = read_examples(jsonl(folder / "a.jsonl", *rows), format="question-answer", on_bad_rows="skip")
    assert len(found.examples) + len(found.rejects) == len(rows)
    assert all(isinstance(example, Example) for example in found.examples)
    write_rejects(folder / "rejects.jsonl", found.rejects)
    written = (folder / "rejects.jsonl").read_bytes().decode("utf-8")
    assert written.count("\n") == len(found.rejects)
