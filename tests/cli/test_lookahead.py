"""A lookahead asked for on the command line."""

from pathlib import Path

from assay.files import read_json
from tests.cli.conftest import Assay
from tests.runs.lab import Lab


def test_a_study_climbs_from_gradients_to_real_steps(lab: Lab, assay: Assay, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--evidence", "all", "--lookahead-steps", "1", "--lookahead-seeds", "2", "--time-budget", "1h"]
    found = assay(*lab.arguments(out, "--train-data", str(lab.base), *options))
    assert found.code == 0, found.err
    assert "gradients" in found.out and "real steps" in found.out
    assert [rung["evidence"] for rung in read_json(out / "study.json")["rungs"]] == ["gradient", "lookahead"]
    text = (out / "config.yaml").read_text(encoding="utf-8")
    for line in ("evidence: all", "time_budget: 1h", "lookahead_steps: 1", "lookahead_seeds: 2"):
        assert line in text
    assert "Two kinds of evidence" in (out / "report.html").read_text(encoding="utf-8")


def test_a_budget_that_is_no_time_is_refused(lab: Lab, assay: Assay, tmp_path: Path) -> None:
    for options, named in (
        (["--evidence", "all", "--time-budget", "soon"], "--time-budget"),
        (["--time-budget", "10m"], "--evidence all"),
        (["--evidence", "both"], "--evidence"),
    ):
        found = assay(*lab.arguments(tmp_path / "out", *options))
        assert found.code == 2 and named in found.complaint
        assert not (tmp_path / "out").exists()
