"""The demo's files are plain `messages` JSONL that pair up and share no problem."""

import json

from assay.world import DEMO_TASKS, demo_inputs, make_examples, write_examples


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_demo_writes_what_a_study_needs(tmp_path):
    inputs = demo_inputs(tmp_path)
    control, queries, base = rows(inputs.probes[inputs.control]), rows(inputs.queries), rows(inputs.base)
    assert len(base) == 2304
    for path in inputs.probes.values():
        probes = rows(path)
        assert [row["pair"] for row in probes] == [row["pair"] for row in control]
        assert [row["task"] for row in probes] == [task for task in DEMO_TASKS for _ in range(16)]
        assert [message["role"] for message in probes[0]["messages"]] == ["user", "assistant"]
    assert len(queries) == 16 * 12
    first = [{row["messages"][0]["content"] for row in table} for table in (control, queries, base)]
    assert not first[0] & first[1] and not first[0] & first[2] and not first[1] & first[2]
    assert len({row["id"] for table in (control, queries, base) for row in table}) == 192 + 192 + 2304


def test_the_demo_writes_the_same_bytes_again(tmp_path):
    examples = make_examples("shuffled", seed=3)
    again = make_examples("shuffled", seed=3)
    write_examples(tmp_path / "one.jsonl", examples)
    write_examples(tmp_path / "two.jsonl", again)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
