"""A scoring end to end on a tiny run: its numbers, its tables, what it refuses, and that it can be killed."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import assay
from assay.errors import ConfigError, ModelError, ResumeError
from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.runs.config import SetConfig, data_config
from assay.runs.inputs import read_file, tokenise
from assay.runs.scores.config import score_config
from assay.runs.scores.run import Scores, run_scores
from assay.runs.scores.store import Store
from tests.runs.lab import Heard, Lab

QUERIES = 4


@pytest.fixture(scope="module")
def files(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scores")
    few = folder / "queries.jsonl"
    few.write_text("".join(lab.queries.read_text().splitlines(keepends=True)[::3][:QUERIES]))
    return {"pool": lab.base, "queries": few}


def settings(lab: Lab, files: dict[str, Path], **changes: Any) -> dict[str, Any]:
    return {
        "checkpoints": str(lab.run),
        "candidates": [str(files["pool"])],
        "queries": {"dev": str(files["queries"])},
        "methods": ["graddot"],
        "dtype": "fp64",
        "token_budget": 200,
        "shard_tokens": 300,
        **changes,
    }


def scored(lab: Lab, files: dict[str, Path], out: Path, **changes: Any) -> Scores:
    return run_scores(score_config(settings(lab, files, **changes)), out)


def column(done: Scores, method: str, checkpoint: str | None = None, task: str | None = None) -> np.ndarray:
    (found,) = [
        one.scores
        for one in done.aggregates
        if one.method == method and one.query_task == task and checkpoint in (None, one.checkpoint)
    ]
    return found


def pairs(done: Scores, method: str) -> np.ndarray:
    table = pq.read_table(done.folder / "scores.parquet", filters=[("method", "=", method)])
    return table["score"].to_numpy().reshape(len(done.candidates), -1)


def autograd_gradients(lab: Lab, done: Scores, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the summed loss of all candidates and queries at one checkpoint, by autograd alone."""
    trajectory = Trajectory.discover(lab.run, steps=[step])
    session = Session.open(trajectory, dtype="fp64")

    def of(file: Path, loss_on: Any) -> torch.Tensor:
        config = data_config({})
        examples = read_file(SetConfig(file=str(file)), config).examples
        rows = []
        for tokens in tokenise(examples, session.tokenizer, config, loss_on=loss_on).tokens:
            ids = torch.from_numpy(tokens.input_ids)[None]
            logits = session.model(input_ids=ids).logits[0, :-1]
            each = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
            loss = (each * torch.from_numpy(tokens.weights[1:])).sum()
            parameters = [p for p in session.model.parameters() if p.requires_grad]
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
        return torch.stack(rows)

    return of(Path(done.config.candidates[0].file), "assistant"), of(
        Path(done.config.queries["dev"].file), "last"
    )


