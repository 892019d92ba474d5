"""Rows out of every kind of file, and what becomes of damaged ones."""

import gzip
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from assay.data.tables import BadRow, read_rows
from assay.errors import DataError
from tests.data.helpers import write

ROWS = [{"question": "二足す二は?", "answer": "四\nです"}, {"question": 'say "hi"', "answer": "hi, there"}]


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS), encoding="utf-8")


def as_object(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8")


def as_jsonl(path: Path) -> None:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n", encoding="utf-8")


def as_csv(path: Path) -> None:
    cells = ["question,answer", '二足す二は?,"四\nです"', '"say ""hi""","hi, there"']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(cells).encode())


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def as_arrow_file(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def as_arrow_stream(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


WRITERS: list[tuple[str, Callable[[Path], None]]] = [
    ("rows.json", as_json),
    ("object.json", as_object),
    ("lines-named.json", as_jsonl),
    ("rows.jsonl", as_jsonl),
    ("rows.csv", as_csv),
    ("rows.parquet", as_parquet),
    ("file.arrow", as_arrow_file),
    ("stream.arrow", as_arrow_stream),
]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("name", "fill"), WRITERS, ids=[name for name, _ in WRITERS])
def test_every_kind_of_file_gives_the_same_rows(
    tmp_path: Path, name: str, fill: Callable[[Path], None], zipped: bool
) -> None:
    path = tmp_path / name
    fill(path)
    if zipped:
        path = write(tmp_path / f"{name}.gz", gzip.compress(path.read_bytes()))
    assert list(read_rows(path)) == [(1, ROWS[0]), (2, ROWS[1])]


def test_one_object_is_one_row(tmp_path: Path) -> None:
    path = write(tmp_path / "one.json", json.dumps({"messages": [{"role": "user", "content": "a"}]}))
    assert [row for row, _ in read_rows(path)] == [1]


def test_tsv_is_literal_unless_asked_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", 'a\tb\r\n"He said" so\t"x"\n')
    assert list(read_rows(path)) == [(1, {"a": '"He said" so', "b": '"x"'})]
    path = write(tmp_path / "q.tsv", 'a\tb\n"two\nlines"\t"x"\n')
    assert list(read_rows(path, quoted=True)) == [(1, {"a": "two\nlines", "b": "x"})]


def test_names_stand_in_for_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "q\ta\nq2\ta2\n")
    assert next(read_rows(path, names=("question", "answer"))) == (1, {"question": "q", "answer": "a"})


def test_bad_lines_are_bad_rows_with_their_numbers(tmp_path: Path) -> None:
    lines = [b'{"a": 1}', b'{"a": ', b'{"a": "\xff"}', b"", b"[1]", b"[" * 100_000, b'{"a": 2}']
    rows = dict(read_rows(write(tmp_path / "r.jsonl", b"\n".join(lines))))
    assert [row for row, record in rows.items() if isinstance(record, BadRow)] == [2, 3, 5, 6]
    assert rows[7] == {"a": 2}
    reasons = [record.reason for record in rows.values() if isinstance(record, BadRow)]
    assert reasons[0].startswith("broken JSON")
    assert reasons[1] == "not UTF-8: byte 0xff at position 8"
    assert "must be an object" in reasons[2]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_ragged_and_undecodable_table_rows_are_bad_rows(tmp_path: Path, kind: str) -> None:
    text = b"a,b\n1,2\n1\n1,2,3\n\xff,2\n3,4\n"
    path = write(tmp_path / f"t.{kind}", text if kind == "csv" else text.replace(b",", b"\t"))
    kinds = [isinstance(record, BadRow) for _, record in read_rows(path)]
    assert kinds == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("name", "header", "says"),
    [
        ("t.csv", "question;answer", "separated by semicolons; save it with commas"),
        ("t.csv", '"question";"answer"', "separated by semicolons; save it with commas"),
        ("t.csv.gz", "question;answer", "separated by semicolons"),
        ("t.csv", "question\tanswer", "separated by tabs; save it with commas"),
        ("t.tsv", "question,answer", "separated by commas; save it with tabs"),
    ],
)
def test_a_table_with_another_separator_is_told_which(
    tmp_path: Path, name: str, header: str, says: str
) -> None:
    content = f"{header}\n1 2\n".encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=says) as raised:
        list(read_rows(path))
    assert name in str(raised.value)
    assert len(str(raised.value).replace(str(path), "").split(". ")) == 1, "one sentence"


