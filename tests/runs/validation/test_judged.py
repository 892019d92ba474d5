"""A judge's verdicts stand beside the answers; what it did not say is null and never 0."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from assay.asking import endpoint as endpoints
from assay.errors import ConfigError, DataError
from assay.fingerprint import digest
from assay.runs.validation.run import run_validation
from tests.asking.servers import Act, Server, say
from tests.runs.lab import Heard, rows, write_rows
from tests.runs.validation.world import config

PART = re.compile(r"\[(\w{8}) ([A-Z ]+)\]\n(.*?)\n\[\1 end\]", re.DOTALL)
ARMS = ["base", "base+cot"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def verdict_on(answer: str) -> bool | None:
    """What the judge of these tests thinks; None where it refuses."""
    number = int(digest(answer.strip()), 16) % 3
    return None if number == 2 else number == 1


def judging(before: int, body: dict[str, Any]) -> Act:
    parts = {name: text for _, name, text in PART.findall(body["messages"][-1]["content"])}
    if "ANSWER" in parts:
        right = verdict_on(parts["ANSWER"])
        if right is None:
            return say("I'm sorry, but I can't help with that.")
        return say(json.dumps({"reason": "so it is", "verdict": int(right)}))
    better = "A" if parts["ANSWER A"] > parts["ANSWER B"] else "B"
    return say(json.dumps({"reason": "it comes later", "better": better}))


def judge(url: str, **more: Any) -> dict[str, Any]:
    return {"endpoint": url, "model": "m", **more}


def test_verdicts_stand_beside_the_answers_and_nothing_is_asked_twice(world: Path, tmp_path: Path) -> None:
    out, server = tmp_path / "out", Server(judging)
    with server.running() as url:
        asked = config(world, arms=ARMS, judge=judge(url, price={"prompt": 1, "completion": 2}))
        with pytest.raises(KeyboardInterrupt):
            run_validation(asked, out, progress=Heard(stop_at="judged answers"))
        first = run_validation(asked, out)
        bodies = len(server.bodies)
        again = Heard()
        second = run_validation(asked, out, progress=again)
    assert len(server.bodies) == bodies
    assert not [stage for stage in again.stages if "seed" in stage]
    assert first.result.to_dict() == second.result.to_dict()
    table = pq.read_table(out / "answers.parquet").to_pylist()
    told = [row for row in table if row["answer"] is not None]
    for row in told:
        expected = verdict_on(row["answer"]) if row["answer"].strip() else False
        assert row["judged"] is expected
        assert row["judge_lacks"] == (None if expected is not None else "refused")
    refused = sum(row["judged"] is None for row in told)
    assert 0 < refused < len(told)
    assert all(row["judged"] is None for row in table if row["query_set"] == "neg")
    assert f"{refused} refused, 0 unreadable, 0 failed" in first.result.judge["without a verdict"]
    assert "in the price's money" in first.result.judge["asked"]
    effects = [row.effect for row in first.result.rows if row.measure == "judged" and row.effect]
    assert len(effects) == 1
    lacking = {(row["seed"], row["query_id"]) for row in told if row["judged"] is None}
    assert effects[0].left_out == len(lacking)


def test_a_judge_that_never_says_leaves_no_table_and_no_error(world: Path, tmp_path: Path) -> None:
    with Server(lambda before, body: say("It is a fine day.")).running() as url:
        done = run_validation(config(world, arms=ARMS, seeds=1, judge=judge(url)), tmp_path / "out")
    assert "judged" not in [one.name for one in done.result.measures]
    assert {row["judge_lacks"] for row in done.answers.to_pylist() if (row["answer"] or "").strip()} == {
        "unreadable"
    }


def test_arms_are_preferred_to_the_first_arm_of_the_same_seed(world: Path, tmp_path: Path) -> None:
    with Server(judging).running() as url:
        asked = config(world, arms=ARMS, judge=judge(url), judge_pairs=True)
        done = run_validation(asked, tmp_path / "out")
    told = [row for row in done.answers.to_pylist() if row["answer"] is not None]
    first = {(row["seed"], row["query_id"]): row["answer"].strip() for row in told if row["arm"] == "base"}
    found = set()
    for row in told:
        if row["arm"] == "base":
            assert row["preferred"] is None
            continue
        ours, theirs = row["answer"].strip(), first[row["seed"], row["query_id"]]
        expected = "tie" if ours == theirs else "better" if ours > theirs else "worse"
        assert row["preferred"] == expected
        said = None if ours == theirs else expected
        assert (row["preferred_shown_second"], row["preferred_shown_first"]) == (said, said)
        found.add(row["preferred"])
    assert {"better", "worse"} <= found
    contest = done.result.judge["model: base+cot on queries, against base"]
    better = sum(row["preferred"] == "better" for row in told)
    assert contest.startswith(f"{better} better, ")
    worth = {"better": 1, "tie": 0, "worse": -1}
    each = [
        sum(worth[row["preferred"]] for row in told if row["preferred"] and row["seed"] == seed)
        for seed in (0, 1)
    ]
    (row,) = [one for one in done.result.rows if one.measure == "preferred" and one.effect]
    queries = sum(row["arm"] == "base" and row["seed"] == 0 for row in told)
    assert row.effect is not None and row.effect.per_seed == tuple(total / queries for total in each)
    assert row.effect.test in ("t over seeds", "no test")


def test_the_judge_is_held_against_people(world: Path, tmp_path: Path) -> None:
    answers = [f"answer {number}" for number in range(12)]
    said = [verdict_on(answer) for answer in answers]
    labels = [int(not right) if number < 2 else int(bool(right)) for number, right in enumerate(said)]
    file = write_rows(
        tmp_path / "people.jsonl",
        [
            {**row, "answer": answer, "label": label}
            for row, answer, label in zip(rows("plain", 80, 4), answers, labels, strict=True)
        ],
    )
    agreeing = sum(
        bool(label) == right for label, right in zip(labels, said, strict=True) if right is not None
    )
    known = sum(right is not None for right in said)
    with Server(judging).running() as url:
        changes: dict[str, Any] = {"arms": ARMS, "seeds": 1, "judge": judge(url)}
        done = run_validation(config(world, **changes, judge_labels=str(file)), tmp_path / "out")
        with pytest.raises(DataError, match="no column 'human'"):
            wrong = {"file": str(file), "label": "human"}
            run_validation(config(world, **changes, judge_labels=wrong), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    agreement = done.result.judge["agreement with people"]
    assert agreement.startswith(f"{agreeing / known:.1%} of {known} answers")
    table = pq.read_table(tmp_path / "out" / "labels.parquet").to_pylist()
    assert [(row["answer"], row["label"], row["judged"]) for row in table] == [
        (answer, bool(label), right) for answer, label, right in zip(answers, labels, said, strict=True)
    ]
    told = [row["answer"] for row in done.answers.to_pylist() if (row["answer"] or "").strip()]
    replies = sum(3 if verdict_on(answer) is None else 1 for answer in [*told, *answers])
    assert done.result.judge["asked"].startswith(f"{replies:,} replies")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"judge_pairs": True}, "name the judge"),
        ({"judge": {"endpoint": "http://x/v1"}}, "name of the model there"),
        ({"judge": {"local": "m"}, "answers": "none"}, "none are generated"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused_at_once(
    world: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        config(world, **changes)
    assert says in str(raised.value)
