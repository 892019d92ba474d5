"""The Python door says in three lines what the command line says."""

import json
from pathlib import Path

import pytest

import assay
from assay.errors import ConfigError, DataError, ResumeError
from assay.runs import study as module
from assay.runs.config import read_config
from assay.runs.study import run_study
from assay.runs.tables import read_measurements
from tests.runs.lab import Heard, Lab


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")


def test_a_study_in_three_lines(lab: Lab, tmp_path: Path) -> None:
    trajectory = assay.Trajectory.discover(lab.run)
    study = assay.study(trajectory, probes={"cot": lab.cot}, control=lab.plain, queries=lab.queries)
    report = study.save(tmp_path / "saved")
    assert report == tmp_path / "saved" / "report.html"
    assert [verdict.probe_set for verdict in study.verdicts if verdict.vs_control] == ["cot", "cot"]
    assert study.measurements.control == "control"
    assert list(study.measurements.query_sets) == ["queries"]
    assert len(read_measurements(tmp_path / "saved").checkpoints) == 3
    assert json.loads((tmp_path / "saved" / "study.json").read_text())["about"]["command"] is None


def test_it_says_what_the_command_line_says(lab: Lab) -> None:
    ours = assay.study(lab.run, probes={"cot": lab.cot}, control={"plain": lab.plain}, queries=lab.queries)
    assert ours.verdicts == run_study(lab.config()).verdicts


def test_files_in_a_list_are_named_after_themselves(lab: Lab, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(lab.queries.read_text())
    listed = assay.study(
        lab.run, probes=[lab.cot, str(lab.plain)], queries=(lab.queries, str(more)), steps=[6]
    )
    assert list(listed.measurements.probe_sets) == ["cot", "plain"]
    assert list(listed.measurements.query_sets) == ["queries", "more"]
    controlled = assay.study(lab.run, probes=[lab.cot], control=[lab.plain], queries=[lab.queries])
    named = assay.study(lab.run, probes={"cot": lab.cot}, control={"plain": lab.plain}, queries=lab.queries)
    assert controlled.verdicts == named.verdicts


@pytest.mark.parametrize("role", ["probes", "control", "queries"])
@pytest.mark.parametrize(
    ("files", "says"),
    [
        (3, "a list of files"),
        ([3], "a list of files"),
        ([{"cot": "x.jsonl"}], "a list of files"),
        (["a/x.jsonl", "b/x.jsonl"], "the name 'x' is given twice"),
        ([""], "give it as NAME=FILE"),
    ],
)
def test_files_that_cannot_be_are_one_sentence(role: str, files: object, says: str, lab: Lab) -> None:
    given = {"probes": lab.cot, "queries": lab.queries, role: files}
    with pytest.raises(ConfigError, match=f"^{role}.*{says}"):
        assay.study(lab.run, **given)  # type: ignore[arg-type]


def test_with_a_folder_it_goes_on(lab: Lab, tmp_path: Path) -> None:
    what = {"probes": {"cot": lab.cot}, "queries": {"q": lab.queries}, "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        assay.study(lab.run, **what, progress=Heard(stop_at="checkpoint-6"))
    again = Heard()
    assay.study(lab.run, **what, progress=again)
    assert len(again.stages) == 1
    assert (tmp_path / "out" / "study.json").exists()


@pytest.mark.parametrize("steps", [None, [2, 6], [4]])
def test_the_config_of_a_trajectory_replays_all_of_it(
    steps: list[int] | None, lab: Lab, tmp_path: Path
) -> None:
    trajectory = assay.Trajectory.discover(lab.run, steps=steps, base_model=str(lab.model))
    study = assay.study(trajectory, probes=lab.cot, queries=lab.queries, out=tmp_path / "out")
    again = run_study(read_config(tmp_path / "out" / "config.yaml"))
    assert [at.name for at in again.measurements.checkpoints] == [at.name for at in trajectory.checkpoints]
    assert again.verdicts == study.verdicts


def test_mistakes_are_errors_of_ours(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="did you mean margin"):
        assay.study(lab.run, probes=lab.cot, queries=lab.queries, margn=1)
    with pytest.raises(DataError, match="nowhere"):
        assay.study(lab.run, probes="nowhere.jsonl", queries=lab.queries)


def test_a_study_is_not_saved_over_what_is_not_a_folder(lab: Lab, tmp_path: Path) -> None:
    study = assay.study(lab.run, probes=lab.cot, queries=lab.queries, steps=[6])
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="no folder"):
        study.save(tmp_path / "file")


def test_a_study_is_saved_over_itself_alone(lab: Lab, tmp_path: Path) -> None:
    first = assay.study(lab.run, probes=lab.cot, queries=lab.queries, steps=[6])
    other = assay.study(lab.run, probes=lab.plain, queries=lab.queries, steps=[6])
    first.save(tmp_path / "out")
    first.save(tmp_path / "out")
    with pytest.raises(ResumeError, match=r"probes \(probes\)"):
        other.save(tmp_path / "out")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ResumeError, match="not empty"):
        first.save(tmp_path)
    assert json.loads((tmp_path / "out" / "study.json").read_text())["sets"][0]["name"] == "probes"
    heard = Heard()
    assay.study(lab.run, probes=lab.cot, queries=lab.queries, steps=[6], out=tmp_path / "out", progress=heard)
    assert len(heard.stages) == 1, "what was saved without shards is measured again, into the same folder"
