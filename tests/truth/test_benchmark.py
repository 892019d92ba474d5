"""The whole benchmark in small: truth is trained, written, read; predictions are made and held against it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from assay.cli.app import app
from assay.errors import ConfigError, ResumeError
from assay.lookahead.plan import Plan
from assay.runs.lookahead.optimizer import SHARE_OF_PEAK
from assay.truth import agreement, build, halves, lookaheads, means, measured, run, runs
from assay.truth.build import Item, Truth, items
from assay.truth.regimes import AHEAD, REGIMES
from assay.truth.table import collect, committed, merged, read_truth, trained, write_table
from assay.world import base_examples, base_model_path, make_world, world_recipe

STRATEGIES = ["cot", "wrong", "same", "noise50"]
SMALL = {
    name: replace(regime, steps=2, base=min(2, regime.base), added=2) for name, regime in REGIMES.items()
}


@pytest.fixture(scope="module")
def small():
    """A recipe of eight steps, few strategies, few examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "world_recipe", lambda seed: world_recipe(seed=seed, max_steps=8, save_every=1))
        patch.setattr(run, "strategies", lambda half=None: STRATEGIES)
        patch.setattr(build, "strategies", lambda half=None: STRATEGIES)
        patch.setattr(build, "few", lambda count: STRATEGIES[:2])
        for module in (build, measured, runs):
            patch.setattr(module, "base_examples", partial(base_examples, per_task=4))
        for module in (build, measured):
            patch.setattr(module, "QUERIES_PER_TASK", 2)
        patch.setattr(build, "EXAMPLES_PER_TASK", 3)
        for module in (measured, means):
            patch.setattr(module, "CHECKPOINTS", (4, 8))
        patch.setattr(lookaheads, "CHECKPOINTS", (4, 8))
        patch.setattr(run, "PLAN", replace(lookaheads.PLAN, steps=2, base=2, added=2, seeds=2))
        patch.setattr(agreement, "RESAMPLES", 30)
        yield patch


