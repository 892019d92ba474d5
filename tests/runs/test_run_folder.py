"""A study's run folder: what is in it, that its numbers are right, and that it can be read back."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from assay.data.render import tokenize_all
from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.runs.config import read_config
from assay.runs.study import Study, plain, run_study
from assay.runs.tables import read_measurements
from assay.studies import analyse
from assay.studies.intervals import BOOTSTRAP, NO_INTERVAL
from assay.studies.measurements import Measurements
from assay.studies.result import Estimate
from tests.gradients.models import autograd_gradients
from tests.runs.lab import Heard, Lab, rows, write_rows

COLUMNS = (
    "checkpoint, step, epoch, learning_rate, probe_set, probe_id, probe_task, probe_pair, query_set, "
    "query_id, query_task, query_pair, dot, probe_sqnorm, query_sqnorm, probe_tokens, query_tokens, "
    "probe_loss, query_loss, excluded"
)


@pytest.fixture(scope="module")
def out(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def done(lab: Lab, out: Path) -> Study:
    """A study of two query sets, the second undesired."""
    config = lab.config(
        queries={"good": str(lab.queries), "bad": str(lab.cot)}, undesired=["bad"], margin=0.3
    )
    return run_study(config, out=out, progress=Heard(), command="assay study …")


def refuse_constant(text: str) -> float:
    raise AssertionError(f"study.json holds {text}")


def assert_same_measurements(ours: Measurements, theirs: Measurements) -> None:
    assert ours.control == theirs.control
    for sets, others in ((ours.probe_sets, theirs.probe_sets), (ours.query_sets, theirs.query_sets)):
        assert list(sets) == list(others)
        for name, one in sets.items():
            other = others[name]
            assert (one.ids, one.tasks, one.pairs, one.texts) == (
                other.ids,
                other.tasks,
                other.pairs,
                other.texts,
            )
            assert one.direction == other.direction
            np.testing.assert_array_equal(one.tokens, other.tokens)
    for key, mask in ours.excluded.items():
        np.testing.assert_array_equal(mask, theirs.excluded[key])
    for at, there in zip(ours.checkpoints, theirs.checkpoints, strict=True):
        assert (at.name, at.step, at.epoch, at.learning_rate) == (
            there.name,
            there.step,
            there.epoch,
            there.learning_rate,
        )
        assert at.gram_of_task_means == there.gram_of_task_means
        for field in (
            "dot",
            "probe_sqnorm",
            "query_sqnorm",
            "probe_loss",
            "query_loss",
            "probe_gram",
            "query_gram",
        ):
            for key, values in getattr(at, field).items():
                np.testing.assert_array_equal(values, getattr(there, field)[key])


def test_everything_is_written(done: Study, out: Path) -> None:
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.yaml",
        "settings.json",
        "study.json",
        "influence.parquet",
        "gram.parquet",
        "examples.parquet",
        "report.html",
        "charts",
        "measurements",
    }
    assert list((out / "charts").glob("*.svg"))
    assert sorted(path.name for path in (out / "measurements").iterdir()) == [
        f"checkpoint-{step}.safetensors" for step in (2, 4, 6)
    ]


def test_study_json_is_strict_json_of_the_result(done: Study, out: Path) -> None:
    read = json.loads((out / "study.json").read_text(), parse_constant=refuse_constant)
    assert read == json.loads(json.dumps(plain(done.result)))
    assert {verdict["probe_set"] for verdict in read["verdicts"]} == {"cot", "plain"}
    assert read["about"]["command"] == "assay study …"


def test_influence_has_the_promised_columns_and_a_row_per_checkpoint_probe_and_query(
    done: Study, out: Path
) -> None:
    table = pq.read_table(out / "influence.parquet")
    assert ", ".join(table.column_names) == COLUMNS
    assert table.num_rows == 3 * (12 + 12) * (12 + 12)
    for column in ("dot", "probe_sqnorm", "query_sqnorm", "probe_loss", "query_loss"):
        assert np.isfinite(table[column].to_numpy()).all()


def test_tables_read_back_to_what_was_measured(done: Study, out: Path) -> None:
    assert_same_measurements(done.measurements, read_measurements(out))


def test_the_saved_tables_give_the_saved_verdicts(done: Study, out: Path) -> None:
    again = analyse(read_measurements(out), margin=0.3)
    assert again.verdicts == done.result.verdicts
    assert again.curves == done.result.curves
    assert again.cells == done.result.cells


def test_products_and_losses_are_those_of_a_batch_of_one_loop(lab: Lab, done: Study, out: Path) -> None:
    session = Session.open(Trajectory.discover(lab.run))
    examples = {name: part.examples for name, part in {**done.inputs.probes, **done.inputs.queries}.items()}
    rows = pq.read_table(out / "influence.parquet").to_pylist()
    for checkpoint in session.trajectory.checkpoints:
        model = session.at(checkpoint)
        gradient: dict[tuple[str, str], np.ndarray] = {}
        loss: dict[tuple[str, str], float] = {}
        for name, members in examples.items():
            loss_on = "last" if name in ("good", "bad") else "assistant"
            tokens = list(tokenize_all(members, session.tokenizer, loss_on=loss_on).tokens)
            vectors, losses = autograd_gradients(model, tokens)
            for example, vector, value in zip(members, vectors, losses, strict=True):
                gradient[name, example.id] = vector.numpy()
                loss[name, example.id] = float(value)
        here = [row for row in rows if row["checkpoint"] == checkpoint.name]
        for row in here:
            z, q = (row["probe_set"], row["probe_id"]), (row["query_set"], row["query_id"])
            scale = np.linalg.norm(gradient[z]) * np.linalg.norm(gradient[q])
            assert abs(row["dot"] - gradient[z] @ gradient[q]) < 1e-5 * scale
            assert row["probe_sqnorm"] == pytest.approx(gradient[z] @ gradient[z], rel=1e-4)
            assert row["query_sqnorm"] == pytest.approx(gradient[q] @ gradient[q], rel=1e-4)
            assert row["probe_loss"] == pytest.approx(loss[z], rel=1e-5)
            assert row["query_loss"] == pytest.approx(loss[q], rel=1e-5)


def test_positions_are_those_of_the_trajectory(done: Study, out: Path) -> None:
    found = {
        row["checkpoint"]: (row["step"], row["learning_rate"])
        for row in pq.read_table(out / "influence.parquet").to_pylist()
    }
    assert [step for step, _ in found.values()] == [2, 4, 6]
    assert all(rate and rate > 0 for _, rate in found.values())


def test_config_yaml_reads_back_to_the_same_settings(done: Study, out: Path) -> None:
    assert read_config(out / "config.yaml") == done.config
    assert "token_budget" not in yaml.safe_load((out / "config.yaml").read_text()), "defaults are left out"


def test_excluded_pairs_are_marked_and_counted(done: Study, out: Path) -> None:
    table = pq.read_table(out / "influence.parquet").to_pylist()
    marked = {(r["probe_set"], r["probe_id"], r["query_set"], r["query_id"]) for r in table if r["excluded"]}
    # Probes ask about 10 to 13, the good queries about 12 to 15, the bad ones are the cot probes.
    expected = {
        (style, f"{style}-{task}-{n}", "good", f"q-plain-{task}-{n}")
        for style in ("cot", "plain")
        for task in ("twice", "next", "digit")
        for n in (12, 13)
    } | {
        (style, f"{style}-{task}-{n}", "bad", f"cot-{task}-{n}")
        for style in ("cot", "plain")
        for task in ("twice", "next", "digit")
        for n in range(10, 14)
    }
    assert marked == expected
    assert done.result.excluded_pairs == len(expected)


@pytest.mark.parametrize("limit", [2, 11])
def test_large_sets_keep_products_of_task_means(
    limit: int, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit of 11 the query set alone is large; every estimator stays what it is."""
    few = write_rows(tmp_path / "few.jsonl", rows("cot", 10, 3))
    control = write_rows(tmp_path / "control.jsonl", rows("plain", 10, 3))
    config = lab.config(probes={"cot": str(few)}, control={"plain": str(control)})
    whole = run_study(config)
    monkeypatch.setattr("assay.runs.measure.GRAM_LIMIT", limit)
    monkeypatch.setattr("assay.runs.study.write_report", lambda result, folder: folder / "report.html")
    means = run_study(config, out=tmp_path / "out")
    at = means.measurements.checkpoints[0]
    assert at.query_gram["queries"].shape == (3, 3)
    assert at.probe_gram["cot"].shape == ((3, 3) if limit == 2 else (9, 9))
    table = pq.read_table(tmp_path / "out" / "gram.parquet").to_pylist()
    assert {row["a"] for row in table if row["set"] == "queries"} == {"twice", "next", "digit"}
    assert_same_measurements(means.measurements, read_measurements(tmp_path / "out"))
    for ours, theirs in zip(means.result.curves, whole.result.curves, strict=True):
        assert ours.estimator == theirs.estimator
        assert ours.level.value == pytest.approx(theirs.level.value, rel=1e-6)


def test_an_estimate_without_an_interval_has_no_bounds_in_the_file() -> None:
    """Bounds equal to the value would read as certainty."""
    without = Estimate(0.3, 0.3, 0.3, 0.0, "these tasks", 2, NO_INTERVAL)
    assert plain(without) == {
        "value": 0.3,
        "low": None,
        "high": None,
        "standard_error": None,
        "target": "these tasks",
        "tasks": 2,
        "method": NO_INTERVAL,
    }
    known = Estimate(0.3, 0.1, 0.5, 0.1, "these tasks", 2, BOOTSTRAP)
    assert (plain(known)["low"], plain(known)["high"]) == (0.1, 0.5)
