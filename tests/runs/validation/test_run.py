"""A validation from files to tables: resumed, refused, extended, and held against a study."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from assay.errors import ConfigError, DataError, ModelError, NumericsError, ResumeError
from assay.files import read_json, write_json
from assay.runs.validation.predictions import StudySaid, studies_of
from assay.runs.validation.run import run_validation
from tests.runs.lab import Heard, rows, write_rows
from tests.runs.validation.world import RECIPE, config


def said(out: Path) -> dict[str, Any]:
    """validation.json but for what a clock decides."""
    result: dict[str, Any] = read_json(out / "validation.json")
    result["settings"].pop("date")
    return result


def test_a_killed_run_goes_on_at_the_arm_and_seed_and_ends_in_the_same_table(
    world: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_validation(config(world), out, progress=Heard(stop_at="base+cot, seed 1"))
    assert not (out / "validation.json").exists()
    again = Heard()
    run_validation(config(world), out, progress=again)
    trained = [stage for stage in again.stages if "seed" in stage]
    assert trained == ["model, base+cot, seed 1", "model, continue(base) -> cot, seed 1"]
    assert (out / "answers.parquet").read_bytes() == (finished / "answers.parquet").read_bytes()
    assert said(out) == said(finished)


def test_a_broken_file_of_an_arm_is_made_again(world: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_validation(config(world, seeds=1), out)
    for path in out.rglob("base-*/seed-0/*"):
        path.write_bytes(path.read_bytes()[:40])
    again = Heard()
    run_validation(config(world, seeds=1), out, progress=again)
    assert [stage for stage in again.stages if "seed" in stage] == ["model, base, seed 0"]


def test_more_seeds_and_arms_leave_what_is_finished(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_validation(config(world, seeds=1, arms=["base", "base+cot"]), out)
    before = pq.read_table(out / "answers.parquet")
    more = Heard()
    run_validation(config(world, arms=["base", "base+cot", "base -> cot"]), out, progress=more)
    trained = [stage.removeprefix("model, ") for stage in more.stages if "seed" in stage]
    assert trained == ["base -> cot, seed 0", "base, seed 1", "base+cot, seed 1", "base -> cot, seed 1"]
    after = pq.read_table(out / "answers.parquet")
    assert after.slice(0, len(before)).equals(before)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recipe": {**RECIPE, "learning_rate": 2e-2}}, "recipe (learning_rate)"),
        ({"match": "tokens"}, "match"),
        ({"max_new_tokens": 4}, "max_new_tokens"),
        ({"query_loss_on": "all"}, "queries (neg, queries)"),
    ],
)
def test_other_settings_are_refused_by_name(
    world: Path, finished: Path, changes: dict[str, Any], named: str
) -> None:
    before = sorted(path.stat().st_mtime_ns for path in finished.rglob("*"))
    with pytest.raises(ResumeError) as raised:
        run_validation(config(world, **changes), finished)
    assert named in str(raised.value)
    assert sorted(path.stat().st_mtime_ns for path in finished.rglob("*")) == before


def test_answers_hold_every_query_of_every_arm_and_seed(finished: Path) -> None:
    table = pq.read_table(finished / "answers.parquet").to_pylist()
    assert len(table) == 3 * 2 * (6 + 3)
    assert {row["query_set"] for row in table if row["answer"] is None} == {"neg"}
    assert {row["check"] for row in table if row["query_set"] == "queries"} == {"numeric"}
    result = said(finished)
    assert [one["name"] for one in result["measures"]] == ["loss", "forced", "exact", "right"]
    assert {row["measure"] for row in result["rows"] if row["query_set"] == "neg"} == {"loss", "forced"}


def test_making_bad_responses_likelier_is_harm(finished: Path) -> None:
    table = pq.read_table(finished / "answers.parquet").to_pylist()

    def mean(arm: str, query_set: str) -> float:
        found = [row["loss"] for row in table if (row["arm"], row["query_set"]) == (arm, query_set)]
        return sum(found) / len(found)

    effects = {
        row["query_set"]: row["effect"]["value"]
        for row in said(finished)["rows"]
        if (row["arm"], row["measure"]) == ("base+cot", "loss")
    }
    for query_set, sign in (("queries", 1), ("neg", -1)):
        fallen = mean("base", query_set) - mean("base+cot", query_set)
        assert effects[query_set] == pytest.approx(sign * fallen)
        assert abs(fallen) > 1e-3


def test_every_weight_can_be_trained_and_several_base_models_stand_in_one_table(
    world: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").symlink_to(world / "model")
    recipe = {"full_finetuning": True, "batch_size": 9, "epochs": 1, "learning_rate": 1e-3, "warmup_steps": 0}
    models = [str(world / "model"), str(tmp_path / "other")]
    asked = config(
        world, base_model=models, recipe=recipe, arms=["base", "base+cot"], seeds=1, answers="none"
    )
    done = run_validation(asked, tmp_path / "out")
    assert done.result.models == tuple(models)
    first, second = (
        [row["loss"] for row in done.answers.to_pylist() if row["model"] == model] for model in models
    )
    assert first == second
    assert done.result.measures[-1].name == "forced"


def verdict(query_set: str, context: str, word: str, value: float) -> dict[str, Any]:
    estimate = {
        "value": value,
        "low": None,
        "high": None,
        "standard_error": None,
        "target": "these tasks",
        "tasks": 3,
        "method": "no interval: one task",
    }
    plain = {"estimator": "pair_cosine", "when": "undecided", "sentence": "", "evidence": "gradient"}
    return {
        "probe_set": "cot",
        "query_set": query_set,
        "context": context,
        "vs_zero": word,
        "vs_control": None,
        "effect": estimate,
        "control_effect": None,
        "difference": None,
        "margin": None,
        **plain,
    }


def test_verdicts_of_a_study_stand_beside_the_effects_of_their_context(
    world: Path, finished: Path, tmp_path: Path
) -> None:
    verdicts = [
        verdict("queries", "in-task", "harms", -0.2),
        verdict("queries", "cross-task", "helps", 0.3),
        verdict("other", "in-task", "helps", 0.1),
    ]
    study = {"verdicts": verdicts, "sets": [{"name": "cot", "role": "probe"}], "about": {"model": "M"}}
    write_json(tmp_path / "study.json", study)
    done = run_validation(config(world, study=str(tmp_path)), finished)
    rows_held = [row for one in done.result.agreements for row in one.rows if row.measure == "loss"]
    assert [(row.arm, row.context, row.predicted) for row in rows_held] == [
        ("base+cot", "in-task", -0.2),
        ("continue(base) -> cot", "in-task", -0.2),
    ]
    effects = {
        row.arm: row.effect for row in done.result.rows if (row.query_set, row.measure) == ("queries", "loss")
    }
    for row in rows_held:
        effect = effects[row.arm]
        assert effect is not None
        assert (row.true, row.true_low) == (effect.value, effect.low)
    assert any("cot on other" in note for note in done.result.notes)
    run_validation(config(world), finished)


def test_of_several_studies_each_goes_with_the_base_model_it_was_made_on() -> None:
    one, other = (StudySaid(name, (), None, name, name, f"digest {name}") for name in ("one", "other"))
    full = StudySaid("full", (), None, "full", "third")
    models = {"a": "digest other", "b": "digest one", "x/third": "digest third"}
    chosen = studies_of([one, other, full], models)
    assert chosen.by_model == {"a": other, "b": one, "x/third": full}
    assert chosen.notes[0] == "The study one was made on one, which goes on from b."
    assert studies_of([one], models).by_model == dict.fromkeys(models, one)
    alone = studies_of([one], {"a": "digest other"})
    assert alone.notes == ("The study was made on one, which goes on from none of the base models here.",)
    with pytest.raises(ConfigError, match="--study one: it was made on one, which goes on from none"):
        studies_of([one, other], {"a": "digest other"})
    with pytest.raises(ConfigError, match="one was made on the base model b, too"):
        studies_of([one, one], models)


@pytest.mark.parametrize(
    "broken", ["{}", "not json", json.dumps({"verdicts": [{}], "sets": [], "about": {}})]
)
def test_a_study_that_cannot_be_read_is_a_sentence(world: Path, tmp_path: Path, broken: str) -> None:
    (tmp_path / "study.json").write_text(broken)
    with pytest.raises(DataError, match="cannot be read as a study"):
        run_validation(config(world, study=str(tmp_path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_queries_that_an_arm_trains_on_are_refused_or_left_out(world: Path, tmp_path: Path) -> None:
    mixed = write_rows(tmp_path / "mixed.jsonl", [*rows("plain", 12, 1), *rows("plain", 60, 1)])
    queries = {"mixed": str(mixed)}
    changes: dict[str, Any] = {"queries": queries, "undesired": [], "seeds": 1, "arms": ["base", "base+cot"]}
    with pytest.raises(DataError, match="3 of its queries would be trained on"):
        run_validation(config(world, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done = run_validation(config(world, **changes, on_trained="drop"), tmp_path / "out")
    assert {row["query_id"] for row in done.answers.to_pylist()} == {
        f"plain-{task}-12" for task in ("twice", "next", "digit")
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": ["base", "base+pos"]}, "'pos', which is not among the sets"),
        ({"arms": ["base"]}, "There is one arm"),
        ({"base_model": "no/such/folder"}, "is not there; give --base-model"),
        ({"arms": ["continue(base) -> cot", "base"]}, "The first arm is what the others are held against"),
        ({"recipe": {"lora_dropout": 0.1}}, "recipe.lora_dropout: arms are trained without dropout"),
        ({"recipe": {"rate": 0.1}}, "recipe.rate: there is no such setting"),
        ({"recipe": {"epochs": 1.5}}, "whole epochs"),
        ({"continue_recipe": {"lora_r": 4}}, "continue_recipe.lora_r: an arm goes on with"),
        ({"seeds": 0}, "seeds"),
        ({"undesired": ["bad"]}, "'bad' is no query set"),
        ({"study": "nowhere"}, "there is no study.json"),
        ({"design": "table-3"}, "choose one of in-task, cross-task"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_anything_is_written(
    world: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises((ConfigError, ModelError)) as raised:
        run_validation(config(world, **changes), tmp_path / "out")
    assert says in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_settings_may_be_mended_until_an_arm_is_finished(world: Path, tmp_path: Path) -> None:
    out, arms = tmp_path / "out", ["base", "base+cot"]
    wrong = {**RECIPE, "target_modules": ["nowhere"]}
    with pytest.raises(ModelError, match="no modules named nowhere"):
        run_validation(config(world, recipe=wrong, arms=arms, seeds=1), out)
    diverging = {**RECIPE, "learning_rate": 1e30, "final_learning_rate": 1e30}
    with pytest.raises(NumericsError, match=r"^model, base, seed 0: .*plain-"):
        run_validation(config(world, recipe=diverging, arms=arms, seeds=1), out)
    run_validation(config(world, arms=arms, seeds=1), out)
    with pytest.raises(ResumeError, match="learning_rate"):
        run_validation(config(world, recipe=diverging, arms=arms, seeds=1), out)


def test_the_folder_of_another_run_is_left_alone(world: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ResumeError, match="holds no validation"):
        run_validation(config(world), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
