"""A killed study goes on from its finished checkpoints; another study's folder is left alone."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assay.errors import ConfigError, ResumeError
from assay.files import read_json
from assay.runs import study as module
from assay.runs.study import run_study
from tests.runs.lab import Heard, Lab, rows, save_model, write_rows


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than measuring here, and is not what is tested."""
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")


def said(out: Path) -> dict[str, Any]:
    """study.json but for what a clock decides."""
    result = read_json(out / "study.json")
    for key in ("seconds", "date"):
        result["about"].pop(key)
    return result


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_report", lambda result, folder: folder / "report.html")
        run_study(lab.config(), out=out)
    return out


def test_a_run_that_was_stopped_computes_only_what_is_missing(
    lab: Lab, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_study(lab.config(), out=out, progress=Heard(stop_at="checkpoint-4"))
    assert [path.name for path in (out / "measurements").iterdir()] == ["checkpoint-2.safetensors"]
    assert not (out / "study.json").exists()
    again = Heard()
    run_study(lab.config(), out=out, progress=again)
    assert [stage.split()[0] for stage in again.stages] == ["checkpoint-4", "checkpoint-6"]
    assert said(out) == said(finished)
    assert (out / "influence.parquet").read_bytes() == (finished / "influence.parquet").read_bytes()


def test_a_process_that_was_killed_goes_on(lab: Lab, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = (
        "import sys, time, yaml\n"
        "from pathlib import Path\n"
        "from assay.runs import measure, study\n"
        "from assay.runs.config import study_config\n"
        "write = measure.write_shard\n"
        "measure.write_shard = lambda *a: (write(*a), time.sleep(60))\n"
        "study.run_study(study_config(yaml.safe_load(sys.argv[1])), out=Path(sys.argv[2]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, json.dumps(lab.settings()), str(out)])
    shard = out / "measurements" / "checkpoint-2.safetensors"
    while not shard.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    again = Heard()
    run_study(lab.config(), out=out, progress=again)
    assert len(again.stages) == 2
    assert said(out) == said(finished)


def test_a_finished_study_is_not_measured_again(lab: Lab, finished: Path) -> None:
    before = said(finished)
    again = Heard()
    run_study(lab.config(), out=finished, progress=again)
    assert again.stages == []
    assert said(finished) == before


@pytest.mark.parametrize("keep", [0, 40, 0.5, 0.999])
def test_a_truncated_shard_is_measured_again(lab: Lab, finished: Path, tmp_path: Path, keep: float) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    shard = out / "measurements" / "checkpoint-4.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    again = Heard()
    run_study(lab.config(), out=out, progress=again)
    assert [stage.split()[0] for stage in again.stages] == ["checkpoint-4"]
    assert (out / "influence.parquet").read_bytes() == (finished / "influence.parquet").read_bytes()
    assert said(out) == said(finished)


def test_another_study_is_refused_by_the_name_of_what_differs(
    lab: Lab, finished: Path, tmp_path: Path
) -> None:
    before = listing(finished)
    other_model = save_model(tmp_path / "other-model")
    more = write_rows(tmp_path / "more.jsonl", rows("plain", 40, 4))
    for changes, named in (
        ({"checkpoints": str(other_model)}, "model"),
        ({"probes": {"cot": str(more)}}, r"probes \(cot\)"),
        ({"probes": {"brief": str(lab.cot)}}, r"probes \(brief, cot\)"),
        ({"queries": {"queries": str(more)}}, r"queries \(queries\)"),
        ({"loss_on": "all"}, "loss_on"),
        ({"dtype": "fp64"}, r"model \(dtype"),
        ({"limit": 2}, "probes"),
    ):
        with pytest.raises(ResumeError, match=named):
            run_study(lab.config(**changes), out=finished)
    assert listing(finished) == before


def test_other_weights_under_the_same_names_are_refused(lab: Lab, finished: Path, tmp_path: Path) -> None:
    """Checkpoints of another run may carry the same names; what was measured of this one stays."""
    other = tmp_path / "run"
    shutil.copytree(lab.run, other)
    shutil.copy(other / "checkpoint-2" / "adapter_model.safetensors", other / "checkpoint-6")
    before = listing(finished)
    with pytest.raises(ResumeError, match="checkpoint-6"):
        run_study(lab.config(checkpoints=str(other)), out=finished)
    assert listing(finished) == before


def test_options_that_change_no_measurement_reuse_them(lab: Lab, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    again = Heard()
    found = run_study(
        lab.config(margin=5.0, undesired=["queries"], token_budget=64, steps=[2, 6]), out=out, progress=again
    )
    assert again.stages == []
    assert len(found.measurements.checkpoints) == 2
    assert {verdict.margin for verdict in found.verdicts} == {5.0, None}


def test_a_folder_that_is_no_study_is_refused_and_left_alone(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ResumeError, match="not empty"):
        run_study(lab.config(), out=tmp_path)
    assert listing(tmp_path) == {"thesis.txt": b"years of work"}


def test_settings_that_cannot_be_read_are_refused(lab: Lab, tmp_path: Path) -> None:
    for text in ("{", "[]", "null"):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(ResumeError, match=r"settings\.json"):
            run_study(lab.config(), out=tmp_path)
        assert listing(tmp_path) == {"settings.json": text.encode()}


def test_an_out_that_is_a_file_is_refused_before_anything_is_read(lab: Lab, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for out in (taken, taken / "below"):
        heard = Heard()
        with pytest.raises(ConfigError, match="taken"):
            run_study(lab.config(), out=out, progress=heard)
        assert heard.notes == []
    assert taken.read_text() == "mine"
