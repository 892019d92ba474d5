"""Every option of a study does what it says, and no more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from assay.data.render import tokenize_all
from assay.errors import AssayError, ConfigError, DataError
from assay.models.loading import load_tokenizer
from assay.models.recipe import FineTuneRecipe
from assay.runs import study as module
from assay.runs.config import config_text, read_config, study_config
from assay.runs.study import Study, run_study
from assay.runs.train import run_training
from tests.runs.lab import RECIPE, TASKS, Heard, Lab, rows, write_rows


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than measuring here, and is not what is tested."""
    monkeypatch.setattr(module, "write_report", lambda result, folder: folder / "report.html")


@pytest.fixture(scope="module")
def whole(lab: Lab) -> Study:
    return run_study(lab.config())


def steps(study: Study) -> list[int | None]:
    return [checkpoint.step for checkpoint in study.measurements.checkpoints]


def assert_same_products(ours: Study, theirs: Study, rtol: float = 1e-5) -> None:
    for at, there in zip(ours.measurements.checkpoints, theirs.measurements.checkpoints, strict=True):
        for key, values in at.dot.items():
            scale = np.sqrt(np.outer(at.probe_sqnorm[key[0]], at.query_sqnorm[key[1]]))
            assert np.abs(values - there.dot[key]).max() < rtol * scale.max()


def test_steps_and_every_choose_checkpoints(lab: Lab, whole: Study) -> None:
    assert steps(whole) == [2, 4, 6]
    assert steps(run_study(lab.config(steps=[2, 6]))) == [2, 6]
    assert steps(run_study(lab.config(every=2))) == [2, 6]


def test_limit_keeps_the_first_of_every_task(lab: Lab) -> None:
    sets = run_study(lab.config(limit=1, steps=[6])).measurements
    assert sets.probe_sets["cot"].ids == tuple(f"cot-{task}-10" for task in TASKS)
    assert sets.query_sets["queries"].ids == tuple(f"q-plain-{task}-12" for task in TASKS)


def test_an_undesired_query_set_turns_the_verdict_around(lab: Lab, whole: Study) -> None:
    turned = run_study(lab.config(undesired=["queries"]))
    assert turned.measurements.query_sets["queries"].direction == "undesired"
    for ours, theirs in zip(turned.verdicts, whole.verdicts, strict=True):
        assert ours.effect.value == pytest.approx(-theirs.effect.value)


@pytest.mark.parametrize(
    ("design", "probes", "control", "queries", "undesired"),
    [
        ("cot", ["cot"], "plain", ["plain"], []),
        ("clarify", ["clarify"], "pos", ["pos", "neg"], ["neg"]),
        ("evaluation", ["evalpos", "evalneg"], "pos", ["pos", "neg"], ["neg"]),
    ],
)
def test_a_design_checks_its_sets_and_marks_the_bad_ones(
    design: str, probes: list[str], control: str, queries: list[str], undesired: list[str], lab: Lab
) -> None:
    settings: dict[str, Any] = {
        "checkpoints": str(lab.run),
        "design": design,
        "steps": [6],
        "probes": dict.fromkeys(probes, str(lab.cot)),
        "control": {control: str(lab.plain)},
        "queries": dict.fromkeys(queries, str(lab.queries)),
    }
    done = run_study(study_config(settings))
    assert done.result.design == design
    found = done.measurements.query_sets.values()
    assert [one.name for one in found if one.direction == "undesired"] == undesired
    for key in ("probes", "queries"):
        for missing in settings[key]:
            kept = {name: file for name, file in settings[key].items() if name != missing}
            with pytest.raises(ConfigError, match=f"--{key} {missing}=FILE"):
                study_config({**settings, key: {**kept, "other": str(lab.cot)}})
    with pytest.raises(ConfigError, match=f"--control {control}=FILE"):
        study_config({**settings, "control": {"another": str(lab.plain)}})


def test_clusters_label_probes_and_queries_together(lab: Lab) -> None:
    heard = Heard()
    sets = run_study(lab.config(tasks="cluster:3", steps=[6]), progress=heard).measurements
    everyone = [*sets.probe_sets.values(), *sets.query_sets.values()]
    assert {task for one in everyone for task in one.tasks} == {"cluster-1", "cluster-2", "cluster-3"}
    for one in everyone:
        labels = {(own.split("-")[-2], task) for own, task in zip(one.ids, one.tasks, strict=True)}
        assert len(labels) == 3, "every task of ours is one cluster"
    assert any("cluster-1 (" in note for note in heard.notes)