@pytest.fixture(scope="module")
def everything(lab: Lab, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Scores:
    methods = ["graddot", "gradcos", "relinf", "tracin", "less", "ekfac", "kfac", "diagonal"]
    methods += ["self_influence", "self_ekfac", "minus_loss", "ppl_top", "ppl_mid", "length", "random"]
    methods += ["random_balanced", "bm25", "rds", "embedding"]
    return scored(lab, files, tmp_path_factory.mktemp("all") / "out", methods=methods)


def test_graddot_and_its_kin_equal_an_autograd_loop(lab: Lab, everything: Scores) -> None:
    ours, theirs = autograd_gradients(lab, everything, 6)
    dot = (ours @ theirs.T).numpy()
    norms, query_norms = ours.norm(dim=1).numpy(), theirs.norm(dim=1).numpy()
    for method, expected in (
        ("graddot", dot),
        ("gradcos", dot / norms[:, None] / query_norms),
        ("relinf", dot / query_norms**2),
    ):
        np.testing.assert_allclose(pairs(everything, method), expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(column(everything, "self_influence"), norms**2, rtol=1e-8)
    np.testing.assert_allclose(column(everything, "graddot"), dot.mean(1), rtol=1e-8, atol=1e-12)


def test_tracin_equals_an_autograd_loop_over_checkpoints(lab: Lab, everything: Scores) -> None:
    expected = 0.0
    for step in (2, 4, 6):
        ours, theirs = autograd_gradients(lab, everything, step)
        state = json.loads((lab.run / f"checkpoint-{step}" / "trainer_state.json").read_text())
        rate = state["log_history"][-1]["learning_rate"]
        expected = expected + rate * (ours @ theirs.T).numpy()
    np.testing.assert_allclose(pairs(everything, "tracin"), expected, rtol=1e-8, atol=1e-14)


def test_ranks_count_from_the_highest_score_within_a_query(everything: Scores) -> None:
    table = pq.read_table(everything.folder / "scores.parquet", filters=[("method", "=", "graddot")])
    shape = len(everything.candidates), -1
    scores, ranks = (table[name].to_numpy().reshape(shape) for name in ("score", "rank"))
    for query in range(scores.shape[1]):
        order = ranks[:, query].argsort()
        assert (np.diff(scores[order, query]) <= 0).all()
        assert ranks[:, query].min() == 1


def test_tables_have_a_row_for_every_candidate_and_query(everything: Scores, files: dict[str, Path]) -> None:
    table = pq.read_table(everything.folder / "scores.parquet")
    assert table.column_names == [
        "candidate_id",
        "source_file",
        "source_row",
        "candidate_task",
        "method",
        "checkpoint",
        "query_set",
        "query_id",
        "query_task",
        "score",
        "rank",
        "tokens",
    ]
    by_query = {"graddot", "gradcos", "relinf", "tracin", "less", "ekfac", "kfac", "diagonal"}
    by_query |= {"bm25", "rds", "embedding"}
    assert set(table["method"].to_pylist()) == by_query
    assert len(table) == len(by_query) * len(everything.candidates) * QUERIES
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["source_file"], first["source_row"]) == (str(files["pool"]), 1)


def test_every_method_gives_every_candidate_a_finite_score(everything: Scores) -> None:
    for one in everything.aggregates:
        assert np.isfinite(one.scores).all(), one


def test_aggregates_by_task_are_means_over_its_queries(everything: Scores) -> None:
    table = pq.read_table(everything.folder / "scores.parquet", filters=[("method", "=", "ekfac")])
    tasks = table["query_task"].to_pylist()[:QUERIES]
    scores = pairs(everything, "ekfac")
    for task in sorted(set(tasks)):
        mine = [at for at, one in enumerate(tasks) if one == task]
        found = column(everything, "ekfac", task=task)
        np.testing.assert_allclose(found, scores[:, mine].mean(1), rtol=1e-12)


def test_less_takes_the_task_it_serves_best(everything: Scores) -> None:
    tasks = {one.query_task for one in everything.aggregates if one.method == "less" and one.query_task}
    best = np.max([column(everything, "less", "all", task) for task in tasks], axis=0)
    np.testing.assert_allclose(column(everything, "less", "all"), best)


def test_an_influence_is_that_of_one_candidate_among_the_pool(
    lab: Lab, files: dict[str, Path], everything: Scores, tmp_path: Path
) -> None:
    """Twice as many like them, and each counts half; the labels drawn for the curvature are others."""
    twice = tmp_path / "twice.jsonl"
    lines = files["pool"].read_text().splitlines(keepends=True)
    twice.write_text("".join(lines + [line.replace('"id": "', '"id": "again-') for line in lines]))
    done = scored(lab, files, tmp_path / "out", candidates=[str(twice)], methods=["diagonal"])
    ratio = column(done, "diagonal")[: len(lines)].sum() / column(everything, "diagonal").sum()
    assert ratio == pytest.approx(0.5, rel=0.2)


def test_a_scoring_killed_at_any_shard_ends_in_the_same_tables(
    lab: Lab, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = ["tracin", "ekfac", "less", "minus_loss", "rds", "bm25"]
    whole = scored(lab, files, tmp_path / "whole", methods=methods).folder
    write, left = Store.write, iter(())

    def dying(self: Store, *arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(self, *arguments)

    monkeypatch.setattr(Store, "write", dying)
    for count in (3, 4, 5):
        left = iter([1] * count)
        with pytest.raises(KeyboardInterrupt):
            scored(lab, files, tmp_path / "killed", methods=methods)
        assert not (tmp_path / "killed" / "scores.parquet").exists()
    monkeypatch.setattr(Store, "write", write)
    killed = scored(lab, files, tmp_path / "killed", methods=methods).folder
    for name in ("scores.parquet", "aggregates.parquet"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_a_scoring_killed_between_any_two_files_ends_in_the_same_tables(
    lab: Lab, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32, where another way of adding up would show."""
    options = {"methods": ["less", "gradcos", "ekfac"], "steps": [6], "dtype": "fp32", "shard_tokens": 400}
    whole = scored(lab, files, tmp_path / "whole", **options).folder
    write, left = Store.write, iter(())

    def dying(self: Store, *arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(self, *arguments)

    writes = len(list(whole.glob("measures/*/*/*.safetensors")))
    assert writes > 8
    for count in range(writes):
        out = tmp_path / f"killed-{count}"
        left = iter([1] * count)
        monkeypatch.setattr(Store, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            scored(lab, files, out, **options)
        monkeypatch.setattr(Store, "write", write)
        scored(lab, files, out, **options)
        for name in ("scores.parquet", "aggregates.parquet"):
            assert (out / name).read_bytes() == (whole / name).read_bytes(), count


def test_what_was_measured_is_not_measured_again(
    lab: Lab, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(lab, files, tmp_path / "out", methods=["graddot", "ekfac"])
    monkeypatch.setattr(Store, "write", lambda *arguments: pytest.fail("measured again"))
    again = scored(lab, files, tmp_path / "out", methods=["gradcos", "relinf", "ekfac"])
    assert {one.method for one in again.aggregates} == {"gradcos", "relinf", "ekfac", "minus_loss"}
    assert [one for one in again.notes if one.startswith("The tables had graddot before and no longer do")]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"damping": 0.5}, "damping"),
        ({"query_loss_on": "all"}, "query_loss_on"),
        ({"dtype": "fp32"}, "model (dtype)"),
        ({"loss_on": "last"}, "loss_on"),
        ({"project": 64}, "project"),
        ({"project": "off"}, "project"),
    ],
)
def test_another_setting_is_refused_by_its_name(
    lab: Lab, files: dict[str, Path], tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    scored(lab, files, tmp_path / "out", methods=["diagonal"])
    with pytest.raises(ResumeError, match=named.split(" ")[0]):
        scored(lab, files, tmp_path / "out", methods=["diagonal"], **changes)


def test_projected_scores_say_so_and_how_far_off_they_are(
    lab: Lab, files: dict[str, Path], everything: Scores, tmp_path: Path
) -> None:
    done = scored(lab, files, tmp_path / "out", methods=["graddot"], project=16)
    (said,) = [note for note in done.notes if "projected to at most 16" in note]
    assert "approximate" in said
    assert any("exact ones" in note for note in done.notes)
    exact, projected = pairs(everything, "graddot"), pairs(done, "graddot")
    assert 0 < np.corrcoef(exact.ravel(), projected.ravel())[0, 1] < 1


def test_memory_too_small_for_exact_queries_projects_or_is_refused(
    lab: Lab, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--memory-gb"):
        scored(lab, files, tmp_path / "off", project="off", memory_gb=1e-5)
    with pytest.raises(ConfigError, match="Even projected"):
        scored(lab, files, tmp_path / "auto", memory_gb=1e-9)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set how many bytes the machine says are free. So small a model can be projected to anything."""
    monkeypatch.setattr("assay.runs.scores.projecting.SMALLEST", 1)

    def say(size: float) -> None:
        monkeypatch.setattr("assay.runs.scores.ahead.free_memory", lambda device: int(size))

    return say


PLENTY, LITTLE = 1e9, 1.2e4


def killed(
    lab: Lab, files: dict[str, Path], out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> None:
    """A scoring that dies behind its first shard."""
    write = Store.write

    def dying(self: Store, checkpoint: str, measure: str, shard: int | str, *more: Any) -> None:
        if shard == 1:
            raise KeyboardInterrupt
        write(self, checkpoint, measure, shard, *more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "write", dying)
        scored(lab, files, out, **changes)


def test_a_scoring_begun_with_projected_queries_goes_on_with_them(
    lab: Lab,
    files: dict[str, Path],
    tmp_path: Path,
    free: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free(LITTLE)
    whole = scored(lab, files, tmp_path / "whole")
    assert any("projected to at most" in note for note in whole.notes)
    killed(lab, files, tmp_path / "out", monkeypatch)
    free(PLENTY)
    scored(lab, files, tmp_path / "out")
    for name in ("scores.parquet", "aggregates.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_scoring_begun_with_exact_queries_is_never_finished_with_others(
    lab: Lab,
    files: dict[str, Path],
    tmp_path: Path,
    free: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free(PLENTY)
    killed(lab, files, tmp_path / "out", monkeypatch)
    free(LITTLE)
    with pytest.raises(ConfigError, match=r"projection\.json.* are held exact .*--memory-gb"):
        scored(lab, files, tmp_path / "out")
    (tmp_path / "out" / "measures" / "projection.json").unlink()
    with pytest.raises(ResumeError, match="measured on other"):
        scored(lab, files, tmp_path / "out")


def test_one_choice_of_projection_holds_for_all_checkpoints(
    lab: Lab, files: dict[str, Path], tmp_path: Path, free: Callable[[float], None]
) -> None:
    """Curvature at the last one takes what would let the others be exact."""
    free(PLENTY)
    exact = scored(lab, files, tmp_path / "exact", methods=["tracin"])
    (said,) = [note for note in exact.notes if note.startswith("Gradients: ")]
    size = float(re.search(r"([0-9.]+) kB", said)[1]) * 1000  # type: ignore[index]
    free(2 * (size + 1000))
    tracin = scored(lab, files, tmp_path / "tracin", methods=["tracin"])
    both = scored(lab, files, tmp_path / "both", methods=["tracin", "diagonal"])
    assert not any("projected to" in note for note in tracin.notes)
    assert sum("projected to" in note for note in both.notes) == 1
    assert sum("projected products differ" in note for note in both.notes) == 3


def test_an_option_is_settled_by_the_first_method_that_reads_it(
    lab: Lab, files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scored(lab, files, out, methods=["graddot", "length"])
    scored(lab, files, out, methods=["diagonal"], damping=0.5)
    scored(lab, files, out, methods=["gradcos"])
    with pytest.raises(ResumeError, match="another damping"):
        scored(lab, files, out, methods=["diagonal"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exact": True}, "exact needs the method less"),
        ({"damping": 0.5}, "damping needs a method by curvature"),
        ({"factor_examples": 4}, "factor_examples needs a method by curvature"),
        ({"incorrect": "all-wrong"}, "incorrect needs questions"),
        ({"answers": "numeric"}, "answers needs questions"),
        ({"max_new_tokens": 8}, "max_new_tokens needs questions"),
        ({"methods": ["length", "bm25"], "project": 64}, "project needs a method that compares gradients"),
        ({"methods": ["minus_loss"], "memory_gb": 1.0}, "memory_gb needs a method that compares"),
        ({"methods": ["length"], "queries": {}, "query_loss_on": "all"}, "query_loss_on needs queries"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(
    lab: Lab, files: dict[str, Path], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        score_config(settings(lab, files, **changes))


def test_an_option_that_something_reads_is_not_refused(lab: Lab, files: dict[str, Path]) -> None:
    given = {"exact": True, "damping": 0.5, "factor_examples": 4, "project": 64, "memory_gb": 1.0}
    asked = {"incorrect": "all-wrong", "answers": "numeric", "max_new_tokens": 8, "query_loss_on": "all"}
    changes = {"methods": ["less", "self_ekfac"], "questions": "questions.jsonl", **given, **asked}
    assert score_config(settings(lab, files, **changes)).damping == 0.5
    assert not score_config(settings(lab, files, exact=False, memory_gb=None)).exact


def test_time_and_memory_are_said_for_one_checkpoint_and_for_all_before_any_pass(
    lab: Lab, files: dict[str, Path], tmp_path: Path
) -> None:
    heard = Heard()
    methods = ["tracin", "diagonal", "minus_loss", "rds", "bm25"]
    run_scores(score_config(settings(lab, files, methods=methods)), tmp_path / "out", progress=heard)
    ahead = [note for note in heard.notes if " besides model and activations" in note]
    assert [note.split(":")[0] for note in ahead] == ["Gradients", "Hidden states", "Words"]
    tokens = sum(json.loads((tmp_path / "out/pool/manifest.json").read_text())["tokens"] for _ in range(3))
    assert f" {tokens:,} tokens of candidates at 3 checkpoints: about " in ahead[0]
    assert re.search(r"about \d+ s for the first, about|about \d+ s for the first, \d+ s for all", ahead[0])
    assert any("for fitting curvature, at checkpoint-6" in note for note in heard.notes)
    assert heard.told.index(ahead[-1]) < heard.told.index("checkpoint-2 (1 of 3)")
    heard = Heard()
    run_scores(
        score_config(settings(lab, files, methods=["minus_loss"])), tmp_path / "losses", progress=heard
    )
    (said,) = [note for note in heard.notes if " besides model and activations" in note]
    assert re.fullmatch(r"Losses: [0-9,]+ tokens of candidates: about \d+ s, [0-9.]+ [kM]B for .*", said)


def test_an_interrupted_rerun_is_not_taken_for_finished(
    lab: Lab, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    scored(lab, files, out, methods=["graddot"])

    def dying(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("assay.runs.scores.scoring.aggregate_rows", dying)
        scored(lab, files, out, methods=["gradcos"])
    with pytest.raises(ConfigError, match="has not finished"):
        assay.select(out, rule="top", budget="50%")
    scored(lab, files, out, methods=["gradcos"])
    assert assay.select(out, rule="top", budget="50%", method="gradcos").result.kept.any()


def test_a_method_by_queries_without_queries_names_those_that_need_none(
    lab: Lab, files: dict[str, Path]
) -> None:
    with pytest.raises(ConfigError, match="self_influence"):
        score_config(settings(lab, files, queries={}))


def test_methods_without_queries_need_none(lab: Lab, files: dict[str, Path], tmp_path: Path) -> None:
    done = scored(lab, files, tmp_path / "out", queries={}, methods=["self_influence", "minus_loss"])
    assert not pq.read_table(done.folder / "scores.parquet").num_rows
    assert len(pq.read_table(done.folder / "aggregates.parquet")) == 2 * len(done.candidates)


def test_less_without_an_optimizer_says_what_to_take(
    lab: Lab, files: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(lab.run, run)
    for path in run.glob("*/optimizer.pt"):
        path.unlink()
    with pytest.raises(ModelError, match=r"has no optimizer\.pt.*take tracin or gradcos"):
        scored(lab, files, tmp_path / "out", checkpoints=str(run), methods=["less"])


def test_less_refuses_moments_that_the_weights_contradict(
    lab: Lab, files: dict[str, Path], tmp_path: Path
) -> None:
    """Adam's state of the last checkpoint, with that of the first layer and of the last exchanged."""
    run = tmp_path / "run"
    shutil.copytree(lab.run, run)
    path = run / "checkpoint-6" / "optimizer.pt"
    saved = torch.load(path, weights_only=True)
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, state in saved["state"].items():
        alike.setdefault(tuple(state["exp_avg"].shape), []).append(place)
    pairs = [pair for places in alike.values() for pair in zip(places, places[::-1], strict=True)]
    assert len(pairs) == len(saved["state"])
    torch.save({**saved, "state": {to: saved["state"][at] for at, to in pairs}}, path)
    heard = Heard()
    config = score_config(settings(lab, files, checkpoints=str(run), methods=["less"]))
    with pytest.raises(
        ModelError, match=r"checkpoint-6/optimizer\.pt.* another order.*take tracin or gradcos"
    ):
        run_scores(config, tmp_path / "out", progress=heard)
    assert not [label for label in heard.stages if "checkpoint" in label]  # before hours are spent on others
    config = score_config(settings(lab, files, checkpoints=str(run), methods=["tracin"]))
    assert run_scores(config, tmp_path / "without").aggregates


def test_what_answers_will_take_is_said_before_they_are_made(
    lab: Lab, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.runs.flips.ask", dying)
    heard = Heard()
    changes = {"questions": str(lab.queries), "queries": {}, "max_new_tokens": 20}
    with pytest.raises(KeyboardInterrupt):
        run_scores(score_config(settings(lab, files, **changes)), tmp_path / "out", progress=heard)
    (said,) = [note for note in heard.notes if note.startswith("Answers: ")]
    assert "12 questions to 2 models, at most 20 tokens each: at most about " in said


def test_a_candidate_equal_to_a_query_is_said(lab: Lab, files: dict[str, Path], tmp_path: Path) -> None:
    done = scored(lab, files, tmp_path / "out", candidates=[str(files["queries"])])
    assert any(f"{QUERIES} candidates equal to a query" in note for note in done.notes)
