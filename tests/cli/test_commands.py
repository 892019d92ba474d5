"""The commands as a person runs them: what they print where, and what they leave behind."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from torch import Tensor

from assay.cli.verify import verify as verify_command
from assay.errors import ConfigError
from assay.models.session import Session
from assay.runs import study as module
from assay.runs.config import MeasureConfig, Reading
from assay.runs.inputs import tokenise
from assay.runs.names import named_files
from tests.cli.conftest import Assay
from tests.runs.lab import Lab, rows, write_rows

COMMANDS = ("study", "craft", "score", "select", "validate", "methods", "demo", "preview", "verify", "train")


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")


def shell(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed command, in a process of its own."""
    code = "import sys; from assay.cli import main; sys.argv[0] = 'assay'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )


def test_a_study_prints_verdicts_and_leaves_a_report(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = shell(*lab.arguments(out))
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    for word in ("strategy", "cot", "plain", f"Report: {out / 'report.html'}"):
        assert word in found.stdout
    assert "checkpoint-6 (3 of 3)" in found.stderr
    assert "36 examples" in found.stderr, "the estimate is said before work begins"
    assert "checkpoint-6 (3 of 3)" not in found.stdout
    assert max(map(len, found.stdout.splitlines()[:8])) <= 80
    about = json.loads((out / "study.json").read_text())["about"]
    assert about["command"].startswith("assay study --checkpoints")


def test_a_mistake_is_a_sentence_and_exit_code_2() -> None:
    found = shell("study", "--config", "nowhere.yaml", "--out", "out")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "assay: There is no configuration file nowhere.yaml.\n"


def test_config_yaml_replays_the_same_result(lab: Lab, assay: Assay, tmp_path: Path, no_report: None) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert assay(*lab.arguments(first, "--margin", "0.3", "--undesired", "queries")).code == 0
    assert assay("study", "--config", first / "config.yaml", "--out", second).code == 0
    ours, theirs = (json.loads((folder / "study.json").read_text()) for folder in (first, second))
    about, replayed = ours.pop("about"), theirs.pop("about")
    assert ours == theirs
    assert about["fingerprint"] == replayed["fingerprint"]
    assert about["config"] == replayed["config"]


def test_help_loads_no_models() -> None:
    code = (
        "import sys; sys.argv = ['assay', 'study', '--help']\n"
        "from assay.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'pyarrow', 'altair') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_explains_itself(command: str, assay: Assay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    found = assay(command, "--help")
    assert found.code == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", found.out)
    assert "--help" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "…-" not in text, "no option's name is cut"


def test_version_and_bare_call(assay: Assay) -> None:
    assert assay("--version").out.startswith("assay ")
    assert all(command in assay().out + assay().err for command in COMMANDS)


def test_options_go_before_the_config(lab: Lab, assay: Assay, tmp_path: Path, no_report: None) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(
        yaml.safe_dump(lab.settings(margin=0.5, steps=[2], limit=2, reading={"unescape": True}))
    )
    out = tmp_path / "out"
    found = assay("study", "--config", config, "--steps", "4,6", "--task-column", "task", "--out", out)
    assert found.code == 0, found.err
    written = yaml.safe_load((out / "config.yaml").read_text())
    assert (written["margin"], written["steps"], written["limit"]) == (0.5, [4, 6], 2)
    assert written["reading"] == {"unescape": True}


def test_a_config_may_leave_to_options_what_it_needs(
    lab: Lab, assay: Assay, tmp_path: Path, no_report: None
) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("limit: 2\nsteps: [6]\n")
    found = assay(*lab.arguments(tmp_path / "out", "--config", str(config)))
    assert found.code == 0, found.err


def test_names_and_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.jsonl").write_text("")
    assert named_files(["cot=x/a=b.jsonl"], "--probes") == {"cot": "x/a=b.jsonl"}
    assert named_files(["data/a=b/eval.jsonl.gz"], "--queries") == {"eval": "data/a=b/eval.jsonl.gz"}
    assert named_files(["a=b.jsonl"], "--queries") == {"a=b": "a=b.jsonl"}
    assert named_files(["dataset_info.json:alpaca"], "--queries") == {"alpaca": "dataset_info.json:alpaca"}
    assert named_files(["x=dataset_info.json:alpaca"], "--queries") == {"x": "dataset_info.json:alpaca"}
    assert named_files(["x=hub:a/b"], "--queries") == {"x": "hub:a/b"}
    assert named_files(["hub:a/b"], "--queries") == {"b": "hub:a/b"}
    assert named_files(["q=~/x"], "--queries") == {"q": str(Path.home() / "x")}
    for values in (["a="], ["=b"], ["a=1", "a=2"], ["x/e.jsonl", "y/e.json"], [""]):
        with pytest.raises(ConfigError, match="--probes"):
            named_files(values, "--probes")


def test_preview_shows_what_is_learned(lab: Lab, assay: Assay) -> None:
    found = assay("preview", lab.cot, "--model", lab.model, "--rows", 2)
    assert found.code == 0, found.err
    assert "⟦twice of 10, so 20<|im_end|>⟧" in found.out
    assert found.out.count("tokens learned") == 2
    assert "read 2 examples as messages" in found.err
    whole = assay("preview", lab.cot, "--model", lab.model, "--rows", 1, "--loss-on", "all").out
    assert "twice 10?" in re.findall("⟦(.*?)⟧", whole, re.DOTALL)[0]


def test_preview_is_coloured_where_there_are_colours(
    lab: Lab, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(force_terminal=True, color_system="standard", highlight=False, file=StringIO())
    monkeypatch.setattr("assay.cli.preview.output", screen)
    assert assay("preview", lab.cot, "--model", lab.model, "--rows", 1).code == 0
    shown = screen.file.getvalue()
    assert "\x1b[32mtwice of 10, so 20<|im_end|>\x1b[0m" in shown
    assert "⟦" not in shown


def test_preview_leaves_markup_alone_and_takes_out_control_characters(
    lab: Lab, assay: Assay, tmp_path: Path
) -> None:
    row = {"prompt": "[bold]:smile: \x1b[2J", "completion": "[/bold] [red]x", "id": "[i]"}
    file = write_rows(tmp_path / "x.jsonl", [row])
    found = assay("preview", file, "--model", lab.model)
    assert "[bold]:smile: " in found.out
    assert "[/bold] [red]x" in found.out
    assert "\x1b[2J" not in found.out


def test_preview_reads_a_table(lab: Lab, assay: Assay, tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("two?\\nNow.\t2\n")
    found = assay(
        "preview", table, "--model", lab.model, "--columns", "q,a", "--prompt", "q", "--completion", "a",
        "--unescape",
    )  # fmt: skip
    assert "two?\nNow." in found.out
    assert "⟦2<|im_end|>⟧" in found.out


def verify(lab: Lab, *more: object) -> tuple[object, ...]:
    return (
        "verify", "--checkpoints", lab.run, "--probes", lab.cot, "--queries", lab.queries, "--count", 3,
        *more,
    )  # fmt: skip


def test_verify_passes_on_a_healthy_model(lab: Lab, assay: Assay) -> None:
    found = assay(*verify(lab))
    assert found.code == 0, found.out + found.err
    assert found.out.count(" ok ") == 5
    assert "FAILS" not in found.out


def test_verify_takes_a_step_and_a_dtype(lab: Lab, assay: Assay) -> None:
    assert assay(*verify(lab, "--step", 2, "--dtype", "fp64")).code == 0
    assert assay(*verify(lab, "--step", 3)).code == 2


def test_verify_runs_the_model_as_the_study_would(lab: Lab, assay: Assay) -> None:
    """What is verified is what is measured: the same attention, the same checkpointing."""
    found = assay(*verify(lab, "--attention", "eager", "--gradient-checkpointing"))
    assert found.code == 0, found.out + found.err
    assert assay(*verify(lab, "--attention", "none-such")).code == 2


@pytest.mark.parametrize(
    ("given", "loss_ons"),
    [
        ((), ["assistant", "last"]),
        (("--loss-on", "all"), ["all", "last"]),
        (("--query-loss-on", "all"), ["assistant", "all"]),
    ],
)
def test_verify_learns_of_probes_and_queries_what_the_study_would(
    given: tuple[str, ...], loss_ons: list[str], lab: Lab, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = importlib.import_module("assay.runs.verify")
    seen = []

    def noted(*arguments: object, loss_on: str, longest: int | None) -> object:
        seen.append(loss_on)
        return tokenise(*arguments, loss_on=loss_on, longest=longest)

    monkeypatch.setattr(run, "tokenise", noted)
    monkeypatch.setattr(run, "verify_gradients", lambda *arguments, **options: [])
    assert assay(*verify(lab, *given)).code == 0
    assert seen == loss_ons


def test_verify_quantizes_and_shortens_as_the_study_would(
    lab: Lab, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = importlib.import_module("assay.runs.verify")
    monkeypatch.setattr(run, "verify_gradients", lambda *arguments, **options: [])
    assert assay(*verify(lab, "--max-length", 25)).code == 2
    assert assay(*verify(lab, "--max-length", 25, "--truncation", "prompt")).code == 0

    opened = Session.open
    asked = []

    def noted(trajectory: object, *, quantize: str | None, **options: object) -> object:
        asked.append(quantize)
        return opened(trajectory, **options)

    monkeypatch.setattr(Session, "open", noted)
    assert assay(*verify(lab, "--quantize", "4bit")).code == 0
    assert asked == ["4bit"]
    assert "--quantize" in assay(*verify(lab, "--quantize", "2bit")).complaint


def test_verify_takes_every_option_that_decides_a_gradient() -> None:
    parameters = inspect.signature(verify_command).parameters
    of_reading = {"reading"} | set(Reading.model_fields)
    assert set(MeasureConfig.model_fields) - of_reading <= parameters.keys()


def test_verify_fails_when_a_gradient_is_lost(
    lab: Lab, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = importlib.import_module("assay.gradients.engine")
    run = engine.Engine.run

    def wrong(self: object, batch: object, consume: object) -> Tensor:
        def bent(name: str, contributions: list[object]) -> None:
            if "layers.1.mlp.up_proj.lora_B" not in name:
                consume(name, contributions)

        return run(self, batch, bent)

    monkeypatch.setattr(engine.Engine, "run", wrong)
    found = assay(*verify(lab))
    assert found.code == 1
    assert "FAILS" in found.out


def test_a_run_of_train_is_studied(lab: Lab, assay: Assay, tmp_path: Path, no_report: None) -> None:
    run, bad = tmp_path / "run", tmp_path / "bad.jsonl"
    bad.write_text(lab.base.read_text() + lab.queries.read_text() + "{broken\n")
    arguments = [
        "train", "--base-model", lab.model, "--data", bad, "--out", run, "--exclude", lab.queries,
        "--max-steps", 2, "--save-every", 1, "--batch-size", 4, "--lora-r", 2, "--lora-alpha", 4,
        "--target-modules", "q_proj, v_proj", "--on-bad-rows", "skip",
    ]  # fmt: skip
    found = assay(*arguments)
    assert found.code == 0, found.err
    assert found.out.strip() == f"2 checkpoints in {run}"
    assert "Left out 12 training examples" in found.err
    assert len((run / "rejects.jsonl").read_text().splitlines()) == 1
    config = json.loads((run / "checkpoint-1" / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert assay(*arguments).code == 0, "the same command goes on"
    assert assay(*arguments[:-2], "--learning-rate", 1).code == 2, "another one does not"
    out = tmp_path / "out"
    found = assay(*lab.arguments(out, "--checkpoints", str(run), "--train-data", str(lab.base)))
    assert found.code == 0, found.err
    assert "0 were trained on" in found.err


def test_train_refuses_what_is_longer_than_the_model_takes(lab: Lab, assay: Assay, tmp_path: Path) -> None:
    long = write_rows(tmp_path / "long.jsonl", [{"prompt": "a", "completion": "b" * 500}])
    found = assay("train", "--base-model", lab.model, "--data", long, "--out", tmp_path / "run")
    assert found.code == 2
    assert "160 that the model takes" in found.complaint
    assert not (tmp_path / "run").exists()


def test_the_demo_is_a_study_like_any_other(
    lab: Lab, assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    """With small inputs in the place of the world's."""
    from assay.runs import demo
    from assay.world.demo import DemoInputs

    def small(folder: Path) -> DemoInputs:
        folder.mkdir(parents=True, exist_ok=True)
        probes = {name: write_rows(folder / f"{name}.jsonl", rows(name, 10, 2)) for name in ("plain", "cot")}
        queries = write_rows(folder / "queries.jsonl", rows("plain", 30, 2))
        return DemoInputs(write_rows(folder / "base.jsonl", rows("plain", 60, 6)), probes, "plain", queries)

    monkeypatch.setattr(demo, "demo_inputs", small)
    monkeypatch.setattr(demo, "base_model_path", lambda: lab.model)
    found = assay("demo", "--out", tmp_path / "demo", "--max-steps", 8)
    assert found.code == 0, found.err
    assert "strategy" in found.out
    assert (tmp_path / "demo" / "study" / "study.json").exists()
    assert len(list((tmp_path / "demo" / "run").glob("checkpoint-*"))) == 8
