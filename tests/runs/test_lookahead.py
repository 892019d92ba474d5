"""The lookahead of a study: what is trained and asked, restoration, resumption, budget, and what is said."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from assay.errors import ConfigError, ResumeError
from assay.files import read_json
from assay.gradients.coverage import trained_parameters
from assay.lookahead.plan import Plan
from assay.lookahead.run import arm_losses
from assay.models.optimizer_building import build_optimizer
from assay.models.optimizer_state import read_optimizer
from assay.models.session import Session
from assay.models.trajectory import Checkpoint, Trajectory
from assay.runs import study as module
from assay.runs.durations import seconds_of
from assay.runs.lookahead import climb as climbing
from assay.runs.lookahead.climb import spread
from assay.runs.lookahead.draws import draw
from assay.runs.lookahead.optimizer import OWN, choose_optimizer, learning_rate
from assay.runs.study import Study, run_study
from assay.studies.measurements import ExampleSet
from tests.runs.lab import Heard, Lab, rows, write_rows

QUICK: dict[str, Any] = {"lookahead_steps": 2, "lookahead_seeds": 2, "lookahead_checkpoints": [2, 6]}


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")


def quick(lab: Lab, **changes: Any) -> Any:
    return lab.config(**{"evidence": "lookahead", "train_data": str(lab.base), **QUICK, **changes})


def said(out: Path) -> dict[str, Any]:
    """study.json but for what a clock decides."""
    result = read_json(out / "study.json")
    for key in ("seconds", "date"):
        result["about"].pop(key)
    for rung in result["rungs"]:
        rung.pop("seconds")
    return result


@pytest.fixture(scope="module")
def finished(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lookahead") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_report", lambda result, folder: folder / "report.html")
        run_study(quick(lab), out=out)
    return out


def bits(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trained_parameters(model).items()}


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Every session that a study opens."""
    opened: list[Session] = []
    original = Session.open

    def remember(*args: Any, **options: Any) -> Session:
        opened.append(original(*args, **options))
        return opened[-1]

    monkeypatch.setattr(Session, "open", remember)
    return opened


def test_the_weights_come_back_to_the_bit_and_no_file_of_the_run_changes(
    lab: Lab, sessions: list[Session]
) -> None:
    before = {path: path.read_bytes() for path in lab.run.rglob("*") if path.is_file()}
    run_study(quick(lab))
    session = sessions[0]
    found = bits(session.model)
    assert session.checkpoint.name == "checkpoint-6"
    other = Session.open(Trajectory.discover(lab.run))
    fresh = bits(other.at(session.checkpoint))
    assert all(torch.equal(found[name], value) for name, value in fresh.items())
    assert {path: path.read_bytes() for path in lab.run.rglob("*") if path.is_file()} == before


