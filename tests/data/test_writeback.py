"""Kept rows back out as they came in: every kind of file, every format, nasty bytes, weights, refusals."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data import copying_arrow, copying_files
from assay.data.columns import ColumnMapping
from assay.data.copying import Copied, Wanted, copy_json, copy_jsonl, copy_table
from assay.data.example import Example, Source
from assay.data.readers import read_examples
from assay.data.rows import BadRow
from assay.data.tables import read_rows
from assay.data.text_rows import json_rows, jsonl_rows, table_rows
from assay.data.writeback import KeptRows, SourceState, Written, kept_rows, write_back
from assay.errors import ConfigError, DataError
from tests.data.helpers import write

TEXT = [
    "plain",
    "two\nlines",
    'a "quoted", cell',
    "tab\there",
    "  x ",
    "z\u2028z",
    "二足す二は?",
    "\\n {x}",
]


def conversation(role: str, content: str, human: str, gpt: str, key: str) -> Callable[[str], dict[str, Any]]:
    return lambda text: {key: [{role: human, content: text}, {role: gpt, content: f"answer to {text}"}]}


FORMATS: dict[str, Callable[[str], dict[str, Any]]] = {
    "tokens": lambda text: {"input_ids": [1, len(text), 9], "labels": [-100, len(text), 9]},
    "preference": lambda text: {"prompt": text, "chosen": f"good {text}", "rejected": "bad"},
    "messages": conversation("role", "content", "user", "assistant", "messages"),
    "sharegpt": conversation("from", "value", "human", "gpt", "conversations"),
    "swift-conversation": lambda text: {"conversation": [{"human": text, "assistant": "yes"}]},
    "instances": lambda text: {
        "instruction": text,
        "instances": [{"input": "a", "output": "b"}, {"input": "c", "output": text}],
    },
    "alpaca": lambda text: {"instruction": text, "input": "", "output": "yes", "history": [["q", "a"]]},
    "prompt-completion": lambda text: {"prompt": text, "completion": text},
    "query-response": lambda text: {"query": text, "response": "yes"},
    "question-answer": lambda text: {"question": text, "answer": text, "task": "t"},
    "text": lambda text: {"text": text},
}
FLAT = ("prompt-completion", "query-response", "question-answer", "text")


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def as_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8")


def as_object(path: Path, rows: list[dict[str, Any]]) -> None:
    whole = {"version": [1, {"data": "]"}], "data": rows, "end": "}"}
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)


def as_arrow_file(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def as_arrow_stream(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def as_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text

    lines = [",".join(rows[0]), *(",".join(map(cell, row.values())) for row in rows)]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())


FILES: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "rows.jsonl": as_jsonl,
    "lines-named.json": as_jsonl,
    "rows.json": as_json,
    "object.json": as_object,
    "rows.parquet": as_parquet,
    "file.arrow": as_arrow_file,
    "stream.arrow": as_arrow_stream,
    "rows.csv": as_csv,
}


def keep(source: Path, rows: Sequence[int], folder: Path, **more: Any) -> Written:
    return write_back([KeptRows(str(source), tuple(rows))], folder, **more)


def weighted(source: Path, rows: dict[int, float], folder: Path, **more: Any) -> Written:
    return write_back([KeptRows(str(source), tuple(rows), tuple(rows.values()))], folder, **more)


def unplaced(examples: Sequence[Example]) -> list[Example]:
    """Without place and id (a repeated id is numbered by what stands before it)."""
    return [replace(example, source=Source("", 0), id="") for example in examples]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("format", FORMATS)
def test_reading_what_was_written_gives_exactly_the_kept_examples(
    tmp_path: Path, format: str, file: str, zipped: bool
) -> None:
    if file == "rows.csv" and format not in FLAT:
        pytest.skip("no table holds lists")
    path = tmp_path / file
    FILES[file](path, [FORMATS[format](text) for text in TEXT])
    if zipped:
        path = write(tmp_path / f"{file}.gz", gzip.compress(path.read_bytes()))
    pool = read_examples(path).examples
    draw = np.random.default_rng(len(format) + len(file))
    for count in (1, 3, len(TEXT)):
        rows = sorted(draw.permutation(len(TEXT))[:count] + 1)
        mask = np.array([example.source.row in rows for example in pool])
        kept = kept_rows(
            [example.source.file for example in pool],
            np.array([example.source.row for example in pool]),
            mask,
        )
        (target,) = write_back(kept, tmp_path / f"kept{count}").files
        assert target.name == path.name
        assert (target.read_bytes()[:2] == b"\x1f\x8b") == zipped
        found = read_examples(target)
        assert unplaced(found.examples) == unplaced([e for e, k in zip(pool, mask, strict=True) if k])
        assert found.format == format


def test_lines_of_jsonl_keep_their_bytes(tmp_path: Path) -> None:
    lines = [
        b'{"text": "\\u00e9\xc3\xa9", "n": 1.0e5, "n": 2}\r\n',
        b"\r\n",
        b'  {"text":"\xe2\x80\xa8 stays in its line \xc2\x85"}  \n',
        b"   \n",
        b'{"text": broken\n',
        b'{"text": "no end of line", "x": NaN}',
    ]
    source = write(tmp_path / "nasty.jsonl", b"\xef\xbb\xbf" + b"".join(lines))
    (target,) = keep(source, [1, 3, 6], tmp_path / "out").files
    assert target.read_bytes() == b"\xef\xbb\xbf" + lines[0] + lines[2] + lines[5]
    (target,) = keep(source, [3], tmp_path / "one").files
    assert target.read_bytes() == b"\xef\xbb\xbf" + lines[2]


def test_items_of_json_keep_their_bytes_and_what_is_around_them(tmp_path: Path) -> None:
    head, tail = '\n{"a": [1e5, "]"], "rows": [\n  ', '\n], "rows2": {}}\n'
    items = ['{"text": "\\u00e9", "n": 1.0}', ',\n  {"text": "é"}', ' , {"text":"z"}']
    source = write(tmp_path / "o.json", "\ufeff" + head + "".join(items) + tail)
    (target,) = keep(source, [1, 3], tmp_path / "out").files
    assert target.read_text("utf-8") == "\ufeff" + head + items[0] + items[2] + tail
    (target,) = keep(source, [2], tmp_path / "two").files
    assert json.loads(target.read_text("utf-8-sig"))["rows"] == [{"text": "é"}]
    alone = write(tmp_path / "alone.json", ' {"text": "only",\n "x": 1.50} \n')
    (target,) = keep(alone, [1], tmp_path / "out").files
    assert target.read_bytes() == alone.read_bytes()


def test_a_repeated_name_in_json_counts_as_the_reader_counts_it(tmp_path: Path) -> None:
    source = write(tmp_path / "twice.json", '{"data": 3, "data": [{"text": "a"}, {"text": "b"}]}')
    (target,) = keep(source, [2], tmp_path / "out").files
    assert [record for _, record in read_rows(target)] == [{"text": "b"}]


def test_one_line_left_of_jsonl_named_json_is_still_one_row(tmp_path: Path) -> None:
    lines = ['{"text": "a", "items": [{"text": "not a row"}]}', '{"text": "b", "items": []}']
    source = write(tmp_path / "lines.json", "\n".join(lines))
    assert [row for row, _ in read_rows(source)] == [1, 2]
    (target,) = keep(source, [1], tmp_path / "out").files
    assert [record for _, record in read_rows(target)] == [json.loads(lines[0])]


def test_records_of_csv_keep_quoting_and_line_ends(tmp_path: Path) -> None:
    head = b'\r\n"text", note\r\n'
    good = [b'"a ""b""\r\nc\xe2\x80\xa8",\n', b'plain,"x"\r', b'"last\n\n",z']
    records = [good[0], b"\n\r\n", good[1], b"ragged\n", b'\xff,"y"\n', good[2]]
    source = write(tmp_path / "t.csv", b"\xef\xbb\xbf" + head + b"".join(records))
    kinds = {row: isinstance(record, BadRow) for row, record in read_rows(source)}
    assert kinds == {1: False, 2: False, 3: True, 4: True, 5: False}
    (target,) = keep(source, [1, 2, 5], tmp_path / "out").files
    assert target.read_bytes() == b"\xef\xbb\xbf" + head[2:] + b"".join(good)


def test_tables_without_a_header_and_literal_tsv_are_copied_as_they_were_read(tmp_path: Path) -> None:
    source = write(tmp_path / "t.tsv", '"one\tq1\r\n\n two"\tq2\n"three\tq3')
    mapping = {str(source): ColumnMapping(names=("a", "b"))}
    (target,) = keep(source, [1, 3], tmp_path / "out", mappings=mapping).files
    assert target.read_bytes() == b'"one\tq1\r\n"three\tq3'
    quoted = write(tmp_path / "q.tsv", 'a\tb\n"two\nlines"\tx\n"y"\tz\n')
    (target,) = keep(quoted, [1], tmp_path / "out", mappings={str(quoted): ColumnMapping(quoted=True)}).files
    assert target.read_bytes() == b'a\tb\n"two\nlines"\tx\n'


def copied(
    copy: Callable[..., Copied], data: bytes, rows: dict[int, float], weight: bool, **how: Any
) -> bytes:
    sink = io.BytesIO()
    done = copy(io.BytesIO(data), sink, Wanted(rows, "w é", weight), **how)
    assert done.written == len(rows)
    return sink.getvalue()


SIGNS = ["a", "é", "\u2028", ",", "\t", '"', '""', "\n", "\r", "\r\n", " ", "\udcff"]


@settings(deadline=None, max_examples=80)
@given(
    drawn=st.lists(st.sampled_from(SIGNS), max_size=40),
    delimiter=st.sampled_from(",\t"),
    quoted=st.booleans(),
    data=st.data(),
)
def test_any_table_gives_back_the_rows_that_were_kept(
    drawn: list[str], delimiter: str, quoted: bool, data: st.DataObject
) -> None:
    def read(table: bytes) -> list[tuple[int, Any]]:
        return list(table_rows(io.BytesIO(table), (), delimiter, quoted=quoted))

    table = (f"a{delimiter}b\n" + "".join(drawn)).encode("utf-8", "surrogateescape")
    rows = dict(read(table))
    good = [row for row, record in rows.items() if not isinstance(record, BadRow)]
    kept = {row: row / 8 for row in sorted(data.draw(st.sets(st.sampled_from(good or [1]))) & {*good})}
    how = {"delimiter": delimiter, "quoted": quoted, "header": True}
    assert read(copied(copy_table, table, kept, False, **how)) == [
        (place, rows[row]) for place, row in enumerate(kept, start=1)
    ]
    assert read(copied(copy_table, table, kept, True, **how)) == [
        (place, {**rows[row], "w é": str(weight)})
        for place, (row, weight) in enumerate(kept.items(), start=1)
    ]


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.dictionaries(st.text(max_size=2), values, max_size=3), min_size=1, max_size=5),
    shape=st.sampled_from(["list", "object", "lines"]),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", " \n\n"]),
    data=st.data(),
)
def test_any_json_gives_back_the_rows_that_were_kept(
    rows: list[dict[str, Any]],
    shape: str,
    indent: int | None,
    ascii_only: bool,
    end: str,
    data: st.DataObject,
) -> None:
    if shape == "lines":
        text = "".join(json.dumps(row, ensure_ascii=ascii_only) + end for row in rows)
    else:
        whole = rows if shape == "list" else {"x": "[", "train": rows, "y": [{}]}
        text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    source = text.encode("utf-8")
    for copy, reader in ((copy_json, json_rows), (copy_jsonl, jsonl_rows)):
        if (copy is copy_jsonl) != (shape == "lines") and (shape != "lines" or not rows[0]):
            continue
        read = dict(reader(io.BytesIO(source)))
        kept = dict.fromkeys(sorted(data.draw(st.sets(st.sampled_from(sorted(read)), min_size=1))), 0.5)
        again = [record for _, record in reader(io.BytesIO(copied(copy, source, kept, False)))]
        assert again == [read[row] for row in kept]
        again = [record for _, record in reader(io.BytesIO(copied(copy, source, kept, True)))]
        assert again == [{**read[row], "w é": 0.5} for row in kept]


def test_parquet_keeps_schema_metadata_and_compression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = pa.schema(
        [
            pa.field("text", pa.large_string(), metadata={"unit": "words"}),
            ("when", pa.timestamp("us")),
            ("kind", pa.dictionary(pa.int8(), pa.string())),
        ],
        metadata={"huggingface": "{}"},
    )
    rows = [{"text": str(i), "when": i, "kind": "ab"[i % 2]} for i in range(3000)]
    table = pa.Table.from_pylist(rows, schema)
    source = tmp_path / "t.parquet"
    pq.write_table(table, source, compression="zstd", row_group_size=700)
    kept = [*range(1, 3001, 7)]
    (target,) = keep(source, kept, tmp_path / "out").files
    assert pq.read_table(target).equals(table.take([row - 1 for row in kept]), check_metadata=True)
    assert pq.read_metadata(target).row_group(0).column(0).compression == "ZSTD"
    assert pq.read_metadata(target).num_row_groups == 1
    monkeypatch.setattr(copying_arrow, "GROUP_ROWS", 100)
    (target,) = keep(source, kept, tmp_path / "groups").files
    assert pq.read_table(target).equals(table.take([row - 1 for row in kept]), check_metadata=True)
    assert pq.read_metadata(target).num_row_groups > 1


def test_arrow_stays_a_file_or_a_stream_with_its_schema(tmp_path: Path) -> None:
    for name, fill, opened in (
        ("f.arrow", as_arrow_file, ipc.open_file),
        ("s.arrow", as_arrow_stream, ipc.open_stream),
    ):
        fill(tmp_path / name, [{"text": text} for text in TEXT])
        (target,) = keep(tmp_path / name, [2, 5, 8], tmp_path / "out").files
        with opened(pa.OSFile(str(target))) as reader:
            assert reader.read_all().to_pylist() == [{"text": TEXT[i]} for i in (1, 4, 7)]


def test_weights_are_one_more_field_and_all_else_stands(tmp_path: Path) -> None:
    weights = {1: 1.25, 3: 0.1234567}
    lines = '{"text": "a"}\r\n{"text": "b"}\n{"text":"c" }'
    (target,) = weighted(write(tmp_path / "w.jsonl", lines), weights, tmp_path / "out").files
    assert target.read_bytes() == b'{"text": "a", "weight": 1.25}\r\n{"text":"c", "weight": 0.123457 }'
    pretty = json.dumps([{"text": "a"}, {"text": "b"}, {}], indent=2)
    (target,) = weighted(write(tmp_path / "w.json", pretty), weights, tmp_path / "out").files
    assert (
        target.read_text() == '[\n  {\n    "text": "a",\n    "weight": 1.25\n  },\n  {"weight": 0.123457}\n]'
    )
    table = 'text,x\n"a\nb",1 \r\nc,2\n"d",""'
    (target,) = weighted(write(tmp_path / "w.csv", table), weights, tmp_path / "out").files
    assert target.read_bytes() == b'text,x,weight\n"a\nb",1 ,1.25\r\n"d","",0.123457'
    for name, fill in (("w.parquet", as_parquet), ("w.arrow", as_arrow_stream), ("v.arrow", as_arrow_file)):
        fill(tmp_path / name, [{"text": text} for text in TEXT])
        (target,) = weighted(tmp_path / name, weights, tmp_path / "out").files
        assert [record for _, record in read_rows(target)] == [
            {"text": TEXT[0], "weight": 1.25},
            {"text": TEXT[2], "weight": 0.123457},
        ]


def test_a_weight_column_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    rows = [{"text": "a", "weight": "3"}]
    for name, fill in FILES.items():
        fill(tmp_path / name, rows)
        with pytest.raises(ConfigError, match=f"{name}: its rows have 'weight' already; rename it there"):
            weighted(tmp_path / name, {1: 1.0}, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        (target,) = weighted(tmp_path / name, {1: 1.0}, tmp_path / f"kept {name}", weight_column="w").files
        assert "w" in next(read_rows(target))[1]  # type: ignore[operator]


def test_a_folder_of_datasets_becomes_jsonl(tmp_path: Path) -> None:
    folder = tmp_path / "myset"
    folder.mkdir()
    rows = [{"text": text, "when": None, "x": 1.5} for text in TEXT]
    as_arrow_stream(folder / "data-0.arrow", rows[:5])
    as_arrow_stream(folder / "data-1.arrow", rows[5:])
    parts = [{"filename": f"data-{i}.arrow"} for i in (0, 1)]
    (folder / "state.json").write_text(json.dumps({"_data_files": parts}))
    done = keep(folder, [2, 6], tmp_path / "out")
    assert done.files == (tmp_path / "out" / "myset.jsonl",)
    assert [record for _, record in read_rows(done.files[0])] == [rows[1], rows[5]]
    assert done.notes == (f"{done.files[0]}: 2 of 8 rows of {folder} as JSONL.",)


def test_the_hub_becomes_jsonl_and_says_what_json_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": "a", "x": float("nan"), "raw": [b"b"]}, {"text": "\ud800", "x": 2.0, "raw": None}]
    monkeypatch.setattr(copying_files, "hub_rows", lambda source: iter(rows))
    done = write_back([KeptRows("hub:me/my set:main@train", (1, 2))], tmp_path)
    assert done.files[0].name == "me-my-set-main-train.jsonl"
    assert [record for _, record in read_rows(done.files[0])] == [
        {"text": "a", "x": None, "raw": ["b'b'"]},
        rows[1],
    ]
    assert "JSON has no values like those in raw, x" in done.notes[1]


def test_names_that_clash_are_numbered_and_empty_sources_are_told(tmp_path: Path) -> None:
    for part in ("a", "b", "c", "d"):
        (tmp_path / part).mkdir()
        as_jsonl(tmp_path / part / "set.x.jsonl", [{"text": part}])
    zipped = write(tmp_path / "e.csv.gz", gzip.compress(b"text\ne\n"))
    other = write(tmp_path / "a" / "E.CSV.GZ", gzip.compress(b"text\nf\n"))
    sources = [*(tmp_path / part / "set.x.jsonl" for part in "abcd"), zipped, other]
    kept = [KeptRows(str(source), (1,) if source.parent.name != "c" else ()) for source in sources]
    done = write_back(kept, tmp_path / "out")
    names = ["set.x.jsonl", "set.x-2.jsonl", "set.x-3.jsonl", "e.csv.gz", "E-2.CSV.GZ"]
    assert [file.name for file in done.files] == names
    assert [next(read_rows(file))[1] for file in done.files] == [{"text": part} for part in "abdef"]
    assert done.notes[-1] == f"{sources[2]}: nothing is kept, so it has no file."


def test_rows_of_several_examples_are_written_whole_and_told(tmp_path: Path) -> None:
    kept = kept_rows(
        ["f", "f", "f", "g", "f"],
        np.array([2, 2, 1, 1, 3]),
        np.array([True, False, True, False, True]),
        np.array([0.5, 0, 1.5, 0, 1]),
    )
    found = [(one.source, list(one.rows), list(one.weights or ()), one.partial) for one in kept]
    assert found == [("f", [1, 2, 3], [1.5, 0.5, 1.0], 1), ("g", [], [], 0)]
    source = tmp_path / "i.jsonl"
    as_jsonl(source, [FORMATS["instances"]("x")])
    (one,) = kept_rows([str(source)] * 2, np.array([1, 1]), np.array([True, False]))
    assert (
        "1 row with several examples of which some are dropped"
        in write_back([one], tmp_path / "out").notes[1]
    )


def test_an_entry_of_dataset_info_comes_with_the_entry_for_its_file(tmp_path: Path) -> None:
    form = {"formatting": "sharegpt", "columns": {"messages": "chat"}}
    info = tmp_path / "data" / "dataset_info.json"
    info.parent.mkdir()
    info.write_text(json.dumps({"chats": {"file_name": "s.json", "num_samples": 9, **form}}))
    chat = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    as_json(info.parent / "s.json", [{"chat": chat}, {"chat": chat[:1] * 2 + chat}])
    named = f"{info}:chats"
    pool = read_examples(named).examples
    source = pool[0].source.file
    done = write_back([KeptRows(source, (2,))], tmp_path / "out", entries={source: named})
    text = done.notes[1].split(f"add to {info}: ")[1]
    kept = json.loads(f"{{{text}}}")
    assert kept == {"chats_kept": {"file_name": "../out/s.json", **form}}
    info.write_text(json.dumps(kept))
    assert unplaced(read_examples(f"{info}:chats_kept").examples) == unplaced(pool[1:])


@pytest.mark.parametrize(
    ("state", "rows", "says"),
    [
        (SourceState(bytes=5), (1,), r"it has [\d,]+ bytes and had 5"),
        (SourceState(sha256="0" * 64), (1,), "its content differs"),
        (SourceState(rows=9), (1,), "it has 8 rows and had 9"),
        (SourceState(), (1, 9, 12), "2 rows of those to keep cannot be found in it"),
    ],
)
def test_a_source_that_changed_is_refused_and_nothing_is_written(
    tmp_path: Path, state: SourceState, rows: tuple[int, ...], says: str
) -> None:
    first = tmp_path / "first.jsonl"
    as_jsonl(first, [{"text": "a"}])
    for name, fill in FILES.items():
        source = tmp_path / name
        fill(source, [{"text": text} for text in TEXT])
        kept = [KeptRows(str(first), (1,)), KeptRows(str(source), rows)]
        with pytest.raises(DataError, match=f"{name} has changed since it was scored: {says}; sc"):
            write_back(kept, tmp_path / "out", states={str(source): state})
        assert not (tmp_path / "out").exists()


def test_an_unchanged_source_passes_and_a_missing_one_does_not(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    as_jsonl(source, [{"text": text} for text in TEXT])
    data = source.read_bytes()
    state = SourceState(len(data), hashlib.sha256(data).hexdigest(), 8)
    assert keep(source, [1], tmp_path / "out", states={str(source): state}).files[0].exists()
    source.unlink()
    with pytest.raises(
        DataError, match=r"a\.jsonl is not there any more, so its kept rows cannot be written\.$"
    ):
        keep(source, [1], tmp_path / "other")


def test_a_path_that_is_seen_from_another_folder_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"its path is from where it was scored, and this is {tmp_path}"):
        write_back([KeptRows("a.jsonl", (1,))], Path("out"))
    assert not Path("out").exists()


def test_a_source_of_which_nothing_is_kept_may_be_gone_but_not_changed(tmp_path: Path) -> None:
    source, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    as_jsonl(source, [{"text": text} for text in TEXT])
    as_jsonl(other, [{"text": "b"}])
    kept = [KeptRows(str(source), (1,)), KeptRows(str(other), ())]
    with pytest.raises(DataError, match=r"b\.jsonl has changed since it was scored"):
        write_back(kept, tmp_path / "out", states={str(other): SourceState(bytes=3)})
    assert not (tmp_path / "out").exists()
    other.unlink()
    assert len(write_back(kept, tmp_path / "out").files) == 1


def test_what_is_there_is_never_overwritten_unasked_and_a_source_never(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    as_jsonl(source, [{"text": text} for text in TEXT])
    before = source.read_bytes()
    for replacing in (False, True):
        with pytest.raises(ConfigError, match="is itself a source"):
            keep(source, [1], tmp_path, replace=replacing)
    keep(source, [1], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"out/a\.jsonl is there already"):
        keep(source, [2], tmp_path / "out")
    (target,) = keep(source, [2], tmp_path / "out", replace=True).files
    assert [record for _, record in read_rows(target)] == [{"text": TEXT[1]}]
    assert source.read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jsonl"]
    with pytest.raises(ConfigError, match="cannot be written to"):
        keep(source, [1], source)


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"text": "a"}\n' * 5000)
    for name, content in (
        ("cut.jsonl.gz", whole[: len(whole) // 2]),
        ("broken.json", b'[{"text": "a"},'),
        ("wide.json", b"\xff\xfe[]"),
        ("not.parquet", b"PAR1 but no more"),
        ("not.arrow", b"ARROW1 but no more"),
        ("rows.txt", b"text"),
    ):
        with pytest.raises(DataError, match=f"{name}: its rows cannot be copied: "):
            keep(write(tmp_path / name, content), [1], tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_the_same_rows_always_give_the_same_bytes(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl.gz", gzip.compress(b'{"text": "a"}\n{"text": "b"}\n', mtime=7))
    first, second = (keep(source, [2], tmp_path / name).files[0].read_bytes() for name in ("x", "y"))
    assert first == second
    assert first[4:8] == bytes(4), "the header of gzip holds no time"


def test_lines_are_copied_one_at_a_time() -> None:
    class Lines:
        """A file that can only be gone through, and knows how far the copy is behind."""

        def __init__(self, sink: io.BytesIO) -> None:
            self.sink = sink

        def __iter__(self):  # type: ignore[no-untyped-def]
            for row in range(1, 1001):
                assert self.sink.tell() == 14 * (row - 1)
                yield b'{"text": "a"}\n'

    sink = io.BytesIO()
    wanted = Wanted(dict.fromkeys(range(1, 1001), 1.0), "weight", False)
    assert copy_jsonl(Lines(sink), sink, wanted).written == 1000  # type: ignore[arg-type]