def test_a_mapping_file_labels_by_id(lab: Lab, tmp_path: Path) -> None:
    mapping = tmp_path / "tasks.csv"
    ids = [row["id"] for style in ("cot", "plain") for row in rows(style, 10, 6)]
    lines = [f"{prefix}{one},{'odd' if int(one[-1]) % 2 else 'even'}" for one in ids for prefix in ("", "q-")]
    mapping.write_text("id,task\n" + "\n".join(lines) + "\n")
    sets = run_study(lab.config(tasks=str(mapping), steps=[6])).measurements
    assert set(sets.probe_sets["cot"].tasks) == {"odd", "even"}


def test_without_labels_there_is_no_cross_task_verdict(lab: Lab, tmp_path: Path) -> None:
    bare = {
        name: str(write_rows(tmp_path / f"{name}.jsonl", [{**row, "task": None} for row in found]))
        for name, found in (("cot", rows("cot", 10, 4)), ("queries", rows("plain", 20, 4)))
    }
    heard = Heard()
    done = run_study(
        lab.config(probes={"cot": bare["cot"]}, control={}, queries={"q": bare["queries"]}), progress=heard
    )
    assert {verdict.context for verdict in done.verdicts} == {"in-task"}
    assert any("No task labels" in note for note in heard.notes)
    labelled = {"file": bare["cot"], "task": "sums"}
    query = {"file": bare["queries"], "task": "words"}
    done = run_study(lab.config(probes={"cot": labelled}, control={}, queries={"q": query}))
    assert {verdict.context for verdict in done.verdicts} == {"cross-task"}


def test_bad_rows_are_set_aside_with_their_reason(lab: Lab, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b" * 500}]
    long = {"id": "long", "task": "next", "messages": turns}
    bad.write_text(lab.cot.read_text() + '{"broken\n' + json.dumps(long) + "\n")
    config = lab.config(probes={"cot": str(bad)}, on_bad_rows="skip", steps=[6])
    out = tmp_path / "out"
    heard = Heard()
    done = run_study(config, out=out, progress=heard)
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert [(one["file"], one["row"]) for one in rejects] == [(str(bad), 13), (str(bad), 14)]
    assert rejects[1]["record"] == long
    assert "160 that the model takes" in rejects[1]["reason"]
    assert len(done.measurements.probe_sets["cot"]) == 12
    assert sum("set aside" in note for note in heard.notes) == 2
    with pytest.raises(DataError, match="row 13"):
        run_study(lab.config(probes={"cot": str(bad)}), out=tmp_path / "other")


def test_a_set_of_which_nothing_is_left_is_named(lab: Lab, tmp_path: Path) -> None:
    long = write_rows(tmp_path / "long.jsonl", [{"task": "next", "prompt": "a", "completion": "b" * 500}])
    with pytest.raises(DataError, match="cot: no example can be used"):
        run_study(lab.config(probes={"cot": str(long)}, on_bad_rows="skip"))


def test_what_was_trained_on_is_refused_dropped_or_kept(lab: Lab, tmp_path: Path) -> None:
    train = str(write_rows(tmp_path / "train.jsonl", rows("plain", 13, 1)))
    with pytest.raises(DataError, match="3 of its examples were trained on"):
        run_study(lab.config(train_data=train))
    heard = Heard()
    dropped = run_study(lab.config(train_data=train, on_trained="drop", steps=[6]), progress=heard)
    assert len(dropped.measurements.query_sets["queries"]) == 9
    assert len(dropped.measurements.probe_sets["plain"]) == 9
    assert any("6 were trained on" in note for note in heard.notes)
    kept = run_study(lab.config(train_data=train, on_trained="keep", steps=[6]))
    assert len(kept.measurements.query_sets["queries"]) == 12


def test_bad_rows_of_the_training_data_are_set_aside_aloud(lab: Lab, tmp_path: Path) -> None:
    """They could not be held against anything, so a person must hear of them."""
    train = write_rows(tmp_path / "train.jsonl", rows("plain", 60, 1))
    train.write_text(train.read_text() + '{"broken\n')
    config = lab.config(train_data=str(train), on_bad_rows="skip", steps=[6])
    heard = Heard()
    run_study(config, out=tmp_path / "out", progress=heard)
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert [(one["file"], one["row"]) for one in rejects] == [(str(train), 4)]
    assert any(str(train) in note and "set aside" in note for note in heard.notes)
    write_rows(train, rows("plain", 60, 1))
    run_study(config, out=tmp_path / "out")
    assert not (tmp_path / "out" / "rejects.jsonl").exists()


def test_a_table_without_header_is_read_by_columns(lab: Lab, tmp_path: Path) -> None:
    table = tmp_path / "next.tsv"
    table.write_text("".join(f"next {n}?\\nNow.\t{n + 1}\tit follows {n}\n" for n in range(20, 24)))
    sets = {
        "plain": {"columns": "question,answer,why", "prompt": "{question}", "completion": "answer"},
        "cot": {
            "columns": "question,answer,why",
            "prompt": "question",
            "completion": r"{why}\n{answer}",
            "unescape": True,
        },
    }
    entries = {
        name: {"file": str(table), "task": "next", "reading": reading} for name, reading in sets.items()
    }
    found = run_study(
        lab.config(probes={"cot": entries["cot"]}, control={"plain": entries["plain"]}, steps=[6])
    )
    assert found.measurements.probe_sets["plain"].texts[0] == (r"next 20?\nNow.", "21")
    assert found.measurements.probe_sets["cot"].texts[0] == ("next 20?\nNow.", "it follows 20\n21")


@pytest.mark.parametrize("option", ["loss_on", "query_loss_on"])
def test_what_is_learned_is_what_was_asked(option: str, lab: Lab, whole: Study) -> None:
    found = run_study(lab.config(**{option: "all"})).measurements
    sets = {"loss_on": "probe_sets", "query_loss_on": "query_sets"}
    for role in ("probe_sets", "query_sets"):
        for name, one in getattr(found, role).items():
            before = getattr(whole.measurements, role)[name].tokens
            assert (one.tokens > before).all() == (sets[option] == role)


def test_render_and_chat_template_decide_the_tokens(lab: Lab, whole: Study, tmp_path: Path) -> None:
    plain = run_study(lab.config(render="plain", steps=[6]))
    template = tmp_path / "template.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}!{% endif %}{% endfor %}"
    )
    own = run_study(lab.config(chat_template=str(template), steps=[6]))
    tokenizer = load_tokenizer([str(lab.model)])
    expected = {
        "plain": [*tokenizer("next 10?\n11").input_ids, tokenizer.eos_token_id],
        "own": tokenizer("next 10?11!").input_ids,
    }
    for name, done in (("plain", plain), ("own", own)):
        at = [example.id for example in done.inputs.probes["plain"].examples].index("plain-next-10")
        assert done.inputs.probes["plain"].tokens[at].input_ids.tolist() == expected[name]


