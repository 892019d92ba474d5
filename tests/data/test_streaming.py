"""Reading row by row: what reading at once says, and no memory of the rows that have passed."""

import gc
import gzip
import json
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.data import readers as module
from assay.data.example import Example, Message, Reject, Source
from assay.data.numbering import Numbering
from assay.data.readers import read_examples, stream_examples
from assay.errors import ConfigError, DataError
from tests.data.helpers import write


def jsonl(path: Path, *records: Any) -> Path:
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


def qa(question: str, **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": "a", **more}


def named(*ids: str | None) -> list[dict[str, Any]]:
    return [qa(str(at), **({} if one is None else {"id": one})) for at, one in enumerate(ids)]


def streamed(path: Path, **how: Any) -> list[str]:
    return [outcome.id for outcome in stream_examples(path, **how) if isinstance(outcome, Example)]


IDS = st.lists(st.sampled_from([None, "a", "b", "a#2", "a#3", "a#02", "a#2#2", "#2", "a#"]), max_size=9)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(IDS, st.one_of(st.none(), st.integers(1, 9)), st.sets(st.integers(0, 9)))
def test_streaming_says_what_reading_at_once_says(
    tmp_path_factory: Any, ids: list[str | None], limit: int | None, bad: set[int]
) -> None:
    rows: list[Any] = [qa("same")] + [qa("same", **({} if one is None else {"id": one})) for one in ids]
    lines = ["{broken" if at in bad and at else json.dumps(row) for at, row in enumerate(rows)]
    path = write(tmp_path_factory.mktemp("any") / "a.jsonl", "\n".join(lines))
    whole = read_examples(path, on_bad_rows="skip", limit=limit)
    stream = stream_examples(path, on_bad_rows="skip", limit=limit)
    outcomes = list(stream)
    assert tuple(one for one in outcomes if isinstance(one, Example)) == whole.examples
    assert tuple(one for one in outcomes if isinstance(one, Reject)) == whole.rejects
    assert (stream.notes, stream.format) == (whole.notes, whole.format)
    kept = [one.id for one in whole.examples]
    assert len(set(kept)) == len(kept)


def test_a_number_never_takes_an_id_that_comes_later(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", *named("a", "a", "a#2", "a", "a#3", "a#2"))
    expected = ["a", "a#4", "a#2", "a#5", "a#3", "a#2#2"]
    assert streamed(path) == expected
    assert [example.id for example in read_examples(path).examples] == expected


def test_the_source_is_read_once_more_at_the_first_repeat_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = module.read_rows
    monkeypatch.setattr(
        module, "read_rows", lambda place, **how: opened.append(str(place)) or real(place, **how)
    )
    streamed(jsonl(tmp_path / "a.jsonl", *named("a", "b", "c")))
    assert len(opened) == 1
    streamed(jsonl(tmp_path / "b.jsonl", *named("a", "a", "b", "b")))
    assert len(opened) == 3
    read_examples(tmp_path / "b.jsonl")
    assert len(opened) == 4


def test_a_shared_numbering_makes_ids_unique_over_sources(tmp_path: Path) -> None:
    files = [
        jsonl(tmp_path / "a.jsonl", *named("x", "y", "x")),
        jsonl(tmp_path / "b.jsonl", *named("x", "x#2", "y")),
    ]
    numbering = Numbering(lambda: (name for file in files for name in stream_examples(file).ids()))
    streams = [stream_examples(file, numbering=numbering) for file in files]
    found = [[one.id for one in stream if isinstance(one, Example)] for stream in streams]
    assert found == [["x", "y", "x#3"], ["x#4", "x#2", "y#2"]]
    assert [len(stream.notes) for stream in streams] == [2, 2]


def test_only_ids_that_could_collide_are_kept_of_what_comes_later() -> None:
    asked = 0

    def ahead() -> list[str]:
        nonlocal asked
        asked += 1
        return ["a", "b", "a#2", "b#x"]

    numbering = Numbering(ahead)
    example = Example("a", (Message("user", "q"),), Source("f", 1))
    assert [numbering.unique(example).id for _ in range(4)] == ["a", "a#3", "a#4", "a#5"]
    assert (asked, numbering.repeated) == (1, 3)
    assert numbering._carried == {"a#2"}


def test_a_bad_row_stops_the_stream_where_it_stands(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in named(*(f"{n}" for n in range(25)))]
    path = write(tmp_path / "a.jsonl", "\n".join([*lines, "{broken"]))
    came = []
    with pytest.raises(DataError, match=r"row 26: broken JSON.*--on-bad-rows skip"):
        came.extend(stream_examples(path))
    assert len(came) == 25
    assert len(streamed(path, limit=25)) == 25


def test_a_source_of_which_nothing_can_be_used_is_an_error_at_its_end(tmp_path: Path) -> None:
    stream = stream_examples(jsonl(tmp_path / "a.jsonl", qa(" ")), on_bad_rows="skip")
    with pytest.raises(DataError, match="no row can be used; row 1: field 'question' is empty"):
        list(stream)
    for path, says in ((write(tmp_path / "b.jsonl", ""), "is empty"), (tmp_path / "c.jsonl", "not exist")):
        with pytest.raises(DataError, match=says):
            stream_examples(path)
    with pytest.raises(ConfigError):
        stream_examples(tmp_path / "a.jsonl", limit=0)


def test_no_example_outlives_its_turn(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", *named(*(f"{n}" for n in range(60))))
    alive: list[weakref.ref[dict[str, Any]]] = []

    class Row(dict[str, Any]):
        pass

    def watched(place: Any, **how: Any) -> Any:
        for number in range(1, 61):
            row = Row(qa(str(number), id=str(number)))
            alive.append(weakref.ref(row))
            yield number, row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_rows", watched)
        for _ in stream_examples(path):
            assert sum(ref() is not None for ref in alive) <= module.LOOKED_AT + 2


def fill(path: Path, count: int) -> None:
    """`count` rows of about 600 bytes, as the name of the file says."""
    rows = [{"id": f"{n:06d}", "question": f"q {n} " + "x" * 500, "answer": "a" * 50} for n in range(count)]
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if kind == "jsonl":
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    elif kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        path.write_text("".join(mark.join(cells) + "\n" for cells in [rows[0], *(r.values() for r in rows)]))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        table = pa.Table.from_pylist(rows)
        with ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=500)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv", "a.parquet", "a.arrow"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    def peak(count: int) -> int:
        fill(tmp_path / name, count)
        next(iter(stream_examples(tmp_path / name)))
        gc.collect()
        tracemalloc.start()
        try:
            for _ in stream_examples(tmp_path / name):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(1200), peak(3600)
    assert many < few + 2400 * 300, f"{few:,} bytes for 1,200 rows, {many:,} for 3,600"
