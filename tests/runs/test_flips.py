"""Two models are asked, their answers kept, and a killed run ends in the same query sets."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.data.example import Example, Message, Source
from assay.data.prompts import prompts_of
from assay.data.render import tokenize_all
from assay.errors import ConfigError, DataError, ResumeError
from assay.methods.flips import Flips, Outcome
from assay.models import generate as generating
from assay.models.discover import discover
from assay.models.session import Session
from assay.models.trajectory import Checkpoint, Trajectory
from assay.runs import flips as flips_module
from assay.runs.flips import ask, query_sets
from assay.world import DEMO_TASKS, base_model_path, make_world
from assay.world.examples import references
from assay.world.score import right_answers
from assay.world.tokenizer import BOS
from tests.models.builders import save_base, save_run

QUESTIONS = 12


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """An adapter's run on a random base, which ends an answer with every sixth word: else it seldom would."""
    folder = tmp_path_factory.mktemp("run")
    base = save_base(folder / "base", tied=False)
    weights = load_file(base / "model.safetensors")
    louder = {name: tensor * 6 if tensor.ndim == 2 else tensor for name, tensor in weights.items()}
    save_file(louder, base / "model.safetensors", metadata={"format": "pt"})
    run = save_run(folder / "run", base, steps=(1, 2))
    made = Session.open(discover(run, include_base=True), device="cpu")
    made.model.get_base_model().generation_config.eos_token_id = list(range(3, 9))
    return made


def asked(session: Session, answers: list[str] | None = None) -> list[Example]:
    made = []
    for i in range(QUESTIONS):
        words = " ".join(f"w{(7 * i + j) % 30}" for j in range(2 + i % 5))
        turns = (Message("user", words), Message("assistant", answers[i] if answers else "w3"))
        made.append(Example(f"q{i}", turns, Source("q.jsonl", i + 1), task="words"))
    return made


def said(session: Session, checkpoint: Checkpoint, folder: Path) -> list[str]:
    prompts = prompts_of(asked(session), session.tokenizer)
    return [one.text for one in ask(session, checkpoint, prompts, folder, max_new_tokens=8)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flips_module, "SHARD", 5)


def outcome_of(flips: Flips, name: str) -> Outcome:
    return next(one for one in flips.outcomes if one.question.example.id == name)


def three_kinds(session: Session, folder: Path) -> tuple[list[Example], Checkpoint, Checkpoint]:
    """Questions whose references are what one of the models says, so that every kind of flip is there."""
    before, after = session.trajectory.checkpoints[0], session.trajectory.checkpoints[-1]
    first, last = said(session, before, folder / "a"), said(session, after, folder / "b")
    mixed = [(first[i], last[i], "w39 w38")[i % 3] or "w39" for i in range(QUESTIONS)]
    return asked(session, mixed), before, after


def test_the_sets_are_those_of_the_two_models_own_answers(session, tmp_path):
    questions, before, after = three_kinds(session, tmp_path)
    options = {"max_new_tokens": 8, "check": "exact"}
    flips = query_sets((session, before), (session, after), questions, tmp_path / "out", **options)
    assert flips.correct
    assert flips.incorrect
    for example in flips.correct:
        assert example.messages[-1].content == outcome_of(flips, example.id).after.text
    for example in flips.incorrect:
        outcome = outcome_of(flips, example.id)
        assert example.messages[-1].content == outcome.after.text != outcome.question.reference
    table = pq.read_table(tmp_path / "out" / "flips.parquet")
    rows = table.to_pylist()
    assert [row["question_id"] for row in rows] == [f"q{i}" for i in range(QUESTIONS)]
    assert [row["set"] for row in rows] == [one.query_set or "none" for one in flips.outcomes]
    for row, one in zip(rows, flips.outcomes, strict=True):
        assert (row["right_before"], row["right_after"]) == (one.right_before, one.right_after)
        assert (row["answer_before"], row["answer_after"]) == (one.before.text, one.after.text)
        assert (row["cut_off_before"], row["cut_off_after"]) == (one.before.cut_off, one.after.cut_off)
        assert (row["compared_reference"], row["task"], row["check"]) == (
            one.question.reference,
            "words",
            "exact",
        )
    assert table.schema.metadata[b"notes"].decode().split("\n") == list(flips.notes)