def test_without_a_header_the_rows_are_told_which_separator_they_have(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "one;1\ntwo,2\nthree\n")
    first, second, third = (record for _, record in read_rows(path, names=("q", "a")))
    assert isinstance(first, BadRow) and isinstance(third, BadRow)
    assert first.reason.endswith("are expected; they seem to be separated by semicolons")
    assert second == {"q": "two", "a": "2"}
    assert third.reason.endswith("are expected")


def test_a_quote_that_never_closes_is_a_bad_row(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "t.csv", 'a,b\n1,2\n"open,2\n')))
    assert rows[0] == (1, {"a": "1", "b": "2"})
    assert isinstance(rows[1][1], BadRow)


def test_parquet_text_that_is_not_utf8_is_one_bad_row(tmp_path: Path) -> None:
    good, bad = b"fine", b"\xff\xfe"
    column = pa.array([good, bad, good], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"a": column}), tmp_path / "t.parquet")
    rows = [record for _, record in read_rows(tmp_path / "t.parquet")]
    assert [isinstance(record, BadRow) for record in rows] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("t.xlsx", b"PK", "cannot tell the kind"),
        ("noise.json", bytes(range(256)), "cannot be read"),
        ("noise.parquet", bytes(range(256)), "cannot be read"),
        ("noise.arrow", bytes(range(256)), "cannot be read"),
        ("noise.csv.gz", b"\x1f\x8b" + bytes(range(256)), "gzip"),
        ("wide.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16"),
        ("number.json", b"3", "neither a list nor an object"),
        ("two.json", b'{"train": [{"a": 1}], "test": [{"a": 1}]}', "several lists"),
        ("head.csv", b"a,a\n1,2\n", "repeats a name"),
        ("deep.json", b"[" * 100_000, "cannot be read"),
        ("nan.json", b'[{"a": ' + b"9" * 5000 + b"}]", "cannot be read"),
    ],
)
def test_files_that_make_no_sense_are_one_clear_error(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=says) as raised:
        list(read_rows(path))
    assert name in str(raised.value)


@pytest.mark.parametrize(("name", "fill"), WRITERS, ids=[name for name, _ in WRITERS])
def test_a_file_cut_off_anywhere_never_raises_anything_else(
    tmp_path: Path, name: str, fill: Callable[[Path], None]
) -> None:
    whole = tmp_path / name
    fill(whole)
    data = whole.read_bytes()
    zipped = gzip.compress(data)
    for cut in range(1, len(data), max(1, len(data) // 40)):
        for path in (
            write(tmp_path / f"cut-{name}", data[:cut]),
            write(tmp_path / f"cut-{name}.gz", zipped[:cut]),
        ):
            try:
                list(read_rows(path))
            except DataError as error:
                assert path.name in str(error)


@pytest.mark.parametrize(("name", "fill"), WRITERS, ids=[name for name, _ in WRITERS])
def test_a_file_with_flipped_bytes_never_raises_anything_else(
    tmp_path: Path, name: str, fill: Callable[[Path], None]
) -> None:
    whole = tmp_path / name
    fill(whole)
    data = whole.read_bytes()
    for place in range(0, len(data), max(1, len(data) // 60)):
        damaged = data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]
        path = write(tmp_path / f"flipped-{name}", damaged)
        try:
            list(read_rows(path))
        except DataError as error:
            assert path.name in str(error)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl does not exist"):
        read_rows("nowhere.jsonl")


def test_a_saved_dataset_folder_is_read_and_a_strange_folder_is_not(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "many" / "train"):
        folder.mkdir(parents=True)
        as_arrow_stream(folder / "data-00000-of-00001.arrow")
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
        (folder / "state.json").write_text(json.dumps(state))
    (tmp_path / "many" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for folder in (tmp_path / "one", tmp_path / "many"):
        assert [record for _, record in read_rows(folder)] == ROWS
    with pytest.raises(DataError, match="`datasets` did not write"):
        list(read_rows(tmp_path))
    (tmp_path / "one" / "state.json").write_text("{}")
    with pytest.raises(DataError, match="does not list its data files"):
        list(read_rows(tmp_path / "one"))


def test_hub_names_are_parsed_and_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> list[dict[str, str]]:
        asked.append((name, config, split, streaming))
        if name == "me/none":
            raise FileNotFoundError("no such dataset")
        return [{"a": "b"}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert list(read_rows("hub:me/data:main@test")) == [(1, {"a": "b"})]
    assert list(read_rows("hub:me/data")) == [(1, {"a": "b"})]
    assert asked == [("me/data", "main", "test", True), ("me/data", None, "train", True)]
    with pytest.raises(DataError, match="no such dataset"):
        list(read_rows("hub:me/none"))
    with pytest.raises(DataError, match="not of the form"):
        list(read_rows("hub:data"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"assay\[hub\]"):
        list(read_rows("hub:me/data"))
