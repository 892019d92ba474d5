"""`assay craft` as a person runs it: to a verdict, through a review, and every mistake a sentence."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.models.recipe import FineTuneRecipe
from assay.runs import study as module
from assay.runs.train import run_training
from assay.world import Problem, base_examples, base_model_path, world_recipe, write_examples
from tests.cli.conftest import Assay
from tests.runs.crafting.server import (
    Served,
    WorldStudent,
    WorldWriter,
    completion,
    read,
    served,
    world_problems,
    write_references,
)

SHELL = "import sys; from assay.cli import main; sys.argv[0] = 'assay'; main()"
KEY = "sk-very-secret-0123456789"
ROW = "what is {n} and {n} ?\t{m}\t{n} and {n} together are {m}, as counting shows.\n"


@pytest.fixture(scope="session")
def world_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of a short run on the embedded world."""
    folder = tmp_path_factory.mktemp("world")
    write_examples(folder / "base.jsonl", base_examples(per_task=4))
    recipe = FineTuneRecipe(**world_recipe(max_steps=4, save_every=2, batch_size=8))
    run_training(str(base_model_path()), [str(folder / "base.jsonl")], folder / "run", recipe)
    return folder / "run"


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return world_problems(2)


@pytest.fixture
def references(problems: list[Problem], tmp_path: Path) -> Path:
    return write_references(tmp_path / "refs.jsonl", problems)


@pytest.fixture
def server(problems: list[Problem]) -> Iterator[Served]:
    with served(WorldWriter(problems)) as found:
        yield found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.tsv"
    path.write_text("".join(ROW.format(n=n, m=2 * n) for n in range(1, 7)))
    return path


def asking(server: Served) -> list[object]:
    return ["--endpoint", server.url, "--model", "m"]


def from_columns(table: Path, out: Path, *more: object) -> list[object]:
    columns = ["--from-columns", "question,answer,rationale"]
    return ["craft", "--strategy", "cot", "--references", f"sums={table}", *columns, "--out", out, *more]


