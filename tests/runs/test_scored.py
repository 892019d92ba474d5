"""A scoring is read in parts, however its tables are cut, and texts only where they are shown."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay.errors import DataError
from assay.runs.candidate_texts import CandidateTexts
from assay.runs.scored import read_scored
from tests.runs.lab import Lab


@pytest.fixture(scope="module")
def folder(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    assay.score(
        lab.run, method=["graddot", "tracin", "length"], candidates=lab.base, queries=lab.queries, out=out
    )
    return out


def test_texts_are_those_of_the_table_a_row_group_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text {row}" for row in range(10)]
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"other": list(range(10)), "text": texts}), path, row_group_size=4)
    found = CandidateTexts(path, "text")
    assert list(found) == texts
    assert found[-1] == texts[-1]
    assert found[3:9:2] == texts[3:9:2]
    with pytest.raises(IndexError):
        found[10]
    read = []
    whole = pq.ParquetFile.read_row_group

    def counted(self: pq.ParquetFile, group: int, columns: list[str], **options: bool) -> pa.Table:
        read.append((group, columns))
        return whole(self, group, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    again = CandidateTexts(path, "text")
    assert [again[9], again[8], again[0]] == [texts[9], texts[8], texts[0]]
    assert read == [(2, ["text"]), (0, ["text"])]


def test_texts_of_the_pool_stay_in_its_table(folder: Path) -> None:
    pool = read_scored(folder).pool
    table = pq.read_table(folder / "pool" / "candidates.parquet")
    for name, found in (("prompt", pool.prompts), ("completion", pool.completions)):
        assert isinstance(found, CandidateTexts)
        assert list(found) == table[name].to_pylist()


@pytest.mark.parametrize("rows", [5, 18, 1_000_000])
def test_scores_are_the_same_however_tables_are_cut(folder: Path, tmp_path: Path, rows: int) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for name in ("scores.parquet", "aggregates.parquet", "pool/candidates.parquet"):
        pq.write_table(pq.read_table(folder / name), other / name, row_group_size=rows)
    ours, theirs = read_scored(other), read_scored(folder)
    assert len(ours.scores) == len(theirs.scores) == 10
    for column in theirs.scores:
        np.testing.assert_array_equal(ours.scores[column], theirs.scores[column])
        np.testing.assert_array_equal(ours.percentiles[column], theirs.percentiles[column])
    mine, whole = (one.by_query("tracin", "queries") for one in (ours, theirs))
    np.testing.assert_array_equal(list(mine.scores), list(whole.scores))
    assert (mine.ids, mine.tasks) == (whole.ids, whole.tasks)
    table = pq.read_table(folder / "scores.parquet", filters=[("method", "=", "tracin")])
    pairs = np.stack(list(whole.scores), axis=1)
    np.testing.assert_array_equal(pairs.ravel(), table["score"].to_numpy())


@pytest.mark.parametrize("name", ["scores.parquet", "aggregates.parquet"])
def test_a_table_that_lacks_a_row_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    table = pq.read_table(folder / name)
    pq.write_table(pa.concat_tables([table.slice(0, 5), table.slice(6)]), other / name)
    with pytest.raises(DataError, match="a row for each candidate"):
        read_scored(other).by_query("graddot", "queries")
