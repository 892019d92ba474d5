"""A pool on disk: the tokens that a study would make, found again or made anew, and never held in memory."""

import copy
import gc
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from assay.data.example import Tokens
from assay.data.readers import read_examples
from assay.data.texts import content_key
from assay.errors import ConfigError, DataError, ResumeError
from assay.files import read_json
from assay.fingerprint import digest
from assay.runs.config import DataConfig, Reading, SetConfig
from assay.runs.inputs import read_file, tokenise
from assay.runs.scores import pool as module
from assay.runs.scores.pool import PoolIndex, prepare_pool
from assay.runs.scores.pool_sources import source_digest
from tests.data.tokenizers_for_tests import CHATML, TAGGED, SlowCharacters, fast_tokenizer
from tests.runs.lab import Heard, write_rows


def tokenizer(template: str = CHATML) -> Any:
    made = copy.deepcopy(fast_tokenizer())
    made.chat_template = template
    return made


def qa(number: int, **more: Any) -> dict[str, Any]:
    return {"question": f"what is {number}?", "answer": "it is four. " * (1 + number % 7), **more}


def candidates(path: Path, count: int = 30, **more: Any) -> Path:
    return write_rows(path, [qa(n, id=f"c{n}", **more) for n in range(count)])


def prepared(folder: Path, *files: Path | SetConfig, **how: Any) -> PoolIndex:
    sets = [one if isinstance(one, SetConfig) else SetConfig(file=str(one)) for one in files]
    config = DataConfig(**{name: how.pop(name) for name in list(how) if name in DataConfig.model_fields})
    how = {"shard_tokens": 400, **how}
    return prepare_pool(
        sets, config, how.pop("tokenizer", None) or tokenizer(), how.pop("longest", None), folder, **how
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def everything(index: PoolIndex) -> list[Tokens]:
    return [tokens for number in range(len(index.shards)) for tokens in index.read_shard(number)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return candidates(tmp_path / "pool.jsonl")


def test_the_shards_hold_the_tokens_that_a_study_would_measure(file: Path, tmp_path: Path) -> None:
    rows = [qa(n, task=f"t{n % 3}" if n % 3 else None) for n in [*range(20), 3, 3, 5]]
    write_rows(file, rows)
    index = prepared(tmp_path / "pool", file, loss_on="all")
    examples = read_file(SetConfig(file=str(file)), DataConfig()).examples
    expected = tokenise(examples, tokenizer(), DataConfig(loss_on="all")).tokens
    found = everything(index)
    assert [one.id for one in found] == [one.id for one in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.input_ids.dtype == theirs.input_ids.dtype and ours.weights.dtype == theirs.weights.dtype
        np.testing.assert_array_equal(ours.input_ids, theirs.input_ids)
        np.testing.assert_array_equal(ours.weights, theirs.weights)
    tasks = [task for number in range(len(index.shards)) for task in index.read_tasks(number)]
    assert tasks == [example.task for example in examples]
    assert (index.examples, index.tokens) == (len(expected), sum(map(len, expected)))
    assert index.completion_tokens == sum(one.completion_tokens for one in expected)


def test_a_shard_ends_before_it_would_be_too_long_or_too_many(file: Path, tmp_path: Path) -> None:
    lengths = [len(one) for one in everything(prepared(tmp_path / "whole", file))]
    index = prepared(tmp_path / "pool", file, shard_tokens=400, shard_examples=4)
    assert len(index.shards) > 5
    for shard, following in zip(index.shards, index.shards[1:], strict=False):
        first_of_next = lengths[following.first]
        assert shard.examples == 4 or shard.tokens + first_of_next > 400
        assert shard.tokens <= 400 and shard.examples <= 4
    assert [one.start for one in index.slices] == [shard.first for shard in index.shards]
    assert index.slices[-1].stop == 30
    alone = prepared(tmp_path / "alone", file, shard_tokens=1)
    assert [shard.examples for shard in alone.shards] == [1] * 30
    assert everything(alone)[7].input_ids.tolist() == everything(index)[7].input_ids.tolist()


def test_the_table_tells_where_a_candidate_stands_and_what_it_says(tmp_path: Path) -> None:
    long = {"id": "long", "task": "own", "pair": "ref", "question": "q" * 5000, "answer": "half \ud83d\ude00"}
    file = write_rows(tmp_path / "pool.jsonl", [qa(1, id="a"), {"question": " "}, long])
    index = prepared(tmp_path / "pool", file, on_bad_rows="skip", shard_tokens=100)
    table = pq.read_table(index.table).to_pylist()
    row, tokens = table[1], everything(index)[1]
    assert [one["candidate_id"] for one in table] == ["a", "long"]
    assert (row["source_file"], row["source_row"]) == (str(file), 3)
    assert (row["candidate_task"], row["candidate_pair"]) == ("own", "ref")
    assert (row["tokens"], row["length"]) == (tokens.completion_tokens, len(tokens))
    assert (row["prompt"], row["completion"]) == ("q" * 2000, "half 😀")
    with pq.ParquetFile(index.table) as stored:
        groups = [stored.metadata.row_group(at).num_rows for at in range(stored.num_row_groups)]
    assert groups == [shard.examples for shard in index.shards] == [1, 1]


def test_candidates_that_say_what_a_query_says_are_found(file: Path, tmp_path: Path) -> None:
    index = prepared(tmp_path / "pool", write_rows(file, [qa(n, id=f"c{n}") for n in [*range(30), 7]]))
    queries = read_examples(write_rows(tmp_path / "q.jsonl", [qa(7, id="q"), qa(99, id="other")])).examples
    keys = [content_key(query) for query in queries]
    assert index.with_contents(keys) == ["c7", "c7#2"]
    assert index.places_of(keys) == {keys[0]: [7, 30]}


def test_a_pool_that_is_there_is_not_made_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(tmp_path / "pool", file)
    before = content(tmp_path / "pool")
    monkeypatch.setattr(module, "stream_examples", lambda *_, **__: pytest.fail("read again"))
    assert prepared(tmp_path / "pool", file) == first
    assert content(tmp_path / "pool") == before


def test_used_tokenizers_are_the_same_tokenizer(file: Path, tmp_path: Path) -> None:
    used = tokenizer()
    first = prepared(tmp_path / "pool", file, tokenizer=used)
    used.pad_token = used.eos_token
    used(["some", "longer text"], padding=True, truncation=True, max_length=3)
    assert prepared(tmp_path / "pool", file, tokenizer=used) == first


def changed_file(file: Path) -> dict[str, Any]:
    file.write_text(file.read_text().replace("what is 3?", "what is 4?"))
    return {}


def longer_vocabulary(file: Path) -> dict[str, Any]:
    other = tokenizer()
    other.add_tokens(["four"])
    return {"tokenizer": other}


def own_template(file: Path) -> dict[str, Any]:
    path = file.with_name("t.jinja")
    path.write_text(CHATML.replace("<|im_end|>", "<eos>"))
    return {"chat_template": str(path)}


@pytest.mark.parametrize(
    ("named", "change"),
    [
        (r"candidates \(1: .*pool.jsonl\)", changed_file),
        ("tokenizer", longer_vocabulary),
        ("chat_template", lambda file: {"tokenizer": tokenizer(TAGGED)}),
        ("chat_template", own_template),
        ("loss_on", lambda file: {"loss_on": "all"}),
        ("max_length", lambda file: {"max_length": 500}),
        ("context", lambda file: {"longest": 500}),
        ("render", lambda file: {"render": "plain"}),
        ("on_bad_rows", lambda file: {"on_bad_rows": "skip"}),
        (r"candidates \(1: .*pool.jsonl\)", lambda file: {"reading": Reading(id_column="key")}),
        ("model", lambda file: {"fields": {"model": "another"}}),
        ("shard_tokens", lambda file: {"shard_tokens": 500}),
        ("tasks", lambda file: {"tasks": str(write_rows(file.with_name("t.jsonl"), [{"c1": "x"}]))}),
    ],
)
def test_another_setting_is_refused_by_its_name(file: Path, tmp_path: Path, named: str, change: Any) -> None:
    prepared(tmp_path / "pool", file)
    before = content(tmp_path / "pool")
    with pytest.raises(ResumeError, match=f"another {named}; give another --out"):
        prepared(tmp_path / "pool", file, **change(file))
    assert content(tmp_path / "pool") == before


def test_more_files_are_another_pool(file: Path, tmp_path: Path) -> None:
    prepared(tmp_path / "pool", file)
    with pytest.raises(ResumeError, match=r"another candidates \(2: .*more.jsonl\)"):
        prepared(tmp_path / "pool", file, candidates(tmp_path / "more.jsonl"))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_killed_preparation_starts_again_and_ends_the_same(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    expected = prepared(tmp_path / "expected", file)
    real, written = module.write_tokens, []

    def killed(path: Path, *more: Any) -> None:
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        real(path, *more)

    folder = tmp_path / "pool"
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_tokens", killed)
        with pytest.raises(KeyboardInterrupt):
            prepared(folder, file, loss_on="all")
    assert sorted(path.name for path in folder.iterdir()) == [path.name for path in written]
    for left in (".candidates.parquet.123.part", "shard-00099.safetensors", "rejects.jsonl"):
        (folder / left).write_bytes(b"half")
    found = prepared(folder, file)
    assert content(folder) == content(tmp_path / "expected")
    assert found.shards == expected.shards and found.digest() == expected.digest()


@pytest.mark.parametrize("name", ["candidates.parquet", "shard-00001.safetensors"])
def test_a_pool_with_a_file_missing_or_cut_off_is_made_anew(file: Path, tmp_path: Path, name: str) -> None:
    prepared(tmp_path / "pool", file)
    before = content(tmp_path / "pool")
    for mend in (lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])):
        mend(tmp_path / "pool" / name)
        prepared(tmp_path / "pool", file)
        assert content(tmp_path / "pool") == before


def test_damage_within_a_shard_or_the_manifest_is_told(file: Path, tmp_path: Path) -> None:
    index = prepared(tmp_path / "pool", file)
    path = index.folder / index.shards[1].file
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    index.read_shard(0)
    with pytest.raises(ResumeError, match=r"shard-00001.safetensors is damaged; delete .*pool"):
        index.read_shard(1)
    (index.folder / "manifest.json").write_text('{"settings": 3')
    with pytest.raises(ResumeError, match=r"manifest.json cannot be read; delete"):
        prepared(tmp_path / "pool", file)


def test_the_digest_of_a_shard_is_over_ids_tokens_and_weights_alone(file: Path, tmp_path: Path) -> None:
    one = prepared(tmp_path / "one", file).shards[0].digest
    assert prepared(tmp_path / "labelled", SetConfig(file=str(file), task="x")).shards[0].digest == one
    assert prepared(tmp_path / "weights", file, loss_on="all").shards[0].digest != one
    write_rows(file, [qa(n, id=f"d{n}") for n in range(30)])
    assert prepared(tmp_path / "ids", file).shards[0].digest != one


def test_the_manifest_tells_files_by_size_and_digest(file: Path, tmp_path: Path) -> None:
    index = prepared(tmp_path / "pool", file)
    manifest = read_json(index.folder / "manifest.json")
    (about,) = manifest["settings"]["candidates"].values()
    assert about["bytes"] == file.stat().st_size
    assert about["sha256"] == source_digest(str(file))["sha256"]
    assert len(about["sha256"]) == 64
    assert (manifest["examples"], manifest["tokens"]) == (30, index.tokens)
    assert manifest["shards"][0]["digest"] == index.shards[0].digest
    assert index.fingerprint == manifest["fingerprint"]


def test_ids_are_unique_over_files_and_it_is_said(tmp_path: Path) -> None:
    one = candidates(tmp_path / "one.jsonl", 4)
    two = write_rows(tmp_path / "two.jsonl", [qa(50, id="c1"), qa(51, id="c1#2"), qa(52, id="new")])
    index = prepared(tmp_path / "pool", one, two)
    assert [tokens.id for tokens in everything(index)] == ["c0", "c1", "c2", "c3", "c1#3", "c1#2", "new"]
    assert index.notes[-1] == (
        "Ids are made unique over all 2 files of candidates: "
        "1 id stood in the same file before or in an earlier one."
    )
    assert f"{two}: 1 repeated id (or content) numbered id#2, id#3, …" in index.notes


def test_rejects_of_reading_and_of_rendering_are_set_aside_in_order(file: Path, tmp_path: Path) -> None:
    write_rows(file, [qa(1), {"question": "?"}, qa(2, question="x " * 300), qa(3)])
    with pytest.raises(DataError, match=r"row 2: .*--on-bad-rows skip"):
        prepared(tmp_path / "pool", file)
    assert not (tmp_path / "pool" / "manifest.json").exists()
    index = prepared(tmp_path / "pool", file, on_bad_rows="skip", max_length=100)
    lines = (index.folder / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["row"] for line in lines] == [2, 3]
    assert "over the maximum of 100" in json.loads(lines[1])["reason"]
    assert (index.examples, index.rejects) == (2, 2)
    assert any("1 row set aside; row 2" in note for note in index.notes)
    assert any("1 example set aside" in note and "row 3" in note for note in index.notes)
    cut = prepared(tmp_path / "cut", file, on_bad_rows="skip", max_length=100, truncation="prompt")
    assert (cut.examples, len(everything(cut)[1])) == (3, 100)
    assert any(note.startswith(f"{file}: 1 example shortened at the beginning") for note in cut.notes)


def test_labels_come_from_a_file_by_id(file: Path, tmp_path: Path) -> None:
    labels = write_rows(tmp_path / "tasks.jsonl", [{"id": "c1", "task": "sums"}])
    index = prepared(tmp_path / "pool", SetConfig(file=str(file), task="rest"), tasks=str(labels))
    assert index.read_tasks(0)[:3] == ["rest", "sums", "rest"]
    write_rows(labels, [{"id": "nobody", "task": "sums"}])
    index = prepared(tmp_path / "other", file, tasks=str(labels))
    assert index.notes[-1].endswith("none of its 1 id is the id of a candidate.")
    with pytest.raises(ConfigError, match="--tasks cluster:8: clustering needs all prompts"):
        prepared(tmp_path / "clusters", file, tasks="cluster:8")


def test_what_cannot_be_a_pool_is_one_clear_sentence(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool"
    with pytest.raises(ConfigError, match="at least one file"):
        prepared(out)
    with pytest.raises(DataError, match=r"nowhere.jsonl does not exist"):
        prepared(out, file, tmp_path / "nowhere.jsonl")
    assert not out.exists()
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"empty.jsonl is empty"):
        prepared(out, file, tmp_path / "empty.jsonl")
    useless = write_rows(tmp_path / "useless.jsonl", [qa(1, question="")])
    with pytest.raises(DataError, match=r"useless.jsonl: no row can be used; row 1"):
        prepared(out, file, useless, on_bad_rows="skip")
    long = write_rows(tmp_path / "long.jsonl", [qa(1, question="x " * 300)])
    with pytest.raises(DataError, match=r"long.jsonl: no candidate can be used; .*row 1: .*maximum of 99"):
        prepared(out, file, long, on_bad_rows="skip", max_length=99)
    with pytest.raises(ConfigError, match="is no folder"):
        prepared(file / "pool", file)


def test_a_file_that_grows_while_it_is_read_is_no_pool(file: Path, tmp_path: Path) -> None:
    class Growing(Heard):
        def stage(self, label: str, total: float, unit: str) -> Any:
            with file.open("a") as handle:
                handle.write(json.dumps(qa(1, id="late")) + "\n")
            return super().stage(label, total, unit)

    with pytest.raises(DataError, match="was written to while it was read"):
        prepared(tmp_path / "pool", file, progress=Growing())
    assert not (tmp_path / "pool" / "manifest.json").exists()


def test_folders_and_entries_have_digests_of_all_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "a.arrow").write_bytes(b"12")
    (folder / "state.json").write_bytes(b"345")
    before = source_digest(str(folder))
    assert before["bytes"] == 5
    (folder / "a.arrow").write_bytes(b"13")
    assert source_digest(str(folder))["sha256"] != before["sha256"]
    info = write_rows(tmp_path / "dataset_info.json", [{"sums": {"file_name": "sums.json"}}])
    (tmp_path / "sums.json").write_text("[]")
    entry = source_digest(f"{info}:sums")
    assert entry["bytes"] == info.stat().st_size + 2
    assert source_digest("hub:owner/name") == {"bytes": 0, "sha256": None}


def test_a_slow_tokenizer_has_a_digest_too(tmp_path: Path) -> None:
    file = candidates(tmp_path / "pool.jsonl", 3)
    index = prepared(tmp_path / "pool", file, tokenizer=SlowCharacters(), render="plain")
    assert prepared(tmp_path / "pool", file, tokenizer=SlowCharacters(), render="plain") == index


class Plain:
    """A tokenizer of no cost, so that memory is that of the pool."""

    is_fast, bos_token, eos_token, bos_token_id, eos_token_id = False, None, None, None, None
    chat_template = None

    @property
    def special_tokens_map(self) -> dict[str, str]:
        return {}

    def get_vocab(self) -> dict[str, int]:
        return {}

    def __call__(self, text: str, **how: Any) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}


def test_memory_does_not_grow_with_the_pool(tmp_path: Path) -> None:
    def rows(count: int) -> Iterator[dict[str, Any]]:
        return ({"prompt": f"{n:06d} " + "x" * 60, "completion": "y" * 20} for n in range(count))

    def peak(count: int) -> int:
        file = write_rows(tmp_path / f"{count}.jsonl", rows(count))
        gc.collect()
        tracemalloc.start()
        try:
            index = prepared(
                tmp_path / f"pool-{count}", file, tokenizer=Plain(), shard_tokens=8_000, render="plain"
            )
            assert index.examples == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)
    few, many = peak(200), peak(1000)
    assert many < few + 800 * 300, f"{few:,} bytes for 200 candidates, {many:,} for 1,000"


def test_the_fingerprint_is_of_settings_and_not_of_places(file: Path, tmp_path: Path) -> None:
    one, other = prepared(tmp_path / "one", file), prepared(tmp_path / "other", file)
    assert one.fingerprint == other.fingerprint
    assert one.digest() == digest(*(shard.digest for shard in one.shards)) == other.digest()