def test_from_plain_examples_to_a_verdict(
    references: Path,
    server: Served,
    world_run: Path,
    assay: Assay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    out = tmp_path / "probes"
    crafted = assay(
        "craft", "--strategy", "cot", "--references", references, *asking(server),
        "--checkpoints", world_run, "--out", out,
    )  # fmt: skip
    assert crafted.code == 0, crafted.err
    made, rejected = len(read(out / "cot.jsonl")), len(read(out / "rejects.jsonl"))
    assert made + rejected == 8
    assert f"cot {made}, plain {made}, queries {made}" in crafted.out
    assert f"rejected {rejected}" in crafted.out
    assert f"Next: assay study --config {out}/study.yaml --out {out}/study" in crafted.out
    studied = assay("study", "--config", out / "study.yaml", "--out", out / "study")
    assert studied.code == 0, studied.err
    verdicts = json.loads((out / "study" / "study.json").read_text())["verdicts"]
    assert {(one["probe_set"], one["query_set"]) for one in verdicts} >= {
        ("cot", "plain"),
        ("plain", "plain"),
    }
    assert {one["context"] for one in verdicts} == {"in-task", "cross-task"}
    for path in out.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in crafted.out + crafted.err


def test_a_craft_that_is_killed_loses_nothing_and_asks_nothing_twice(
    problems: list[Problem], references: Path, server: Served, assay: Assay, tmp_path: Path
) -> None:
    given: list[object] = ["craft", "--strategy", "cot", "--references", references, "--concurrency", 2]
    assert assay(*given, *asking(server), "--out", tmp_path / "whole").code == 0
    out, writer = tmp_path / "out", WorldWriter(problems)
    enough = threading.Event()

    def slow(body: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(0.05)
        if writer.asked.total() >= 6:
            enough.set()
        return writer(body)

    with served(slow) as slowly:
        command = [*given, *asking(slowly), "--out", out]
        with subprocess.Popen([sys.executable, "-c", SHELL, *map(str, command)]) as process:
            assert enough.wait(60)
            process.kill()
        assert not list(out.glob("*.jsonl"))
        assert assay(*command).code == 0
        assert slowly.calls <= server.calls + 2, "again only what was under way at the kill"
    assert not list(out.glob(".*"))
    assert read(out / "plain.jsonl") == read(tmp_path / "whole" / "plain.jsonl")


def test_a_pipeline_is_a_study_with_undesired_queries(
    problems: list[Problem],
    references: Path,
    server: Served,
    world_run: Path,
    assay: Assay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")
    out = tmp_path / "probes"
    with served(WorldStudent(problems)) as student:
        crafted = assay(
            "craft", "--strategy", "evaluate-pipeline", "--references", references, *asking(server),
            "--student-endpoint", student.url, "--student-model", "mine", "--checkpoints", world_run,
            "--out", out,
        )  # fmt: skip
    assert crafted.code == 0, crafted.err
    studied = assay("study", "--config", out / "study.yaml", "--out", out / "study", "--max-length", 4096)
    assert studied.code == 0, studied.err
    result = json.loads((out / "study" / "study.json").read_text())
    assert {one["probe_set"] for one in result["verdicts"]} == {"evalpos", "evalneg", "pos"}
    assert {one["query_set"] for one in result["verdicts"]} == {"pos", "neg"}


def test_a_model_loaded_here_is_asked(references: Path, assay: Assay, tmp_path: Path) -> None:
    strategy = tmp_path / "echo.yaml"
    strategy.write_text(
        "name: echo\nwhat: What the model itself answers.\nsteps:\n  - ask: said\n    by: student\n"
        '    prompt: "{{ query }}"\n    temperature: 0\n    max_tokens: 12\n'
        'prompt: "{{ query }}"\ncompletion: "{{ said }}"\n'
    )
    out = tmp_path / "out"
    found = assay(
        "craft", "--strategy", strategy, "--references", references, "--student", base_model_path(),
        "--build", "--out", out,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert read(out / "echo.jsonl")


def test_a_dry_run_asks_nobody_and_leaves_nothing(
    references: Path, server: Served, assay: Assay, tmp_path: Path
) -> None:
    found = assay(
        "craft", "--strategy", "cot", "--references", references, *asking(server), "--dry-run",
        "--price", "1,2", "--out", tmp_path / "out",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert server.calls == 0
    assert not (tmp_path / "out").exists()
    first = read(references)[0]["messages"][0]["content"]
    assert found.out.count(first) == 2, "the prompt of the strategy's step and of the sibling's"
    assert "8 references: 16 calls" in found.out
    assert "at most 48" in found.out
    assert "characters / 4" in found.out
    assert "At your prices" in found.out


def test_a_dry_run_shows_later_steps_with_places_for_what_is_not_yet_written(
    references: Path, assay: Assay
) -> None:
    found = assay(
        "craft", "--strategy", "clarify-pipeline", "--references", references, "--dry-run"
    )  # fmt: skip
    assert found.code == 0, found.err
    assert "⟨answer⟩" in found.out
    assert "⟨clear⟩" in found.out
    assert "cannot be shown" not in found.out


REVIEWS = {
    "accept and quit": ("\nq\n", 3, 0, 0),
    "drop": ("d\nq\n", 2, 0, 1),
    "drop, back, accept after all": ("d\nb\na\nq\n", 3, 0, 0),
    "edit": ("e\nq\n", 3, 1, 0),
    "to the end": ("\nd\n\n\n", 2, 0, 1),
    "back from the end": ("a\na\na\nb\nd\n\n", 2, 0, 1),
    "no key, then the end of input": ("x\nd\n", 2, 0, 1),
    "nothing at all": ("", 3, 0, 0),
}


@pytest.mark.parametrize(("kind", "width"), [*((kind, 40) for kind in REVIEWS), ("edit", 140)])
def test_a_review_in_a_pipe(
    kind: str, width: int, table: Path, assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, left, edited, dropped = REVIEWS[kind]
    out = tmp_path / "out"
    assert assay(*from_columns(table, out)).code == 0
    monkeypatch.setenv("EDITOR", "sed -i s/together/altogether/")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("assay.cli.review.output.width", width)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    found = assay("craft", "--review", "--out", out)
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert max(map(len, (line for line in lines if line.startswith(("│", "╭"))))) <= width
    side_by_side = any(line.count("╭") == 2 for line in lines)
    assert side_by_side == (width == 140)
    rows = read(out / "cot.jsonl")
    assert len(rows) == len(read(out / "plain.jsonl")) == len(read(out / "queries.jsonl")) == left
    assert sum("altogether" in row["messages"][1]["content"] for row in rows) == edited
    assert f"{edited:,} example" in found.out
    assert f"{dropped:,} reference" in found.out
    before = [path.read_bytes() for path in sorted(out.iterdir())]
    assert assay(*from_columns(table, out)).code == 0
    assert [path.read_bytes() for path in sorted(out.iterdir())] == before


def test_a_review_goes_on_where_it_was(
    table: Path, assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert assay(*from_columns(table, out)).code == 0
    for typed, first in (("a\nq\n", "1 of 3"), ("a\nq\n", "2 of 3"), ("q\n", "3 of 3")):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        found = assay("craft", "--review", "--out", out)
        assert first in found.out.splitlines()[1]


def test_config_yaml_crafts_the_same_again(table: Path, assay: Assay, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert assay(*from_columns(table, first, "--per-task", 2)).code == 0
    assert assay("craft", "--config", first / "config.yaml", "--out", second).code == 0
    for name in ("cot.jsonl", "plain.jsonl", "queries.jsonl", "config.yaml", "craft.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_check_tells_every_mistake_by_its_line(assay: Assay, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("name: my\nwhat: x\nstps: []\nprompt: '{{ qery }}'\ncompletion: '{{ response }}'\n")
    found = assay("craft", "--check", file)
    assert found.code == 2
    assert f"{file}, line 3: " in found.out
    assert f"{file}, line 4: " in found.out
    file.write_text("name: my\nwhat: x\nprompt: '{{ query }} ?'\ncompletion: '{{ response }}'\n")
    found = assay("craft", "--check", file)
    assert found.code == 0
    assert "no mistakes" in found.out


def test_the_shipped_strategies_are_listed(assay: Assay) -> None:
    found = assay("craft", "--strategies")
    assert found.code == 0
    assert all(name in found.out for name in ("cot", "clarify-pipeline", "similar"))


COT = ["--strategy", "cot", "--references", "{refs}"]
NOBODY = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "m"]
MISTAKES: dict[str, tuple[list[str], str]] = {
    "no strategy": (["--references", "{refs}"], "--strategy NAME"),
    "no references": (["--strategy", "cot"], "--references FILE"),
    "no such strategy": (["--strategy", "kot", "--references", "{refs}"], "kot"),
    "no such file": (["--strategy", "cot", "--references", "no.jsonl"], "no.jsonl"),
    "nobody to ask": (COT, "--endpoint URL --model NAME"),
    "no student": (
        ["--strategy", "clarify-pipeline", "--references", "{refs}", *NOBODY],
        "--student CHECKPOINT",
    ),
    "no model": ([*COT, "--endpoint", "http://x/v1"], "--model"),
    "a key in the address": (
        [*COT, "--endpoint", "http://a:b@x/v1", "--model", "m"],
        "--endpoint",
    ),
    "nobody there": (
        [*COT, *NOBODY],
        "Nothing answers at",
    ),
    "no such variable": (
        [*COT, *NOBODY, "--key-env", "NOT_SET_ANYWHERE"],
        "NOT_SET_ANYWHERE",
    ),
    "queries that are not there": (
        [*COT, *NOBODY, "--queries", "no.jsonl"],
        "no.jsonl",
    ),
    "a column that is not there": (
        [*COT, "--from-columns", "question,answer"],
        "question",
    ),
    "columns for a step that asks": (
        ["--strategy", "clarify", "--references", "{table}", "--from-columns", "question,answer,why"],
        "'clear'",
    ),
    "no number": ([*COT, "--limit", "0"], "--limit"),
    "no price": ([*COT, "--price", "cheap"], "--price cheap"),
    "no layout": ([*COT, "--references-are", "x"], "--references-are"),
    "twice": (["--strategy", "cot", "--strategy", "cot", "--references", "{refs}"], "given twice"),
    "a local model that is none": (
        [*COT, "--local", "no/such/folder"],
        "no/such/folder",
    ),
    "review of nothing": (["--review"], "holds no craft"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_a_sentence_and_leaves_nothing(
    kind: str, references: Path, table: Path, assay: Assay, tmp_path: Path
) -> None:
    options, named = MISTAKES[kind]
    given = [option.format(refs=references, table=table) for option in options]
    found = assay("craft", *given, "--out", tmp_path / "out")
    assert found.code == 2, found.err
    assert named in found.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (401, {"error": {"message": f"bad key {KEY}"}}, "refuses the key"),
        (404, {"error": {"message": "no such model"}}, "no model"),
    ],
)
def test_a_server_that_refuses_is_a_sentence_without_the_key(
    status: int, body: dict[str, Any], named: str, references: Path, assay: Assay, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(lambda _: (status, json.dumps(body).encode())) as server:
        found = assay(
            "craft",
            "--strategy",
            "cot",
            "--references",
            references,
            *asking(server),
            "--out",
            tmp_path / "out",
        )
    assert found.code == 2
    assert named in found.complaint
    assert KEY not in found.err + found.out
    assert not (tmp_path / "out").exists()


def test_the_three_commonest_reasons_are_told(references: Path, assay: Assay, tmp_path: Path) -> None:
    with served(lambda body: completion("no idea at all")) as server:
        found = assay(
            "craft",
            "--strategy",
            "cot",
            "--references",
            references,
            *asking(server),
            "--out",
            tmp_path / "out",
        )
    assert found.code == 2
    assert "Nothing was made of 8 references" in found.complaint
    assert "rejects.jsonl" in found.complaint