def test_truncation_cuts_the_beginning_of_prompts_and_says_so(lab: Lab) -> None:
    with pytest.raises(DataError, match="--truncation prompt"):
        run_study(lab.config(max_length=25))
    heard = Heard()
    found = run_study(
        lab.config(max_length=25, truncation="prompt", steps=[6], probes={"p": str(lab.plain)}, control={}),
        progress=heard,
    )
    assert max(len(tokens) for tokens in found.inputs.probes["p"].tokens) == 25
    assert any("shortened" in note for note in heard.notes)


def test_memory_and_batches_change_no_number(lab: Lab, whole: Study) -> None:
    heard = Heard()
    lean = run_study(lab.config(memory_gb=3e-6), progress=heard)
    assert any("to fit in memory" in note for note in heard.notes)
    assert_same_products(lean, whole)
    assert_same_products(run_study(lab.config(token_budget=1)), whole)
    assert_same_products(run_study(lab.config(attention="eager", gradient_checkpointing=True)), whole)


def test_dtype_is_taken_and_reported(lab: Lab, whole: Study) -> None:
    precise = run_study(lab.config(dtype="fp64"))
    assert_same_products(precise, whole, 1e-5)
    assert precise.result.about["precision"].startswith("float64")
    rough = run_study(lab.config(dtype="bf16", steps=[6]))
    assert rough.result.about["precision"].startswith("bfloat16")


def test_one_checkpoint_a_final_adapter_or_a_plain_model_is_a_trajectory_of_one(
    lab: Lab, whole: Study, tmp_path: Path
) -> None:
    single = run_study(lab.config(checkpoints=str(lab.run / "checkpoint-4")))
    np.testing.assert_array_equal(
        single.measurements.checkpoints[0].dot["cot", "queries"],
        whole.measurements.checkpoints[1].dot["cot", "queries"],
    )
    final = tmp_path / "final"
    final.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (final / name).write_bytes((lab.run / "checkpoint-6" / name).read_bytes())
    assert steps(run_study(lab.config(checkpoints=str(final)))) == [None]
    plain = run_study(lab.config(checkpoints=str(lab.model)))
    assert plain.result.about["parameters"].split()[0] == plain.result.about["parameters"].split()[-1]
    assert all(verdict.when == "undecided" for verdict in plain.verdicts)


