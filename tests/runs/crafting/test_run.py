"""A craft from references to files, with the embedded world's exact generators behind a real endpoint."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.data.readers import read_examples
from assay.errors import ConfigError, DataError, ResumeError
from assay.runs.config import read_config
from assay.runs.crafting.config import CraftConfig, craft_config
from assay.runs.crafting.outputs import NothingMadeError
from assay.runs.crafting.rows import read_lines
from assay.runs.crafting.run import run_craft
from assay.world import Problem
from assay.world.strategies import worked
from tests.runs.crafting.server import (
    TASKS,
    Served,
    WorldStudent,
    WorldWriter,
    completion,
    read,
    said,
    served,
    world_problems,
    write_references,
)
from tests.runs.lab import Heard

KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return world_problems(2)


@pytest.fixture
def references(problems: list[Problem], tmp_path: Path) -> Path:
    return write_references(tmp_path / "refs.jsonl", problems)


@pytest.fixture
def writer(problems: list[Problem]) -> WorldWriter:
    return WorldWriter(problems)


@pytest.fixture
def server(writer: WorldWriter) -> Iterator[Served]:
    with served(writer) as found:
        yield found


def config(references: Path, server: Served | None = None, **settings: Any) -> CraftConfig:
    where = {} if server is None else {"endpoint": server.url, "model": "m"}
    return craft_config({"strategies": "cot", "references": str(references), **where, **settings})


def words(row: dict[str, Any]) -> tuple[str, str]:
    return row["messages"][-2]["content"], row["messages"][-1]["content"]


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def apart_from_the_cache(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in everything(folder).items() if name != "replies.sqlite"}


def test_every_example_is_right_and_every_wrong_reply_is_mended_or_rejected(
    problems: list[Problem], references: Path, writer: WorldWriter, server: Served, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run_craft(config(references, server), out)
    by_query = {problem.query: problem for problem in problems}
    cot, plain, queries = (read(out / f"{name}.jsonl") for name in ("cot", "plain", "queries"))
    assert writer.slips, "some first replies are wrong"
    assert writer.wrong, "some replies are always wrong"
    for row in cot:
        prompt, response = words(row)
        problem = by_query[prompt.split("\n")[0]]
        assert response == worked(problem)
        assert problem.query not in writer.wrong
    asked = {words(row)[0].split("\n")[0] for row in cot}
    assert {words(row) for row in plain} == {(query, by_query[query].answer) for query in asked}
    for row in queries:
        prompt, response = words(row)
        assert response == writer.siblings[prompt].answer
        assert prompt not in by_query
    assert asked & writer.slips, "a second reply mends a first"
    rejected = read(out / "rejects.jsonl")
    assert len(cot) == len(plain) == len(queries) == len(problems) - len(rejected)
    assert writer.wrong <= {row["record"]["messages"][0]["content"] for row in rejected}
    assert [row["reference"]["id"] for row in cot] == [row["reference"]["id"] for row in queries]
    assert done.tally.rejected == len(rejected)


def test_a_reject_tells_its_place_its_step_and_what_was_tried(
    references: Path, writer: WorldWriter, server: Served, tmp_path: Path
) -> None:
    run_craft(config(references, server), tmp_path / "out")
    (row, *_) = (
        one
        for one in read(tmp_path / "out" / "rejects.jsonl")
        if one["record"]["messages"][0]["content"] in writer.wrong
    )
    assert (row["kind"], row["strategy"], row["step"]) == ("rejected", "cot", "reasoned")
    assert row["file"] == str(references)
    assert read(references)[row["row"] - 1] == row["record"]
    assert len(row["tried"]) == 3
    assert row["tried"][-1]["reason"] == row["reason"]


def test_a_rerun_asks_nothing_and_writes_the_same_bytes(
    references: Path, server: Served, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = run_craft(config(references, server, price="1,2"), out)
    before, calls = apart_from_the_cache(out), server.calls
    again = run_craft(config(references, server, price="1,2"), out)
    assert server.calls == calls
    assert (again.spent.calls, first.spent.cached) == (0, 0)
    assert apart_from_the_cache(out) == before
    assert again.spent.used == first.spent.used


def test_a_killed_craft_goes_on_and_leaves_no_half_of_a_set(
    references: Path, writer: WorldWriter, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    seen: list[str] = []

    def stops(body: dict[str, Any]) -> tuple[int, bytes]:
        seen.append(said(body))
        return (401, b'{"error": {"message": "no"}}') if len(seen) > 5 else writer(body)

    with served(stops) as server, pytest.raises(ConfigError):
        run_craft(config(references, server, concurrency=1), out)
    assert {path.name for path in out.iterdir()} == {"replies.sqlite"}
    kept = sqlite3.connect(out / "replies.sqlite").execute("select count(*) from replies").fetchone()[0]
    assert kept == 5
    with served(writer) as server:
        done = run_craft(config(references, server), out)
    assert done.spent.cached >= 5


def test_no_key_is_in_any_file(
    references: Path, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    out, heard = tmp_path / "out", Heard()
    run_craft(config(references, server), out, progress=heard)
    assert all(header["authorization"] == f"Bearer {KEY}" for header in server.headers)
    for name, content in everything(out).items():
        assert KEY.encode() not in content, name
        assert b"Bearer" not in content, name
    assert not any(KEY in note for note in heard.notes)


def test_the_key_of_the_writer_is_not_sent_to_the_student(
    problems: list[Problem], references: Path, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(WorldStudent(problems)) as student:
        settings = config(
            references,
            server,
            strategies="clarify-pipeline",
            student_endpoint=student.url,
            student_model="mine",
        )
        run_craft(settings, tmp_path / "out")
        assert student.calls
        assert not any(KEY in str(header) for header in student.headers)


def test_a_pipeline_of_the_paper_is_right_in_every_set(
    problems: list[Problem], references: Path, writer: WorldWriter, server: Served, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with served(WorldStudent(problems)) as student:
        settings = config(
            references,
            server,
            strategies="clarify-pipeline",
            student_endpoint=student.url,
            student_model="mine",
        )
        run_craft(settings, out)
    by_query = {problem.query: problem for problem in problems}
    by_id = {row["id"]: by_query[row["messages"][0]["content"]] for row in read(references)}
    sets = {name: read(out / f"{name}.jsonl") for name in ("clarify", "pos", "pos-queries", "neg-queries")}
    assert len({len(rows) for rows in sets.values()}) == 1
    assert len(sets["pos"]) > len(problems) // 2
    for row in sets["clarify"]:
        assert words(row)[1] == by_id[row["reference"]["id"]].clear
    for row in sets["pos"]:
        problem = by_id[row["reference"]["id"]]
        assert words(row) == (problem.clear, problem.answer)
    for row in sets["pos-queries"]:
        assert words(row)[1] == writer.siblings[words(row)[0]].answer
    for row in sets["neg-queries"]:
        assert words(row)[1] != writer.siblings[words(row)[0]].answer
    pairs = {row["pair"] for row in sets["clarify"]}
    assert pairs == {row["pair"] for row in sets["pos"]}
    assert pairs.isdisjoint(row["pair"] for row in [*sets["pos-queries"], *sets["neg-queries"]])
    study = (out / "study.yaml").read_text()
    assert "design: clarify" in study
    assert re.search(r"undesired:\n- neg", study)


def test_evaluation_text_is_in_no_example(
    problems: list[Problem], references: Path, writer: WorldWriter, tmp_path: Path
) -> None:
    hidden = "the quick brown fox jumps over the lazy dog and sleeps"
    dev = tmp_path / "dev.jsonl"
    dev.write_text(json.dumps({"task": "add", "prompt": hidden, "completion": "x"}) + "\n")
    leaked = problems[0].query

    def leaks(body: dict[str, Any]) -> tuple[int, bytes]:
        status, text = writer(body)
        return completion(f"{hidden}. {worked(problems[0])}") if leaked in said(body) else (status, text)

    with served(leaks) as server:
        run_craft(config(references, server, queries={"dev": str(dev)}), tmp_path / "out")
    assert "quick brown" not in (tmp_path / "out" / "cot.jsonl").read_text()
    reasons = [row["reason"] for row in read(tmp_path / "out" / "rejects.jsonl")]
    assert any("repeats evaluation text" in reason for reason in reasons)


def test_references_that_are_queries(
    references: Path, writer: WorldWriter, server: Served, tmp_path: Path
) -> None:
    def about_siblings(body: dict[str, Any]) -> tuple[int, bytes]:
        writer.problems |= writer.siblings
        return writer(body)

    with served(about_siblings) as endpoint:
        run_craft(config(references, endpoint, references_are="queries"), tmp_path / "out")
    asked = {row["messages"][0]["content"] for row in read(references)}
    queries = {words(row)[0] for row in read(tmp_path / "out" / "queries.jsonl")}
    assert queries <= asked
    trained = {words(row)[0] for row in read(tmp_path / "out" / "plain.jsonl")}
    assert trained
    assert trained.isdisjoint(asked)
    for row in read(tmp_path / "out" / "cot.jsonl"):
        prompt, response = words(row)
        assert response == worked(writer.siblings[prompt.split("\n")[0]])


def test_a_build_streams_the_strategies_alone(references: Path, server: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_craft(config(references, server, strategies=["cot", "clarify"], build=True), out)
    assert set(done.sets) == {"cot", "clarify"}
    assert done.study is None
    assert not (out / "study.yaml").exists()
    assert not (out / "plain.jsonl").exists()


TABLE = "what is {n} and {n} ?\t{m}\t{n} and {n} together are {m}, as counting shows.\n"


def table(path: Path, count: int = 6) -> Path:
    path.write_text("".join(TABLE.format(n=n, m=2 * n) for n in range(1, count + 1)))
    return path


def test_columns_need_no_model(tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = table(tmp_path / "t.tsv")
    done = assay.craft("cot", references={"sums": file}, from_columns="question,answer,rationale", out=out)
    assert done.spent.calls == 0
    assert not (out / "replies.sqlite").exists()
    rows = read(out / "cot.jsonl")
    assert words(rows[0]) == (
        "what is 1 and 1 ?\nPlease output the reason first and then the final answer, regardless of the "
        "above description.",
        "1 and 1 together are 2, as counting shows. So the answer is 2.",
    )
    assert [words(row)[0] for row in read(out / "queries.jsonl")] == [
        f"what is {n} and {n} ?" for n in (2, 4, 6)
    ]
    assert {row["task"] for row in rows} == {"sums"}


def test_answers_are_compared_by_task(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.tsv"
    numbers.write_text(
        "".join(f"what is {n} ?\t{n}\tas counting shows, it is {n}\n" for n in range(4)), encoding="utf-8"
    )
    words_file = tmp_path / "words.tsv"
    words_file.write_text(
        "".join(f"say {w} !\t{w}\tas was asked for, it is {w}\n" for w in "abcd"), encoding="utf-8"
    )
    settings = craft_config(
        {
            "strategies": "cot",
            "references": [
                {"file": str(numbers), "task": "sums"},
                {"file": str(words_file), "task": "words"},
            ],
            "from_columns": "question,answer,rationale",
        }
    )
    heard = Heard()
    run_craft(settings, tmp_path / "out", progress=heard)
    assert "Answers are compared as numeric in sums; as normalised in words." in heard.notes
    record = json.loads((tmp_path / "out" / "craft.json").read_text(encoding="utf-8"))
    assert record["answers"] == {"sums": "numeric", "words": "normalised"}


def test_columns_that_do_not_do_name_the_step_that_would_ask(tmp_path: Path) -> None:
    file = table(tmp_path / "t.tsv")
    for strategy, named in (
        ("cot", r"cot asks the writer for 'reasoned'.*no column 'rationale'.*rationale=COLUMN"),
        ("query-parsing", r"query-parsing asks the writer for 'parsed', which no column can give"),
    ):
        with pytest.raises(ConfigError, match=named):
            assay.craft(strategy, references=file, from_columns="question,answer,why", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    renamed = "question,answer,rationale=why"
    done = assay.craft("cot", references=file, from_columns=renamed, out=tmp_path / "out")
    assert done.examples == {"cot": 3, "plain": 3, "queries": 3}


def test_a_row_without_a_reason_is_told_before_anything_is_written(tmp_path: Path) -> None:
    file = table(tmp_path / "t.tsv")
    file.write_text(file.read_text() + "what is it ?\tthat\t\n")
    with pytest.raises(ConfigError, match="row 7 has no column 'rationale'"):
        assay.craft(
            "cot", references=file, from_columns="question,answer,rationale", out=tmp_path / "o", build=True
        )
    assert not (tmp_path / "o").exists()


def test_a_row_without_a_reason_can_be_set_aside(tmp_path: Path) -> None:
    file, out = table(tmp_path / "t.tsv"), tmp_path / "out"
    file.write_text(file.read_text() + "what is it ?\tthat\t\n")
    given = {"from_columns": "question,answer,rationale", "build": True, "on_bad_rows": "skip"}
    done = assay.craft("cot", references=file, out=out, **given)
    assert done.examples == {"cot": 6}
    (row,) = read(out / "rejects.jsonl")
    assert (row["row"], row["kind"], row["step"]) == (7, "rejected", "reasoned")
    assert row["reason"] == f"{file}, row 7 has no column 'rationale'"


def test_where_nothing_is_made_the_rejects_say_why(references: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        served(lambda body: completion("sorry, i cannot")) as server,
        pytest.raises(NothingMadeError) as error,
    ):
        run_craft(config(references, server), out)
    assert "8 references" in str(error.value)
    assert {path.name for path in out.iterdir()} == {"rejects.jsonl", "replies.sqlite"}
    assert len(read(out / "rejects.jsonl")) == 8


def test_an_endpoint_that_is_not_there_leaves_nothing(references: Path, tmp_path: Path) -> None:
    settings = config(references, Served("http://127.0.0.1:9/v1"))
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9"):
        run_craft(settings, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


def test_a_folder_of_something_else_is_refused(references: Path, server: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(ResumeError, match=r"thesis\.txt"):
        run_craft(config(references, server), out)
    assert server.calls == 0


def test_a_set_that_was_changed_by_hand_is_not_lost(references: Path, server: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_craft(config(references, server), out)
    with (out / "cot.jsonl").open("a") as handle:
        handle.write("{}\n")
    with pytest.raises(ResumeError, match=r"cot\.jsonl was changed"):
        run_craft(config(references, server), out)


def test_another_craft_into_the_folder_takes_the_place_of_the_first(
    references: Path, server: Served, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_craft(config(references, server), out)
    run_craft(config(references, server, strategies="clarify"), out)
    names = {path.name for path in out.glob("*.jsonl")} - {"rejects.jsonl"}
    assert names == {"clarify.jsonl", "plain.jsonl", "queries.jsonl"}


def test_study_yaml_is_a_study(references: Path, server: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_craft(config(references, server, checkpoints="runs/sft"), out)
    found = read_config(out / "study.yaml")
    assert found.checkpoints == "runs/sft"
    assert found.design == "cot"
    assert found.probes["cot"].file == str(out / "cot.jsonl")
    assert found.control_name == "plain"


def test_references_as_two_strings_stay_two_strings(
    tmp_path: Path, server: Served, problems: list[Problem]
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(
        "".join(json.dumps({"prompt": one.query, "completion": one.answer}) + "\n" for one in problems[:8])
    )
    run_craft(config(file, server), tmp_path / "out")
    for name in ("cot", "plain", "queries"):
        assert all({"prompt", "completion"} <= row.keys() for row in read(tmp_path / "out" / f"{name}.jsonl"))


def test_rows_that_cannot_be_used_are_rejects_too(references: Path, server: Served, tmp_path: Path) -> None:
    references.write_text(references.read_text() + '{"messages": []}\n')
    with pytest.raises(DataError, match="row 9"):
        run_craft(config(references, server), tmp_path / "out")
    assert server.calls == 0
    run_craft(config(references, server, on_bad_rows="skip"), tmp_path / "out")
    assert read(tmp_path / "out" / "rejects.jsonl")[0]["row"] == 9


def test_turns_that_are_not_learned_are_read_back_as_such(
    references: Path, server: Served, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_craft(config(references, server, strategies="multi-turn-refinement", build=True), out)
    for example in read_examples(out / "multi-turn-refinement.jsonl").examples:
        assert [message.weight for message in example.messages] == [None, 0.0, None, None]
        assert example.task in TASKS


def test_tools_and_system_turns_of_a_reference_stay_with_it(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    turns = [("system", "be brief"), ("user", "one and one ?"), ("assistant", "2")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns], "tools": tools}
    file.write_text(json.dumps(row) + "\n")
    run_craft(config(file, strategies="prompt-variants", build=True), tmp_path / "out")
    (example,) = read_examples(tmp_path / "out" / "variant-expert.jsonl").examples
    assert example.messages[0].content == "be brief"
    assert [dict(tool) for tool in example.tools] == tools


def test_words_that_json_lines_could_break_on_are_read_back(tmp_path: Path) -> None:
    file, odd = tmp_path / "r.jsonl", "one\u2028two\x85three\x0b \U0001f600"
    file.write_text(json.dumps({"prompt": odd, "completion": odd}) + "\n")
    out = tmp_path / "out"
    run_craft(config(file, strategies="prompt-variants", build=True), out)
    (one,) = read_lines(out / "variant-expert.jsonl", "variant-expert")
    assert odd in one.prompt
    assert one.completion == odd


def test_a_reference_that_is_a_query_is_left_out(
    problems: list[Problem], references: Path, server: Served, tmp_path: Path
) -> None:
    out, dev = tmp_path / "out", tmp_path / "dev.jsonl"
    asked = f" {problems[0].query}  "
    dev.write_text(json.dumps({"task": "add", "prompt": asked, "completion": problems[0].answer}) + "\n")
    run_craft(config(references, server, queries={"dev": str(dev)}), out)
    for name in ("cot", "plain"):
        assert read(out / f"{name}.jsonl")
        assert not any(problems[0].query in words(row)[0] for row in read(out / f"{name}.jsonl"))
    (row,) = (one for one in read(out / "rejects.jsonl") if one["kind"] == "left out")
    assert row["reason"] == "it asks what one of your queries asks"
    assert problems[0].query not in [said(body) for body in server.bodies]


def test_what_a_killed_craft_had_begun_is_cleared_away(
    references: Path, server: Served, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".cot.jsonl.4711.part").write_text("half")
    run_craft(config(references, server), out)
    assert not list(out.glob(".*"))
