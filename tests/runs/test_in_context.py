"""In-context influence end to end in the embedded world: planted cases, what fails, what is resumed."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import assay
from assay.errors import ConfigError, ModelError, ResumeError
from assay.methods.table import METHODS
from assay.models.session import Session
from assay.models.trajectory import Trajectory
from assay.runs.scores import in_context, prompts
from assay.runs.scores.config import score_config
from assay.runs.scores.run import Scores, run_scores
from assay.runs.scores.store import Store
from tests.runs.in_context_world import anchors, kinds, pool, reader
from tests.runs.lab import Heard, write_rows

CONTEXT = 128
METHOD = ["wici", "ici", "wici_nearest", "nuggets", "complexity"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("world")
    return {
        "checkpoints": str(reader(folder / "reader")),
        "candidates": str(pool(folder / "pool.jsonl")),
        "queries": {"dev": str(anchors(folder / "dev.jsonl"))},  # type: ignore[dict-item]
    }


def settings(world: dict[str, Any], **changes: Any) -> dict[str, Any]:
    common = {"methods": METHOD, "complexity": "length", "neighbours": 12, "shard_tokens": 500}
    return {**world, **common, **changes}


def scored(world: dict[str, Any], out: Path, progress: Heard | None = None, **changes: Any) -> Scores:
    return run_scores(score_config(settings(world, **changes)), out, progress=progress or Heard())


@pytest.fixture(scope="module")
def done(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return scored(world, tmp_path_factory.mktemp("scored") / "out")


def read(world: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the candidates."""
    return [json.loads(line) for line in Path(world["candidates"]).read_text().splitlines()]


def copied(done: Scores, folder: Path) -> Path:
    """A folder to score into that this one does not notice."""
    return Path(shutil.copytree(done.folder, folder / "copy"))


def column(done: Scores, method: str) -> np.ndarray:
    (found,) = [one.scores for one in done.aggregates if one.method == method and one.query_task is None]
    return found


def pairs(done: Scores, variant: str = "clusters") -> list[dict[str, Any]]:
    table = pq.read_table(done.folder / "in_context.parquet").to_pylist()
    return [row for row in table if row["variant"] == variant]


@pytest.mark.parametrize("method", ["wici", "ici", "nuggets"])
def test_what_teaches_the_format_scores_above_what_says_nothing_and_that_above_garbage(
    done: Scores, method: str
) -> None:
    """By medians: a single query of another format, whose IFD has no upper end, can carry a mean."""
    found = kinds(done.candidates.ids.to_pylist(), column(done, method))
    half = {kind: np.median(scores) for kind, scores in found.items()}
    assert half["teaches"] > half["plain"] > half["garbage"]
    if method != "nuggets":
        assert half["teaches"] > 0 > half["garbage"]


def test_garbage_is_the_hardest(done: Scores) -> None:
    found = kinds(done.candidates.ids.to_pylist(), column(done, "ifd"))
    assert found["garbage"].min() > np.quantile(found["teaches"], 0.9)


def test_every_number_is_that_of_one_pair_at_a_time(world: dict[str, Any], tmp_path: Path) -> None:
    """PPL(y), PPL(y | x) and PPL(y | a, x) by the template over the turns, in float64."""
    done = scored(world, tmp_path / "out", dtype="fp64", methods=["wici"])
    session = Session.open(Trajectory.discover(world["checkpoints"]), dtype="fp64")
    rows = {row["id"]: row["messages"] for row in read(world)}
    tokenizer = session.tokenizer

    def nats(before: list[int], after: list[int]) -> float:
        ids = torch.tensor([before + after])
        with torch.no_grad():
            said = session.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return float(-said[torch.arange(len(ids[0]) - 1), ids[0, 1:]][len(before) - 1 :].mean())

    def tokens(turns: list[dict[str, str]], **how: Any) -> list[int]:
        text = tokenizer.apply_chat_template(turns, tokenize=False, **how)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    found = pairs(done)
    scores = column(done, "wici")
    ids = done.candidates.ids.to_pylist()
    for name in ids[::7]:
        total = 0.0
        mine = [row for row in found if row["candidate_id"] == name]
        assert len(mine) == 5
        for row in mine:
            asked = rows[row["query_id"]]
            prompt = tokens(asked[:1], add_generation_prompt=True)
            said = tokens(asked)[len(prompt) :]
            behind = tokens(rows[name] + asked)
            alone, given = nats([tokenizer.bos_token_id], said), nats(prompt, said)
            shown = nats(behind[: len(behind) - len(said)], said)
            ici = math.exp(given) / math.exp(alone) - math.exp(shown) / math.exp(alone)
            assert row["ici"] == pytest.approx(ici, rel=1e-5, abs=1e-9)
            assert row["ifd"] == pytest.approx(math.exp(given - alone), rel=1e-5)
            total += (1 - row["cosine"]) / 10 * ici
        assert scores[ids.index(name)] == pytest.approx(total, rel=1e-5, abs=1e-9)