@pytest.fixture(scope="module")
def table(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    world = Truth(make_world(), base_model_path(), folder)
    ahead = [one for one in items([AHEAD], (1, 2), 2) if one.strategy in (None, "direct", *STRATEGIES[:2])]
    for item in (*items(["middle", "retrained"], (1, 2), 2), *ahead):
        made = world.compute(replace(item, regime=SMALL[item.regime.name]))
        build.write_json(folder / "truth" / item.name, made)
    write_table(collect(folder / "truth"), {"world": 0}, folder / "table.parquet")
    return folder / "table.parquet"


def test_the_table_holds_every_strategy_seed_and_task_once(table):
    truth = read_truth(table)
    regimes = ("middle", "retrained", AHEAD)
    assert set(truth.effects) == {(r, c) for r in regimes for c in ("in-task", "cross-task")}
    for (regime, _), effects in truth.effects.items():
        assert set(effects.strategies) == {"direct", *(STRATEGIES if regime == "middle" else STRATEGIES[:2])}
        assert effects.seeds == (1, 2)
        assert effects.loss.shape == (len(effects.strategies), 2, 12)
        assert np.isfinite(effects.loss).all() and np.abs(effects.loss).max() > 0


def test_a_table_takes_more_rows_but_none_twice(table, tmp_path):
    rows = pq.read_table(table).replace_schema_metadata(None)
    of_middle = pc.equal(rows["regime"], "middle")
    path = tmp_path / "table.parquet"
    write_table(rows.filter(of_middle), {"world": 0}, path)
    assert {regime for regime, _, _ in trained(path)} == {"middle"}
    assert trained(tmp_path / "none.parquet") == set()
    assert merged(path, rows).num_rows == rows.num_rows
    assert merged(path, rows.filter(of_middle)).num_rows == rows.filter(of_middle).num_rows
    left = build.missing(items(["middle", "retrained"], (1, 2), 2), trained(path))
    assert {(item.regime.name, item.seed) for item in left} == {("retrained", 1), ("retrained", 2)}
    assert [item.strategy for item in left[:2]] == [None, "direct"]


def test_files_of_another_recipe_are_refused(tmp_path, monkeypatch):
    build.claim(tmp_path, 0)
    build.claim(tmp_path, 0)
    with pytest.raises(ResumeError, match="truth of another world"):
        build.claim(tmp_path, 1)
    monkeypatch.setattr(build, "REGIMES", SMALL)
    with pytest.raises(ResumeError, match="truth of another regimes"):
        build.claim(tmp_path, 0)


def test_an_arm_is_the_same_whenever_it_is_run(small, tmp_path):
    item = Item(SMALL["middle"], 1, "cot")
    world = Truth(make_world(), base_model_path(), tmp_path)
    first = world.compute(item)
    world.compute(Item(SMALL["retrained"], 1, "wrong"))
    assert world.compute(item) == first


def test_one_regime_steps_as_a_lookahead_does_from_the_same_checkpoints(small, tmp_path):
    regime, plan = REGIMES[AHEAD], Plan()
    assert (regime.steps, regime.base, regime.added, regime.weight) == (
        plan.steps,
        plan.base,
        plan.added,
        plan.weight,
    )
    recipe = world_recipe()
    assert (regime.optimizer, regime.learning_rate) == ("own", SHARE_OF_PEAK * recipe["learning_rate"])
    world = Truth(make_world(), base_model_path(), tmp_path)
    world.compute(Item(SMALL["adam"], 1, None))
    steps = [start.step for start in world._starts(regime)]
    assert steps == [1, 5, 8]  # of eight, as `lookaheads.CHECKPOINTS` counts them


def test_the_effect_of_steps_from_several_checkpoints_is_the_mean_over_them(small, tmp_path, monkeypatch):
    world = Truth(make_world(), base_model_path(), tmp_path)
    item = Item(SMALL[AHEAD], 1, "cot")
    whole = world.compute(item)["first"]["loss"]["sort"]
    starts = world._starts(item.regime)
    each = []
    for start in starts:
        monkeypatch.setattr(Truth, "_starts", lambda self, regime, start=start: (start,))
        each.append(world.compute(item)["first"]["loss"]["sort"])
    assert len(set(each)) == len(starts) == 3
    assert whole == pytest.approx(np.mean(each))


def test_the_benchmark_goes_on_and_says_the_same(small, table, tmp_path):
    truth = read_truth(table)
    found = run.run_benchmark(truth, base_model_path(), tmp_path, per_task=(2, 1), lookahead=(1,))
    predictors = {row.predictor for row in found.agreements}
    assert {"relinf", "cosine_of_means", "minus_probe_loss", "bm25", "minus_length", "lookahead"} < predictors
    baseline = [row for row in found.agreements if row.predictor == "minus_probe_loss"]
    assert all(row.gain.value == 0 for row in baseline if row.checkpoint == "all")
    ranked = {"middle", "retrained"}
    assert all(set(row.by_regime) == ranked for row in (*found.agreements, *found.calibrations))
    assert [(row.per_task, row.strategies) for row in found.coverages] == [(1, 2)] * 4
    text = (tmp_path / "truth.md").read_text()
    assert "| 1 | in-task | control | " in text.partition("### Coverage")[2]
    assert "| lookahead | 1 |" in text and "| lookahead | 2 |" not in text
    assert "<svg" in (tmp_path / "truth.svg").read_text()
    for file in list((tmp_path / "lookahead").rglob("*.safetensors"))[:3]:
        file.unlink()
    said = (tmp_path / "truth.json").read_text()
    run.run_benchmark(truth, base_model_path(), tmp_path, per_task=(2, 1), lookahead=(1,))
    assert (tmp_path / "truth.json").read_text() == said


def test_a_world_without_a_table_is_refused():
    with pytest.raises(ConfigError, match="no table of truth for world 7"):
        committed(7)
    said = CliRunner().invoke(app, ["truth", "--out", "x", "--world", "7"])
    assert isinstance(said.exception, ConfigError)
    assert halves.half_of("cot") in ("development", "reported")


@pytest.mark.parametrize("world", [0, 1])
def test_the_shipped_table_holds_three_seeds_of_every_task_in_both_contexts(world):
    truth = read_truth(committed(world))
    assert truth.world == world
    regimes = {regime for regime, _ in truth.effects}
    assert regimes >= {"middle", "adam", "end", *([AHEAD] if world == 0 else [])}
    for (regime, _), effects in truth.effects.items():
        assert effects.seeds == (1, 2, 3) and len(effects.tasks) == 12
        assert "direct" in effects.strategies
        whole = set(halves.strategies(None if world == 0 and REGIMES[regime].ranked else "reported"))
        if not REGIMES[regime].long:
            assert set(effects.strategies) == whole | {"direct"}
    middle = truth.effects["middle", "in-task"]
    assert np.all(
        middle.of("wrong" if world == 0 else "random").mean(axis=1) < middle.of("direct").mean(axis=1)
    )