def test_a_killed_run_goes_on_and_ends_in_the_same_answers(session, tmp_path, monkeypatch):
    checkpoint = session.trajectory.checkpoints[-1]
    prompts = prompts_of(asked(session), session.tokenizer)
    whole = ask(session, checkpoint, prompts, tmp_path / "whole", max_new_tokens=8)
    calls: list[int] = []

    def killed_later(model, batch, *more, **how):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(batch))
        return generating.generate(model, batch, *more, **how)

    monkeypatch.setattr(flips_module, "generate", killed_later)
    with pytest.raises(KeyboardInterrupt):
        ask(session, checkpoint, prompts, tmp_path / "killed", max_new_tokens=8)
    assert calls == [5, 5]
    (tmp_path / "killed" / "00001.json").write_text('{"settings": {')
    calls.clear()
    assert ask(session, checkpoint, prompts, tmp_path / "killed", max_new_tokens=8) == whole
    assert calls == [5, 2]
    for file in ("00000.json", "00001.json", "00002.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    monkeypatch.setattr(session, "at", None)
    assert ask(session, checkpoint, prompts, tmp_path / "killed", max_new_tokens=8) == whole


def test_answers_are_in_the_order_of_the_prompts(session, tmp_path):
    prompts = prompts_of(asked(session), session.tokenizer)
    found = ask(session, session.trajectory.checkpoints[0], prompts, tmp_path, max_new_tokens=8)
    assert [one.id for one in found] == [f"q{i}" for i in range(QUESTIONS)]
    stored = [
        row["id"] for file in sorted(tmp_path.iterdir()) for row in json.loads(file.read_text())["answers"]
    ]
    assert sorted(stored) == sorted(one.id for one in found)
    assert stored != [one.id for one in found]


def test_answers_that_were_made_otherwise_are_refused_by_name(session, tmp_path):
    prompts = prompts_of(asked(session), session.tokenizer)
    first, last = session.trajectory.checkpoints[0], session.trajectory.checkpoints[-1]
    ask(session, first, prompts, tmp_path, max_new_tokens=8)
    with pytest.raises(ResumeError, match=r"otherwise \(weights\); give another --out"):
        ask(session, last, prompts, tmp_path, max_new_tokens=8)
    with pytest.raises(ResumeError, match=r"otherwise \(max_new_tokens\)"):
        ask(session, first, prompts, tmp_path, max_new_tokens=9)
    with pytest.raises(ResumeError, match=r"otherwise \(questions\)"):
        ask(session, first, prompts[1:], tmp_path, max_new_tokens=8)


def test_an_empty_set_is_told_after_the_table_is_written(session, tmp_path):
    before, after = session.trajectory.checkpoints[0], session.trajectory.checkpoints[-1]
    questions = asked(session, ["w39 w38"] * QUESTIONS)
    with pytest.raises(DataError, match="the query set C is empty"):
        query_sets((session, before), (session, after), questions, tmp_path, max_new_tokens=8)
    assert pq.read_table(tmp_path / "flips.parquet").num_rows == QUESTIONS
    flips = query_sets(
        (session, before),
        (session, after),
        questions,
        tmp_path,
        max_new_tokens=8,
        incorrect="all-wrong",
        needed=["I"],
    )
    assert flips.incorrect


def test_ready_tokens_are_asked_and_their_labels_are_the_reference(session, tmp_path):
    before, after = session.trajectory.checkpoints[0], session.trajectory.checkpoints[-1]
    ids, labels = (12, 13, 14, 30, 31, 1), (-100, -100, -100, 30, 31, 1)
    ready = Example("q0", (), Source("q.jsonl", 1), rendering="tokens", input_ids=ids, labels=labels)
    flips = query_sets((session, before), (session, after), [ready], tmp_path, max_new_tokens=8, needed=[])
    question = flips.outcomes[0].question
    assert (question.prompt, question.reference) == ("w10 w11 w12", "w28 w29")
    assert flips.outcomes[0].after.text


def test_a_model_is_not_compared_with_itself(session, tmp_path):
    last = session.trajectory.checkpoints[-1]
    with pytest.raises(ConfigError, match="before and after are both checkpoint-2"):
        query_sets((session, last), (session, last), asked(session), tmp_path)


def test_the_worlds_flips_are_those_that_a_forward_pass_tells(tmp_path):
    """The shipped base in running text, as it was taught, after a spoiled copy of it.

    Without generating: an answer is right if every token of it is the likeliest after the true ones.
    """
    base = base_model_path(0)
    trajectory = Trajectory((Checkpoint("base", str(base), "base"),), str(base))
    whole, spoiled = (Session.open(trajectory, device="cpu") for _ in range(2))
    with torch.no_grad():
        spoiled.model.model.layers[-1].mlp.down_proj.weight.mul_(0.3)
    questions = [
        Example(
            f"{task}-{i}",
            (Message("user", BOS + problem.query), Message("assistant", problem.answer)),
            Source("world", i + 1),
            task=task,
            rendering="plain",
        )
        for task in DEMO_TASKS
        for i, problem in enumerate(references(task, 3, 5, "query", make_world()))
    ]
    tokens = tokenize_all(questions, whole.tokenizer, loss_on="last").tokens
    before, after = (right_answers(one.model, tokens) for one in (spoiled, whole))
    here = trajectory.checkpoints[0]
    options = {"max_new_tokens": 24, "incorrect": "all-wrong"}
    flips = query_sets((spoiled, here), (whole, here), questions, tmp_path, check="exact", **options)
    assert [one.right_before for one in flips.outcomes] == before.tolist()
    assert [one.right_after for one in flips.outcomes] == after.tolist()
    turned = [one.id for one, then, now in zip(questions, before, after, strict=True) if now and not then]
    assert [one.id for one in flips.correct] == turned
    assert len(turned) > 3
    targets = tokenize_all(flips.incorrect, whole.tokenizer, loss_on="last").tokens
    assert right_answers(whole.model, targets).all()
    assert len(targets) > 3
    flips = query_sets((spoiled, here), (whole, here), questions, tmp_path, **options)
    reasoned = [one for one in flips.outcomes if one.after.text.endswith(f"so the answer is {_bare(one)} .")]
    assert reasoned
    assert all(one.right_after for one in reasoned)


def _bare(outcome: Outcome) -> str:
    return outcome.question.reference.strip()