def test_every_arm_begins_with_the_same_moments_and_weights(lab: Lab) -> None:
    session = Session.open(Trajectory.discover(lab.run))
    checkpoint = session.trajectory.checkpoints[1]
    chosen = choose_optimizer(session, checkpoint, 1e-2)
    assert chosen.kind == OWN
    weights = bits(session.model)
    ids = np.arange(6) % 5
    from assay.data.example import Tokens

    example = Tokens("e", ids, np.array([0, 0, 0, 1, 1, 1], dtype=np.float32))
    plan = Plan(steps=3, base=1, added=1)
    first, again = (
        arm_losses(session.model, chosen.make, plan, 0, [example], [example], [example]) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert all(torch.equal(weights[name], p) for name, p in bits(session.model).items())
    stored = build_optimizer(session.model, read_optimizer(Path(checkpoint.source), session.model))
    built = chosen.make(session.model)
    for p in trained_parameters(session.model).values():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(stored.state[p][key], built.state[p][key])
    assert {group["lr"] for group in built.param_groups} == {1e-2}


def test_the_base_arm_takes_the_same_base_steps_without_probes(lab: Lab, finished: Path) -> None:
    """Against the pieces put together by hand: base losses of one seed at one checkpoint."""
    done = run_study(quick(lab), out=finished)
    assert done.lookahead is not None
    replicate = done.lookahead.replicates[1]
    session = Session.open(Trajectory.discover(lab.run))
    checkpoint = next(c for c in session.trajectory.checkpoints if c.name == replicate.checkpoint)
    chosen = choose_optimizer(session, checkpoint, learning_rate(session.trajectory, None).value)
    from assay.runs.lookahead.base import read_base

    base = read_base(quick(lab), session.tokenizer, 160).tokens
    queries = done.inputs.queries["queries"].tokens
    plan = Plan(steps=2, seeds=2)
    expected = arm_losses(
        session.model, chosen.make, plan, replicate.seed, base, [], queries, token_budget=2048
    )
    np.testing.assert_array_equal(replicate.base["queries"], expected)


def test_activations_are_recomputed_where_that_was_asked_for(
    lab: Lab, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = transformers.modeling_utils.checkpoint

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(torch.is_grad_enabled())
        return original(*args, **options)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", counted)
    plain = run_study(quick(lab), out=finished).lookahead
    found = run_study(quick(lab, gradient_checkpointing=True)).lookahead
    assert plain is not None and found is not None and any(calls)
    for ours, theirs in zip(found.replicates, plain.replicates, strict=True):
        for arm, other in zip(ours.arms, theirs.arms, strict=True):
            np.testing.assert_allclose(arm.losses["queries"], other.losses["queries"], rtol=1e-4)


def test_the_rate_is_an_eighth_of_the_peak_and_never_that_of_the_end(lab: Lab, tmp_path: Path) -> None:
    trajectory = Trajectory.discover(lab.run)
    assert trajectory.checkpoints[-1].learning_rate is not None
    assert learning_rate(trajectory, None).value == pytest.approx(1.25e-3)
    assert "an eighth of the run's peak of 0.01" in learning_rate(trajectory, None).why
    assert learning_rate(trajectory, 3e-4).value == 3e-4
    bare = tuple(replace(c, learning_rate=None, source=str(tmp_path)) for c in trajectory.checkpoints)
    assert learning_rate(replace(trajectory, checkpoints=bare), None).value == 1e-4
    full = tuple(replace(c, kind="full") for c in bare)
    assert learning_rate(replace(trajectory, checkpoints=full), None).value == 2e-6


def test_without_an_optimizer_steps_are_of_a_fresh_one_and_it_is_said(lab: Lab, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(lab.run, run)
    (run / "checkpoint-2" / "optimizer.pt").unlink()
    (run / "checkpoint-6" / "optimizer.pt").write_bytes(b"broken")
    done = run_study(quick(lab, checkpoints=str(run), lookahead_seeds=1))
    notes = " ".join(done.result.rungs[0].notes)
    assert "At checkpoint-2 the steps are those of AdamW without history: the checkpoint has no" in notes
    assert "At checkpoint-6 the steps are those of AdamW without history" in notes and "damaged" in notes


def example_set(name: str, tasks: str, pairs: list[str | None]) -> ExampleSet:
    count = len(tasks)
    ids = tuple(f"{name}{i}" for i in range(count))
    return ExampleSet(
        name, ids, tuple(tasks), tuple(pairs), np.ones(count, dtype=int), (("", ""),) * count, "desired"
    )


def test_a_query_is_never_asked_after_training_on_a_probe_made_from_it() -> None:
    pairs = [f"r{i}" for i in range(12)]
    probes = {"cot": example_set("cot", "aaaaaabbbbbb", [*pairs])}
    queries = {
        "good": example_set("good", "aaaaaabbbbbb", [*pairs]),
        "bad": example_set("bad", "aaaaaabbbbbb", [*pairs]),
    }
    excluded = {("cot", name): np.eye(12, dtype=bool) for name in queries}
    seen = set()
    for seed in range(4):
        drawn = draw(seed, probes, queries, excluded)
        np.testing.assert_array_equal(drawn.usable["cot"], ~drawn.asked["good"])
        np.testing.assert_array_equal(drawn.asked["good"], drawn.asked["bad"])
        assert drawn.asked["good"][:6].sum() == drawn.asked["good"][6:].sum() == 3
        seen.add(tuple(drawn.asked["good"]))
    assert len(seen) > 1
    free = draw(0, probes, queries, {key: np.zeros((12, 12), dtype=bool) for key in excluded})
    assert free.usable["cot"].all() and free.asked["bad"].all()


def test_the_first_a_middle_and_the_last_trained_checkpoint_are_taken() -> None:
    base = Checkpoint("base", "b", "base", 0)
    trained = [Checkpoint(f"checkpoint-{i}", "c", "adapter", i) for i in range(1, 9)]
    assert [one.step for one in spread([base, *trained])] == [1, 5, 8]
    assert [one.step for one in spread(trained[:2])] == [1, 2]
    assert spread([base]) == (base,)
    assert [one.step for one in spread(trained, [3, 4])] == [3, 4]


def test_what_is_said_by_steps_alone(finished: Path) -> None:
    result = read_json(finished / "study.json")
    assert {v["evidence"] for v in result["verdicts"]} == {"lookahead"}
    assert [rung["evidence"] for rung in result["rungs"]] == ["lookahead"]
    assert result["rungs"][0]["arms"] == 2 * 2 * (1 + 2 * 2)
    assert "2 real steps on 8 base examples and 8 probes" in result["rungs"][0]["what"]
    assert {row["name"] for row in result["sets"]} == {"cot", "plain", "queries"}
    assert not (finished / "measurements").exists()


def test_the_table_holds_every_loss(lab: Lab, finished: Path) -> None:
    table = pq.read_table(finished / "lookahead.parquet").to_pylist()
    assert len(table) == 2 * 2 * (1 + 2 * 2) * 12
    assert {row["probe_set"] for row in table} == {"", "cot", "plain"}
    done = run_study(quick(lab), out=finished)
    verdict = next(v for v in done.verdicts if (v.probe_set, v.context) == ("cot", "in-task"))
    key = ("checkpoint", "seed", "query_id")
    base = {tuple(row[k] for k in key): row["loss"] for row in table if row["probe_set"] == ""}
    effects: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in table:
        if row["probe_set"] == "cot" and row["context"] == "in-task":
            queries = effects.setdefault(row["query_task"], {}).setdefault(row["query_id"], {})
            queries.setdefault(row["seed"], []).append(base[tuple(row[k] for k in key)] - row["loss"])
    seeds = (0, 1)
    by_task = [
        np.mean([np.mean([np.mean(q[s]) for q in queries.values() if s in q]) for s in seeds])
        for queries in effects.values()
    ]
    assert verdict.effect.value == pytest.approx(float(np.mean(by_task)))


def test_a_process_that_was_killed_in_the_middle_of_a_rung_goes_on_to_the_same(
    lab: Lab, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = (
        "import os, signal, sys, yaml\n"
        "from pathlib import Path\n"
        "from assay.runs import study\n"
        "from assay.runs.config import study_config\n"
        "from assay.runs.lookahead import climb\n"
        "write, count = climb.write_shard, [0]\n"
        "def slow(*a):\n"
        "    write(*a)\n"
        "    count[0] += 1\n"
        "    if count[0] == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "climb.write_shard = slow\n"
        "study.run_study(study_config(yaml.safe_load(sys.argv[1])), out=Path(sys.argv[2]))\n"
    )
    settings = lab.settings(evidence="lookahead", train_data=str(lab.base), **QUICK)
    killed = subprocess.run([sys.executable, "-c", script, json.dumps(settings), str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    folder = out / "lookahead"
    there = {path.name: path.read_bytes() for path in folder.glob("checkpoint*")}
    assert len(there) == 4
    heard = Heard()
    run_study(quick(lab), out=out, progress=heard)
    assert any("Going on with the lookahead: 14 arms" in note for note in heard.notes)
    assert all((folder / name).read_bytes() == content for name, content in there.items())
    assert said(out) == said(finished)
    assert (out / "lookahead.parquet").read_bytes() == (finished / "lookahead.parquet").read_bytes()


def test_a_truncated_shard_is_measured_again_and_a_whole_one_is_not(
    lab: Lab, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    shard = sorted((out / "lookahead").glob("*cot*"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    heard = Heard()
    run_study(quick(lab), out=out, progress=heard)
    assert any("Going on with the lookahead: 2 arms" in note for note in heard.notes)
    assert said(out) == said(finished)
    again = Heard()
    run_study(quick(lab), out=out, progress=again)
    assert again.stages == []


def test_more_seeds_go_on_from_those_that_are_there(lab: Lab, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    heard = Heard()
    done = run_study(quick(lab, lookahead_seeds=3), out=out, progress=heard)
    assert any("Going on with the lookahead: 10 arms" in note for note in heard.notes)
    assert done.lookahead is not None and len(done.lookahead.replicates) == 6


def test_a_lookahead_of_other_settings_is_refused_by_their_name(
    lab: Lab, finished: Path, tmp_path: Path
) -> None:
    for changes, named in (
        ({"lookahead_steps": 3}, "another steps"),
        ({"lookahead_rate": 1e-4}, "another learning_rate"),
        ({"train_data": []}, "another train_data"),
    ):
        with pytest.raises(ResumeError, match=named):
            run_study(quick(lab, **changes), out=finished)


def test_a_study_by_gradients_is_gone_on_with_by_steps(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plain = run_study(lab.config(train_data=str(lab.base)), out=out)
    assert plain.result.rungs == ()
    heard = Heard()
    both = run_study(quick(lab, evidence="all"), out=out, progress=heard)
    assert heard.stages == ["lookahead"]
    gradient, steps = both.result.rungs
    assert gradient.verdicts == plain.verdicts
    assert gradient.seconds is not None
    for verdict in both.verdicts:
        of_steps = next(
            v for v in steps.verdicts if (v.probe_set, v.context) == (verdict.probe_set, verdict.context)
        )
        assert replace(verdict, flags=()) == replace(of_steps, flags=())
    assert both.result.curves == plain.result.curves


class Clock:
    """A clock that moves on by a second at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(climbing, "time", made)
    yield made


def test_a_budget_ends_at_a_shard_and_says_what_was_left_out(
    lab: Lab, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every shard takes one second by this clock: base, plain and one more set at 2 checkpoints and 2 seeds
    take 12, and the second strategy would take 4 more."""
    other = write_rows(tmp_path / "other.jsonl", rows("cot", 30, 4))
    out = tmp_path / "out"
    changes = {"probes": {"cot": str(lab.cot), "other": str(other)}, "time_budget": "13s"}
    done = run_study(quick(lab, **changes), out=out)
    (rung,) = done.result.rungs
    assert rung.seconds is not None and 12 <= rung.seconds <= 13
    assert {v.probe_set for v in rung.verdicts if v.effect.standard_error > 0} == {"cot", "plain"}
    assert any("The time budget of 13 s has ended: other has none of 2 seeds" in note for note in rung.notes)
    heard = Heard()
    run_study(quick(lab, **changes), out=out, progress=heard)
    shards = len(list((out / "lookahead").glob("checkpoint*")))
    assert shards in (12, 13) and said(out)["rungs"][0]["arms"] == done.result.rungs[0].arms


def test_a_budget_is_spent_on_what_gradients_left_open(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.runs.lookahead import result as module_of_result

    monkeypatch.setattr(module_of_result, "open_sets", lambda verdicts, control: [])
    heard = Heard()
    done = run_study(quick(lab, evidence="all", time_budget="1h"), progress=heard)
    assert "lookahead" not in heard.stages
    assert done.result.rungs[1].arms == 0
    assert any("Gradients had decided everything of cot" in note for note in done.result.rungs[1].notes)
    assert {v.evidence for v in done.verdicts} == {"gradient"}


def test_without_training_data_steps_are_on_probes_alone_and_flagged(lab: Lab) -> None:
    done = run_study(quick(lab, train_data=[], lookahead_seeds=1))
    assert "no_base_batches" in {flag.code for flag in done.result.flags}
    assert "against no step at all" in done.result.rungs[0].what


def test_the_cost_is_said_before_the_first_arm(lab: Lab) -> None:
    heard = Heard(stop_at="lookahead")
    with pytest.raises(KeyboardInterrupt):
        run_study(quick(lab), progress=heard)
    assert any("Lookahead: 20 arms of 2 steps at 2 checkpoints, 2 seeds;" in note for note in heard.notes)
    assert any("about" in note and "in all" in note for note in heard.notes)


def test_what_cannot_be_is_refused(lab: Lab) -> None:
    for changes, named in (
        ({"evidence": "truth"}, "evidence"),
        ({"evidence": "gradient", "time_budget": "10m"}, "time_budget"),
        ({"time_budget": "soon"}, "such as 90s, 10m or 1h"),
        ({"time_budget": "0s"}, "time_budget"),
        ({"lookahead_steps": 0}, "lookahead_steps"),
    ):
        with pytest.raises(ConfigError, match=named):
            quick(lab, **changes)
    with pytest.raises(ConfigError, match="lookahead_checkpoints"):
        run_study(quick(lab, lookahead_checkpoints=[5]))


def test_lengths_of_time() -> None:
    assert [seconds_of(text) for text in ("90s", "10m", "1.5h", "45", "2min")] == [90, 600, 5400, 45, 120]


def test_a_full_fine_tuning_run_is_stepped_in_all_its_parameters(lab: Lab) -> None:
    """A plain model is a run of one checkpoint whose optimizer and rate nobody knows."""
    done: Study = run_study(
        quick(lab, checkpoints=str(lab.model), lookahead_checkpoints=None, lookahead_seeds=1)
    )
    (rung,) = done.result.rungs
    assert "learning rate 2e-06, a usual one for full fine-tuning" in rung.what
    assert "AdamW without history" in " ".join(rung.notes)
