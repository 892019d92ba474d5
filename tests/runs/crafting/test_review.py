"""Decisions of a review: kept at once, carried into every set, and kept by a rerun."""

import json
from pathlib import Path

import pytest

from assay.errors import DataError, ResumeError
from assay.runs.crafting.config import craft_config
from assay.runs.crafting.decisions import Decision, Decisions
from assay.runs.crafting.review import Review
from assay.runs.crafting.run import run_craft
from tests.runs.crafting.server import read

ROW = "what is {n} and {n} ?\t{m}\t{n} and {n} together are {m}, as counting shows.\n"
SETS = ("cot", "plain", "queries")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.tsv"
    path.write_text("".join(ROW.format(n=n, m=2 * n) for n in range(1, 11)))
    return path


def craft(table: Path, out: Path, **settings: object) -> None:
    run_craft(
        craft_config(
            {
                "strategies": "cot",
                "references": [{"file": str(table), "task": "sums"}],
                "from_columns": "question,answer,rationale",
                **settings,
            }
        ),
        out,
    )


@pytest.fixture
def out(table: Path, tmp_path: Path) -> Path:
    craft(table, tmp_path / "out")
    return tmp_path / "out"


def ids(out: Path, name: str) -> list[str]:
    return [row["reference"]["id"] for row in read(out / f"{name}.jsonl")]


def everything(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_every_crafted_example_stands_beside_its_reference(out: Path) -> None:
    pairs = Review(out).pairs()
    assert len(pairs) == 5
    for pair in pairs:
        assert pair.crafted.set == "cot"
        assert pair.beside is not None
        assert pair.beside.set == "plain"
        assert pair.crafted.prompt.startswith(pair.beside.prompt)


def test_a_dropped_probe_drops_its_pair_in_every_set(out: Path) -> None:
    review = Review(out)
    gone = review.pairs()[1].crafted
    review.decisions.add(gone, Decision("drop"))
    review.finish()
    assert all(gone.reference not in ids(out, name) and len(ids(out, name)) == 4 for name in SETS)
    (row,) = read(out / "rejects.jsonl")
    assert row["reason"] == "dropped in review"
    assert set(row["record"]) == set(SETS)


def test_an_edit_changes_its_words_alone(out: Path) -> None:
    before = read(out / "cot.jsonl")
    review = Review(out)
    review.decisions.add(review.pairs()[0].crafted, Decision("edit", "why ?", "so."))
    review.finish()
    first, *others = read(out / "cot.jsonl")
    assert [turn["content"] for turn in first["messages"]] == ["why ?", "so."]
    assert (first["id"], others) == (before[0]["id"], before[1:])


def test_a_rerun_keeps_all_decisions_and_writes_the_same_bytes(table: Path, out: Path) -> None:
    review = Review(out)
    pairs = review.pairs()
    review.decisions.add(pairs[4].crafted, Decision("drop"))
    review.decisions.add(pairs[0].crafted, Decision("edit", "why ?", "so."))
    review.finish()
    again = Review(out)
    again.decisions.add(again.pairs()[1].crafted, Decision("drop"))
    again.decisions.add(again.pairs()[0].crafted, Decision("edit", "why then ?", "so it is."))
    again.finish()
    after = everything(out)
    craft(table, out)
    assert everything(out) == after
    assert read(out / "cot.jsonl")[0]["messages"][0]["content"] == "why then ?"
    assert len(ids(out, "cot")) == 3


def test_the_last_decision_counts(out: Path) -> None:
    review = Review(out)
    one = review.pairs()[0].crafted
    review.decisions.add(one, Decision("drop"))
    review.decisions.add(one, Decision("accept"))
    review.finish()
    assert len(ids(out, "cot")) == 5
    assert not (out / "rejects.jsonl").exists()


def test_decisions_are_on_disk_at_once_and_survive_a_cut_line(out: Path) -> None:
    review = Review(out)
    one, other = (pair.crafted for pair in review.pairs()[:2])
    review.decisions.add(one, Decision("drop"))
    path = out / "review.jsonl"
    path.write_text(path.read_text() + '{"key": "cut o')
    found = Decisions(path)
    assert found.of(one) == Decision("drop")
    found.add(other, Decision("accept"))
    assert [json.loads(line)["decision"] for line in path.read_text().splitlines()] == ["drop", "accept"]


def test_in_a_build_an_example_is_dropped_alone(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "built"
    craft(table, out, strategies=["cot", "reason-after-answer"], build=True)
    review = Review(out)
    review.decisions.add(review.pairs()[0].crafted, Decision("drop"))
    review.finish()
    assert (len(ids(out, "cot")), len(ids(out, "reason-after-answer"))) == (9, 10)


def test_what_is_no_craft_is_no_review(tmp_path: Path, out: Path) -> None:
    with pytest.raises(ResumeError, match="holds no craft"):
        Review(tmp_path)
    (out / "review.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="row 1"):
        Review(out)
    (out / "review.jsonl").unlink()
    (out / "cot.jsonl").unlink()
    with pytest.raises(DataError, match=r"cot\.jsonl is gone"):
        Review(out)
