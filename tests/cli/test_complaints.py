"""Whatever a person gets wrong ends in one sentence on standard error, exit code 2, and nothing written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Assay
from tests.runs.lab import CONTEXT, Lab, rows, save_model, write_rows


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


MESSAGE = {"role": "user", "content": "next 1?"}
FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "broken-json": ('{"prompt": "a", "completion"\n', "row 1"),
    "binary": (bytes(range(256)) * 8, "bad.jsonl"),
    "unknown-fields": ('{"a": 1}\n', "no known format"),
    "no-completion": (json.dumps({"messages": [MESSAGE]}) + "\n", "row 1"),
    "half-a-row": (json.dumps({"prompt": "a", "completion": "b"}) + '\n{"prompt": "c"}\n', "row 2"),
    "not-utf-8": (b'{"prompt": "a", "completion": "\xff"}\n', "row 1"),
    "over-the-context": (
        json.dumps({"prompt": "a", "completion": "b" * (CONTEXT + 1), "task": "next"}) + "\n",
        f"over the {CONTEXT} that the model takes",
    ),
    "unlabelled-beside-labelled": (json.dumps({"prompt": "a", "completion": "b"}) + "\n", "no task label"),
}
NO_MATTER_IN_TRAINING = ("over-the-context", "unlabelled-beside-labelled")


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        *((role, kind) for role in ("--probes", "--queries") for kind in FILES),
        *(("--train-data", kind) for kind in FILES if kind not in NO_MATTER_IN_TRAINING),
    ],
)
def test_a_file_that_cannot_be_used(
    kind: str, role: str, lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    content, named = FILES[kind]
    bad = text(tmp_path / "bad.jsonl", content)
    found = assay(*lab.arguments(out, role, str(bad)))
    assert found.code == 2
    assert named in found.complaint
    assert "bad" in found.complaint
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--checkpoints", "nowhere"], "no folder nowhere"),
        (["--checkpoints", "{tmp}"], "give the folder that the trainer wrote"),
        (["--checkpoints", "{lab}/base.jsonl"], "is a file"),
        (["--checkpoints", "{lab}/run/checkpoint-4/adapter_config.json"], "is a file"),
        (["--base-model", "nowhere/at/all"], "nowhere/at/all"),
        (["--probes", "lost=nowhere.jsonl"], "nowhere.jsonl"),
        (["--probes", "cot={lab}/plain.jsonl"], "given twice"),
        (["--probes", "plain={lab}/cot.jsonl"], "--control: 'plain'"),
        (["--probes", "=x.jsonl"], "NAME=FILE"),
        (["--queries", "more=nowhere.jsonl"], "nowhere.jsonl"),
        (["--queries", "{lab}/queries.jsonl"], "given twice"),
        (["--undesired", "other"], "--undesired: 'other'"),
        (["--train-data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--dtype", "fp7"], "fp7"),
        (["--device", "cuda:7"], "cuda:7"),
        (["--device", "quantum"], "quantum"),
        (["--attention", "divided"], "divided"),
        (["--quantize", "2bit"], "--quantize"),
        (["--render", "x"], "--render"),
        (["--loss-on", "x"], "--loss-on"),
        (["--query-loss-on", "x"], "--query-loss-on"),
        (["--truncation", "x"], "--truncation"),
        (["--on-bad-rows", "x"], "--on-bad-rows"),
        (["--on-trained", "x"], "--on-trained"),
        (["--format", "x"], "Unknown format 'x'"),
        (["--design", "x"], "no design 'x'"),
        (["--design", "clarify"], "--probes clarify=FILE"),
        (["--estimator", "x"], "x"),
        (["--margin", "-1"], "--margin"),
        (["--margin", "nan"], "margin"),
        (["--steps", "2,x"], "--steps 2,x"),
        (["--steps", ""], "--steps"),
        (["--steps", "3"], "steps 2, 4, 6"),
        (["--every", "0"], "--every"),
        (["--limit", "0"], "--limit"),
        (["--max-length", "1"], "--max-length"),
        (["--max-length", "12"], "over the maximum of 12"),
        (["--token-budget", "0"], "--token-budget"),
        (["--memory-gb", "0"], "--memory-gb"),
        (["--tasks", "cluster:999"], "cluster:999"),
        (["--tasks", "cluster:x"], "--tasks cluster:x: give the number of clusters"),
        (["--tasks", "nowhere.csv"], "nowhere.csv"),
        (["--chat-template", "nowhere.jinja"], "nowhere.jinja"),
        (["--chat-template", "{tmp}"], "cannot be read"),
        (["--columns", "a,a"], "same column twice"),
        (["--prompt", "question"], "both a prompt and a completion"),
        (["--prompt", "q", "--completion", "a"], "column 'q' is missing"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_option_that_cannot_be(
    options: list[str], named: str, lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    filled = [option.format(lab=lab.folder, tmp=tmp_path) for option in options]
    found = assay(*lab.arguments(out, *filled))
    assert found.code == 2
    assert named in found.complaint
    assert found.out == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--margin", "0.2"), ("--estimator", "relinf"), ("--limit", "2"), ("--out", "other"), ("--steps", "2")],
)
def test_an_option_of_one_value_is_not_given_twice(
    option: str, value: str, lab: Lab, assay: Assay, out: Path
) -> None:
    once = [] if option == "--out" else [option, value]
    found = assay(*lab.arguments(out, *once, f"{option}={value}"))
    assert found.code == 2
    assert found.complaint == f"{option} is given twice; give it once."
    assert not out.exists()


def test_switches_may_be_repeated(lab: Lab, assay: Assay) -> None:
    found = assay(
        "preview", lab.cot, "--model", lab.model, "--rows", 1, "--unescape", "--unescape", "--prompt", "{id}",
        "--completion", "{task}",
    )  # fmt: skip
    assert found.code == 0, found.err


@pytest.mark.parametrize("options", [["--nonsense"], ["--margin", "much"], ["--limit", "1.5"]])
def test_what_the_command_line_cannot_parse(options: list[str], lab: Lab, assay: Assay, out: Path) -> None:
    found = assay(*lab.arguments(out, *options))
    assert found.code == 2
    assert options[0] in found.err
    assert "Traceback" not in found.err


def test_a_study_without_what_it_needs_says_so(lab: Lab, assay: Assay, out: Path) -> None:
    whole = lab.arguments(out)
    for option in ("--checkpoints", "--probes", "--queries", "--out"):
        at = whole.index(option)
        found = assay(*whole[:at], *whole[at + 2 :])
        assert found.code == 2
        assert option in found.complaint


@pytest.mark.parametrize(
    ("changes", "setting", "path"),
    [
        ({"checkpoints": "run"}, "checkpoints", "run"),
        ({"base_model": "model"}, "base_model", "model"),
        ({"probes": {"cot": "cot.jsonl"}}, "probes.cot", "cot.jsonl"),
        ({"queries": {"q": {"file": "queries.jsonl"}}}, "queries.q", "queries.jsonl"),
        ({"control": {"plain": "plain.jsonl"}}, "control.plain", "plain.jsonl"),
        ({"train_data": ["base.jsonl"]}, "train_data.0", "base.jsonl"),
        ({"tasks": "queries.jsonl"}, "tasks", "queries.jsonl"),
        ({"chat_template": "base.jsonl"}, "chat_template", "base.jsonl"),
        ({"queries": {"q": "dataset_info.json:q"}}, "queries.q", "dataset_info.json"),
    ],
)
def test_a_path_that_lies_beside_the_config_is_hinted_at(
    changes: dict[str, Any], setting: str, path: str, lab: Lab, assay: Assay, tmp_path: Path, out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    beside = tmp_path / "beside"
    beside.mkdir()
    for name in ("run", "model", "cot.jsonl", "queries.jsonl", "plain.jsonl", "base.jsonl"):
        (beside / name).symlink_to(lab.folder / name)
    text(beside / "dataset_info.json", "{}")
    text(beside / "my.yaml", yaml.safe_dump(lab.settings(**changes)))
    found = assay("study", "--config", "beside/my.yaml", "--out", out)
    assert found.code == 2
    assert found.complaint == (
        f"beside/my.yaml: {setting}: there is no {path} here; paths in a config are relative to the folder "
        f"the command runs in. Did you mean beside/{path}?"
    )
    assert not out.exists()


def test_a_path_of_an_option_or_beside_no_config_gets_no_hint(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "cot.jsonl").symlink_to(lab.cot)
    config = text(tmp_path / "beside" / "my.yaml", yaml.safe_dump(lab.settings(queries={"q": "gone.jsonl"})))
    found = assay("study", "--config", config, "--probes", "cot=cot.jsonl", "--out", out)
    assert found.complaint == "cot.jsonl does not exist."
    found = assay("study", "--config", config, "--out", out)
    assert found.complaint == "gone.jsonl does not exist."


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("checkpoints: [", "line 1"),
        ("a: b\n c: d: e\n", "line 2"),
        ("just words", "no settings"),
        ("", "no settings"),
        ("checkpoint: runs/sft", "did you mean checkpoints?"),
        ("reading:\n  colums: a,b", "did you mean columns?"),
        ("limit: 1\nlimit: 2", "line 2"),
        ("probes: {a: x}\nprobes: {b: y}", "'probes' is given twice"),
        ("limit: many", "limit: "),
        ("limit: 0", "limit: "),
        ("steps: 50", "steps: "),
        ("probes: cot.jsonl", "probes: "),
        ("probes: {a: {fil: x}}", "probes.a.fil"),
        ("control: {a: x, b: y}", "control: only one control"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_config_that_cannot_be(
    content: str | bytes, named: str, lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    config = text(tmp_path / "my.yaml", content)
    sets = ["--probes", f"cot={lab.cot}"] if b"probes" not in config.read_bytes() else []
    found = assay(
        "study", "--config", config, "--checkpoints", lab.run, "--queries", lab.queries, *sets, "--out", out
    )
    assert found.code == 2
    assert "my.yaml" in found.complaint
    assert named in found.complaint
    assert not out.exists()


def test_a_complaint_about_an_option_beside_a_config_does_not_blame_the_file(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    config = text(tmp_path / "my.yaml", yaml.safe_dump(lab.settings()))
    found = assay("study", "--config", config, "--render", "x", "--out", out)
    assert found.complaint.startswith("--render: ")


@pytest.mark.parametrize("kind", ["file", "below-a-file", "foreign"])
def test_an_out_that_cannot_be(kind: str, lab: Lab, assay: Assay, tmp_path: Path) -> None:
    mine = text(tmp_path / "mine.txt", "mine")
    out = {"file": mine, "below-a-file": mine / "out", "foreign": tmp_path}[kind]
    found = assay(*lab.arguments(out))
    assert found.code == 2
    assert "--out" in found.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert mine.read_text() == "mine"


def run_with(lab: Lab, folder: Path, change: Any) -> Path:
    """A copy of the lab's run whose last adapter's tensors went through `change`."""
    shutil.copytree(lab.run, folder)
    file = folder / "checkpoint-6" / "adapter_model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def test_weights_that_are_not_finite_name_an_example(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    run = run_with(lab, tmp_path / "run", lambda ts: {name: t * torch.nan for name, t in ts.items()})
    found = assay(*lab.arguments(out, "--checkpoints", str(run), "--steps", "6"))
    assert found.code == 2
    assert any(row["id"] in found.complaint for style in ("plain", "cot") for row in rows(style, 10, 8))
    assert not out.exists()


def test_an_adapter_whose_base_is_gone(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.runs.study.write_report", lambda result, folder: folder / "report.html")
    run = tmp_path / "run"
    shutil.copytree(lab.run, run)
    for file in run.glob("*/adapter_config.json"):
        file.write_text(file.read_text().replace(str(lab.model), str(tmp_path / "moved")))
    (run / "recipe.json").unlink()
    found = assay(*lab.arguments(out, "--checkpoints", str(run)))
    assert found.code == 2
    assert "--base-model" in found.complaint
    assert assay(*lab.arguments(out, "--checkpoints", str(run), "--base-model", str(lab.model))).code == 0


def test_a_tokenizer_without_a_template(lab: Lab, assay: Assay, tmp_path: Path, out: Path) -> None:
    model = save_model(tmp_path / "bare", template=None)
    found = assay(*lab.arguments(out, "--checkpoints", str(model)))
    assert found.code == 2
    assert "chat template" in found.complaint
    assert "--render plain" in found.complaint
    assert not out.exists()


def test_a_bug_of_ours_is_a_sentence_too(
    lab: Lab, assay: Assay, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("what?")

    monkeypatch.setattr("assay.runs.study.read_sets", broken)
    found = assay(*lab.arguments(out))
    assert found.code == 1
    assert "ASSAY_DEBUG" in found.complaint
    monkeypatch.setenv("ASSAY_DEBUG", "1")
    monkeypatch.setattr("sys.argv", ["assay", *lab.arguments(out)])
    from assay.cli import main

    with pytest.raises(KeyError):
        main()


def test_names_of_files_are_shown_as_they_are(lab: Lab, assay: Assay, tmp_path: Path, out: Path) -> None:
    odd = tmp_path / "[red]:warning:[/] \x1b[31m.jsonl"
    found = assay(*lab.arguments(out, "--train-data", str(odd)))
    assert "[red]:warning:[/] \ufffd[31m.jsonl" in found.complaint


def test_an_interruption_is_no_traceback(
    lab: Lab, assay: Assay, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.runs.study.measure", interrupted)
    found = assay(*lab.arguments(out))
    assert found.code == 130
    assert "goes on" in found.complaint


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["preview", "{tmp}/none.jsonl", "--model", "{lab}/model"], "none.jsonl"),
        (["preview", "{lab}/base.jsonl", "--model", "nowhere"], "nowhere"),
        (["preview", "{lab}/base.jsonl", "--model", "{lab}/model", "--loss-on", "x"], "--loss-on"),
        (["verify", "--checkpoints", "{tmp}", "--probes", "{lab}/cot.jsonl", "--queries", "x"], "empty"),
        (
            ["verify", "--checkpoints", "{lab}/run", "--probes", "{lab}/cot.jsonl", "--queries", "x.jsonl"],
            "x.jsonl",
        ),
        (["train", "--base-model", "{lab}/model", "--data", "x.jsonl", "--out", "{tmp}/o"], "x.jsonl"),
        (["train", "--base-model", "nowhere/x", "--data", "{lab}/base.jsonl", "--out", "{tmp}/o"], "nowhere"),
        (
            [
                "train", "--base-model", "{lab}/model", "--data", "{lab}/base.jsonl", "--out", "{tmp}/o",
                "--precision", "fp7",
            ],
            "precision",
        ),
        (
            [
                "train", "--base-model", "{lab}/model", "--data", "{lab}/base.jsonl", "--out", "{tmp}/o",
                "--epochs", "0",
            ],
            "epochs",
        ),
        (
            [
                "train", "--base-model", "{lab}/model", "--data", "{lab}/base.jsonl", "--out", "{tmp}/o",
                "--target-modules", "nonsense",
            ],
            "nonsense",
        ),
        (
            [
                "train", "--base-model", "{lab}/model", "--data", "{lab}/base.jsonl", "--out",
                "{lab}/base.jsonl",
            ],
            "base.jsonl",
        ),
        (["demo", "--out", "{lab}/base.jsonl"], "base.jsonl"),
    ],
)  # fmt: skip
def test_other_commands_complain_as_clearly(
    command: list[str], named: str, lab: Lab, assay: Assay, tmp_path: Path
) -> None:
    found = assay(*[part.format(lab=lab.folder, tmp=tmp_path) for part in command])
    assert found.code == 2
    assert named in found.complaint


def test_queries_that_were_trained_on_are_an_error_by_default(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    train = write_rows(tmp_path / "train.jsonl", rows("plain", 13, 1))
    found = assay(*lab.arguments(out, "--train-data", str(train)))
    assert found.code == 2
    assert "--on-trained drop" in found.complaint