def test_a_full_fine_tuning_run_is_studied_in_all_its_parameters(lab: Lab, tmp_path: Path) -> None:
    recipe = FineTuneRecipe(**{**vars(RECIPE), "full_finetuning": True, "max_steps": 2, "save_every": 1})
    run_training(str(lab.model), [str(lab.base)], tmp_path / "run", recipe)
    done = run_study(lab.config(checkpoints=str(tmp_path / "run")))
    assert steps(done) == [1, 2]
    first, second = (at.dot["cot", "queries"] for at in done.measurements.checkpoints)
    assert not np.allclose(first, second)


def test_config_yaml_replays_the_study(lab: Lab, tmp_path: Path) -> None:
    config = lab.config(
        undesired=["queries"], margin=0.4, limit=2, steps=[2, 6], query_loss_on="all",
        control={"plain": {"file": str(lab.plain), "reading": {"task_column": "task"}}},
    )  # fmt: skip
    ours = run_study(config, out=tmp_path / "ours")
    replayed = read_config(tmp_path / "ours" / "config.yaml")
    theirs = run_study(replayed, out=tmp_path / "theirs")
    assert replayed == config
    assert ours.verdicts == theirs.verdicts
    assert ours.result.curves == theirs.result.curves


def test_short_forms_of_yaml_mean_the_long_ones(lab: Lab, tmp_path: Path) -> None:
    short = lab.config(train_data=str(lab.base))
    long = study_config(
        {
            **lab.settings(),
            "probes": {"cot": {"file": str(lab.cot)}},
            "train_data": [{"file": str(lab.base)}],
        }
    )
    assert short == long
    assert yaml.safe_load(config_text(short))["train_data"] == [str(lab.base)]


def test_a_run_that_learned_otherwise_is_warned_of(lab: Lab) -> None:
    from dataclasses import replace

    from assay.models.trajectory import Trajectory

    trajectory = replace(Trajectory.discover(lab.run, steps=[6]), loss_on="all")
    heard = Heard()
    run_study(lab.config(), trajectory=trajectory, progress=heard)
    assert any("--loss-on all" in note for note in heard.notes)


def test_excluded_pairs_need_a_reason(lab: Lab, tmp_path: Path) -> None:
    """Same pair, one made from the other itself, or equal content up to white space; else nothing."""

    def row(own: str, pair: str | None, prompt: str, completion: str) -> dict[str, Any]:
        return {"id": own, "pair": pair, "task": "t", "prompt": prompt, "completion": completion}

    probes = write_rows(
        tmp_path / "p.jsonl",
        [
            row("a", "ref", "1", "x"),
            row("b", "q2", "2", "x"),
            row("c", None, "3  4", "x"),
            row("q4", None, "5", "x"),
        ],
    )
    queries = write_rows(
        tmp_path / "q.jsonl",
        [
            row("q1", "ref", "6", "y"),
            row("q2", None, "7", "y"),
            row("q3", None, "3 4", "x"),
            row("q4", None, "8", "y"),
            row("q5", "c", "9", "y"),
            row("q6", None, "2", "y"),
        ],
    )
    heard = Heard()
    done = run_study(
        lab.config(probes={"p": str(probes)}, control={}, queries={"q": str(queries)}, steps=[6]),
        progress=heard,
    )
    marked = done.measurements.excluded["p", "q"]
    assert np.argwhere(marked).tolist() == [[0, 0], [1, 1], [2, 2], [2, 4]]
    assert done.result.excluded_pairs == 4
    assert any(note.startswith("p: 1 probe with the prompt of a query of q") for note in heard.notes)


def test_probes_that_ask_what_no_query_asks_need_no_note(lab: Lab) -> None:
    heard = Heard()
    run_study(lab.config(steps=[6]), progress=heard)
    assert not any("with the prompt of a query" in note for note in heard.notes)


def test_tokens_are_those_the_renderer_makes(lab: Lab, whole: Study) -> None:
    part = whole.inputs.queries["queries"]
    expected = tokenize_all(part.examples, load_tokenizer([str(lab.model)]), loss_on="last").tokens
    for ours, theirs in zip(part.tokens, expected, strict=True):
        assert ours.id == theirs.id
        np.testing.assert_array_equal(ours.input_ids, theirs.input_ids)
    assert part.tokens[0].completion_tokens == whole.measurements.query_sets["queries"].tokens[0]


def test_every_error_of_a_study_is_ours(lab: Lab) -> None:
    for changes in ({"checkpoints": "nowhere"}, {"device": "quantum"}, {"tasks": "cluster:99"}):
        with pytest.raises(AssayError):
            run_study(lab.config(**changes))