def test_the_prompts_lie_as_the_mean_states_of_their_tokens_do_without_the_mean_of_the_pool(
    world: dict[str, Any], done: Scores
) -> None:
    session = Session.open(Trajectory.discover(world["checkpoints"]))
    states = []
    for row in read(world):
        text = session.tokenizer.apply_chat_template(
            row["messages"][:1], tokenize=False, add_generation_prompt=True
        )
        ids = session.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states.append(session.model.model(input_ids=ids)[0][0].double().mean(0).numpy())
    centred = np.array(states) - np.mean(states, axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    ids = done.candidates.ids.to_pylist()
    for row in pairs(done)[::11]:
        expected = unit[ids.index(row["candidate_id"])] @ unit[ids.index(row["query_id"])]
        assert row["cosine"] == pytest.approx(expected, abs=1e-4)
        assert row["weight"] == pytest.approx((1 - row["cosine"]) / 2)


@pytest.fixture(scope="module")
def odd(world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With copies of the first three, one prompt with another answer beside, and one that is too long."""
    folder = tmp_path_factory.mktemp("odd")
    rows = read(world)
    copies = [{**row, "id": f"copy-{row['id']}"} for row in rows[:3]]
    question, answer = rows[3]["messages"]
    twin = {"id": "twin", "messages": [question, {**answer, "content": "well, no."}]}
    words = " ".join(["yes"] * 115)
    long = {"id": "long", "messages": [{"role": "user", "content": words}, answer]}
    return {**world, "candidates": str(write_rows(folder / "odd.jsonl", [*rows, *copies, twin, long]))}


@pytest.fixture(scope="module")
def oddly(odd: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return scored(odd, tmp_path_factory.mktemp("oddly") / "out", methods=["wici", "wici_nearest"])


def test_neither_copies_nor_twins_of_a_prompt_are_queries_of_each_other(oddly: Scores) -> None:
    found = [(row["candidate_id"], row["query_id"]) for row in pairs(oddly) + pairs(oddly, "nearest")]
    names = oddly.candidates.ids.to_pylist()
    for first, second in [*((name, f"copy-{name}") for name in names[:3]), (names[3], "twin")]:
        assert (first, second) not in found
        assert (second, first) not in found
    assert all(one != other for one, other in found)


def test_a_demonstration_too_long_for_the_context_has_no_score_and_a_reason(oddly: Scores) -> None:
    mine = [row for row in pairs(oddly) if row["candidate_id"] == "long"]
    assert {row["reason"] for row in mine} == {"longer than the context"}
    assert all(row["ici"] is None and row["query_id"] for row in mine)
    scores = column(oddly, "wici")
    assert np.isnan(scores).nonzero()[0].tolist() == [oddly.candidates.ids.to_pylist().index("long")]
    assert any(
        f"longer than the model's context of {CONTEXT}; they are left out" in one for one in oddly.notes
    )
    assert any("1 of 53 candidates: no score in context" in one for one in oddly.notes)


def test_the_diverse_rule_keeps_one_of_each_duplicate(oddly: Scores, tmp_path: Path) -> None:
    done = assay.select(
        oddly, rule="diverse", budget="50%", method="wici", threshold=0.999, out=tmp_path / "kept"
    )
    kept = [json.loads(line)["id"] for path in done.written for line in path.read_text().splitlines()]
    names = oddly.candidates.ids.to_pylist()
    for first, second in [*((name, f"copy-{name}") for name in names[:3]), (names[3], "twin")]:
        assert not {first, second} <= {*kept}
    assert passed_over(done.sentences) >= 1


def passed_over(sentences: tuple[str, ...]) -> int:
    """How many candidates the sentences say were passed over."""
    (said,) = [one for one in sentences if "passed over as too much alike" in one]
    return int(said.rpartition("; ")[2].split()[0].replace(",", ""))


def test_a_forward_that_fails_is_no_number_and_counted(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One query of every fifth candidate has a weight that no mean can be taken with."""
    shown = in_context.shown_nll

    def failing(model: Any, openings: Any, followings: Any, **limits: Any) -> Any:
        for row in followings[::5]:
            row[1] = replace(row[1], weights=np.where(row[1].weights > 0, np.float32(np.inf), 0))
        return shown(model, openings, followings, **limits)

    monkeypatch.setattr(in_context, "shown_nll", failing)
    done = scored(world, tmp_path / "out", methods=["wici", "ici", "nuggets"])
    found = pairs(done)
    failed = [row for row in found if row["reason"] == "not finite"]
    assert 0 < len(failed) < len(found) / 2
    assert all(row["ici"] is None and row["ifd_shown"] is None for row in failed)
    assert any(
        f"{len(failed)} of {len(found)} pairs of candidates and their own queries: the result is not" in one
        for one in done.notes
    )
    ids = done.candidates.ids.to_pylist()
    for name in {row["candidate_id"] for row in failed}:
        known = [row["ici"] for row in found if row["candidate_id"] == name and row["ici"] is not None]
        expected = np.mean(known) if known else np.nan
        assert column(done, "ici")[ids.index(name)] == pytest.approx(expected, nan_ok=True)
    table = pq.read_table(done.folder / "scores.parquet", filters=[("method", "=", "nuggets")])
    assert table["score"].null_count > 0
    zero = scored(world, tmp_path / "out", methods=["ici"], departure=["failed-as-zero"])
    name = failed[0]["candidate_id"]
    known = [row["ifd"] if row["reason"] else row["ici"] for row in found if row["candidate_id"] == name]
    assert column(zero, "ici")[ids.index(name)] == pytest.approx(np.mean(known))


def test_a_departure_changes_scores_and_measures_nothing_anew(
    world: dict[str, Any], done: Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, out = column(done, "wici"), copied(done, tmp_path)
    monkeypatch.setattr(Store, "write", lambda *arguments: pytest.fail("measured again"))
    again = scored(world, out, methods=["wici"], departure=["positive-only"])
    ids = done.candidates.ids.to_pylist()
    found = pairs(again)
    for name in ids[::9]:
        helped = [
            row["weight"] * row["ici"] for row in found if row["candidate_id"] == name and row["ici"] > 0
        ]
        assert column(again, "wici")[ids.index(name)] == pytest.approx(np.mean(helped) if helped else 0)
    assert not np.array_equal(before, column(again, "wici"))
    assert any("positive-only" in one for one in again.notes)


def test_a_scoring_in_context_killed_again_and_again_ends_in_the_same_tables(
    world: dict[str, Any], done: Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = Store.write, iter(())

    def dying(self: Store, *arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(self, *arguments)

    for count in (1, 4, 4, 3):
        left = iter([1] * count)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Store, "write", dying)
            scored(world, tmp_path / "out")
        assert not (tmp_path / "out" / "in_context.parquet").exists()
    scored(world, tmp_path / "out")
    for name in ("scores.parquet", "aggregates.parquet", "in_context.parquet", "prompts/reader.npy"):
        assert (tmp_path / "out" / name).read_bytes() == (done.folder / name).read_bytes(), name


def test_the_size_of_shards_and_batches_changes_no_score(
    world: dict[str, Any], done: Scores, tmp_path: Path
) -> None:
    methods = ["wici", "ici", "complexity"]
    other = scored(world, tmp_path / "out", methods=methods, shard_tokens=100_000, token_budget=300)
    for method in (*methods, "ifd"):
        np.testing.assert_allclose(column(other, method), column(done, method), rtol=1e-4, atol=1e-5)
    assert [row["query_id"] for row in pairs(other)] == [row["query_id"] for row in pairs(done)]


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"neighbours": 8}, "neighbours"), ({"clusters": 3}, "clusters"), ({"complexity": "ifd"}, "complexity")],
)
def test_other_options_in_context_are_refused_by_name(
    world: dict[str, Any], done: Scores, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ResumeError, match=f"another {named}"):
        scored(world, copied(done, tmp_path), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["ifd"], "neighbours": 8}, "neighbours needs a method in context"),
        ({"methods": ["wici_nearest"], "neighbours": 8}, "neighbours needs a method in context"),
        ({"methods": ["length"], "departure": ["positive-only"]}, "departure needs a method in context"),
        ({"methods": ["ifd"], "embeddings": "some/model"}, "embeddings needs a method in context"),
        ({"methods": ["ifd"]}, "complexity needs a method in context"),
        ({"methods": ["wici"], "neighbours": 4}, "neighbours: give one or more for each of the 5"),
        ({"methods": ["wici"], "departure": ["no"]}, "departure"),
        ({"methods": ["nuggets"], "queries": {}}, "nuggets scores candidates by queries"),
    ],
)
def test_an_option_in_context_that_nothing_reads_is_refused(
    world: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    values = settings(world, **changes)
    for name in ("neighbours", "complexity"):
        if name not in changes and "complexity" not in said:
            values.pop(name)
    with pytest.raises(ConfigError, match=said):
        score_config(values)


def test_a_bare_model_is_enough_without_queries_and_what_is_to_come_is_said_first(
    world: dict[str, Any], tmp_path: Path
) -> None:
    values = settings(world, methods=["wici"], base_model=world["checkpoints"])
    for name in ("checkpoints", "queries"):
        values.pop(name)
    heard = Heard()
    done = run_scores(score_config(values), tmp_path / "out", progress=heard)
    told = next(at for at, one in enumerate(heard.told) if one.startswith("In context: "))
    assert told < next(at for at, one in enumerate(heard.told) if "difficulty" in one)
    assert np.isfinite(column(done, "wici")).all()
    assert {one.method for one in done.aggregates} == {"wici", "ifd"}


def test_complexity_can_be_difficulty_length_or_a_scorers(
    world: dict[str, Any], done: Scores, tmp_path: Path
) -> None:
    lengths = column(done, "complexity")
    assert lengths.tolist() == done.candidates.tokens.tolist()
    values = settings(world, methods=["complexity", "ifd"], complexity="ifd")
    values.pop("neighbours")
    by_difficulty = run_scores(score_config(values), tmp_path / "ifd")
    np.testing.assert_allclose(column(by_difficulty, "complexity"), column(by_difficulty, "ifd"))
    values["complexity"] = world["checkpoints"]
    graded = column(run_scores(score_config(values), tmp_path / "scorer"), "complexity")
    assert ((graded > 1) & (graded < 6)).all()


def test_prompts_can_be_placed_by_another_model_that_reads_their_words(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By how often each letter stands in them: what is most alike then is nearest, and nothing is centred."""

    class Letters:
        name, longest = "letters", 5

        def __init__(self, name: str, device: str) -> None:
            assert name == "letters"

        def states(self, texts: list[str]) -> np.ndarray:
            return np.array([[text.count(chr(97 + one)) for one in range(26)] for text in texts], np.float32)

        def cut(self, texts: list[str]) -> int:
            return 2

    monkeypatch.setattr(prompts, "Sentences", Letters)
    done = scored(world, tmp_path / "out", methods=["ici", "wici_nearest"], embeddings="letters")
    asked = {row["id"]: row["messages"][0]["content"] for row in read(world)}
    states = Letters("letters", "").states(list(asked.values())).astype(np.float64)
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    names = list(asked)
    for row in pairs(done, "nearest")[::13]:
        ours, theirs = (unit[names.index(row[one])] for one in ("candidate_id", "query_id"))
        assert row["cosine"] == pytest.approx(ours @ theirs, abs=1e-6)
    assert any("longer than the 5 tokens that letters reads" in one for one in done.notes)


@pytest.mark.parametrize("option", ["complexity", "embeddings"])
def test_a_model_that_is_not_there_is_said_before_anything_is_measured(
    world: dict[str, Any], tmp_path: Path, option: str
) -> None:
    with pytest.raises((ModelError, ConfigError), match=r"nowhere|sentence-transformers"):
        scored(world, tmp_path / "out", methods=["wici"], **{option: str(tmp_path / "nowhere")})
    assert not (tmp_path / "out" / "measures").exists()


def test_methods_in_context_are_listed() -> None:
    assert {"wici", "ici", "wici_nearest", "ifd", "nuggets", "complexity"} <= {*METHODS}
