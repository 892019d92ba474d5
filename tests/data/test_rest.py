"""Batches, task labels, overlap with training data, and the preview of what is learned."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.batches import pad, token_budget_batches
from assay.data.example import Example, Message, Source, Tokens
from assay.data.labels import cluster_tasks, read_mapping, require_tasks, tasks_from, with_tasks
from assay.data.overlap import Match, overlap_notes, trained_on
from assay.data.preview import Segment, segments
from assay.errors import ConfigError, DataError
from tests.data import tokenizers_for_tests as tiny
from tests.data.helpers import write


def said(prompt: str, answer: str = "a", *, id: str = "x", row: int = 1) -> Example:
    return Example(id, (Message("user", prompt), Message("assistant", answer)), Source("f.jsonl", row))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 120))
def test_batches_hold_every_row_once_within_the_budget_longest_first(lengths: list[int], budget: int) -> None:
    batches = token_budget_batches(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= budget
    order = [lengths[row] for batch in batches for row in batch]
    assert order == sorted(order, reverse=True)


def test_padding_stands_on_the_right_without_weight() -> None:
    rows = [
        Tokens("a", np.array([1, 2, 3]), np.array([0, 0.5, 1])),
        Tokens("b", np.array([4]), np.array([0])),
    ]
    batch = pad(rows, pad_id=9)
    assert batch.input_ids.tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch.attention_mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.weights.tolist() == [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]
    assert (batch.input_ids.dtype, batch.attention_mask.dtype, batch.weights.dtype) == (
        np.int64,
        np.bool_,
        np.float32,
    )


def test_labels_from_a_mapping_file(tmp_path: Path) -> None:
    examples = (said("p", id="1"), said("q", id="2"))
    files = [
        write(tmp_path / "map.json", json.dumps({"1": "sums", "2": "facts"})),
        write(tmp_path / "map.csv", "id,task\n1,sums\n2,facts\n"),
        write(tmp_path / "map.jsonl", '{"id": 1, "task": "sums"}\n{"id": 2, "task": "facts"}\n'),
    ]
    for file in files:
        assert [example.task for example in with_tasks(examples, file)] == ["sums", "facts"]
    labelled = tasks_from(examples, {"1": "sums"})
    with pytest.raises(DataError, match=r"eval: example 2 \(f\.jsonl, row 1\) has no task label"):
        require_tasks(labelled, "eval")
    require_tasks(with_tasks(examples, files[0]), "eval")


def test_a_mapping_that_speaks_of_no_example_is_an_error(tmp_path: Path) -> None:
    """Ids of another file would otherwise leave everything without a label, as if none had been given."""
    file = write(tmp_path / "map.json", json.dumps({"elsewhere": "sums"}))
    with pytest.raises(DataError, match=r"none of its 1 id is the id of an example, such as 1 \(f\.jsonl"):
        with_tasks((said("p", id="1"),), file)


@pytest.mark.parametrize(
    "content", ["id,task\n1,a\n1,b\n", "id,task\n1,\n", "id,task\n1\n", '{"1": ["a"]}', '{"1": 1.5}', "{"]
)
def test_mapping_files_that_contradict_themselves_are_errors(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError):
        read_mapping(write(tmp_path / ("m.json" if content.startswith("{") else "m.csv"), content))


def test_clusters_find_kinds_of_prompts_in_languages_without_spaces_too() -> None:
    groups = [
        [f"东京到大阪的距离是多少公里？第{number}题" for number in range(6)],
        [f"Translate to French: the cat number {number}" for number in range(5)],
        [f"def f{number}(x): return x ** {number}  # explain the code" for number in range(4)],
    ]
    examples = tuple(said(prompt) for group in groups for prompt in group)
    labels = [example.task for example in cluster_tasks(examples, 3)]
    assert labels == ["cluster-1"] * 6 + ["cluster-2"] * 5 + ["cluster-3"] * 4
    assert labels == [example.task for example in with_tasks(examples, "cluster:3")]


@pytest.mark.parametrize("asked", ["cluster:x", "cluster:", "cluster:-3", "cluster:2.5"])
def test_a_number_of_clusters_that_is_none_is_said_to_be_none(asked: str) -> None:
    with pytest.raises(ConfigError) as raised:
        with_tasks((said("a"), said("b")), asked)
    assert str(raised.value) == (
        f"--tasks {asked}: give the number of clusters as a whole number, as in cluster:8."
    )


def test_every_cluster_is_used_and_impossible_numbers_are_refused() -> None:
    examples = tuple(said(prompt) for prompt in ("same", "same", "Same", "other", "third"))
    assert {example.task for example in cluster_tasks(examples, 3)} == {"cluster-1", "cluster-2", "cluster-3"}
    for clusters in (0, 4):
        with pytest.raises(ConfigError, match="between 1 and 3"):
            cluster_tasks(examples, clusters)
    assert {example.task for example in cluster_tasks((said(""), said("  ")), 1)} == {"cluster-1"}


def test_overlap_tells_content_from_prompt_and_the_first_place() -> None:
    train = [said("p", "a", row=1), said(" p", "a ", row=2), said("r", "b", row=3)]
    probes = [said("p\n", "a", id="same"), said("p", "new", id="asked"), said("z", "a", id="fresh")]
    matches = trained_on(train, {"cot": probes})
    assert matches == (
        Match("cot", "same", Source("f.jsonl", 1), "content"),
        Match("cot", "asked", Source("f.jsonl", 1), "prompt"),
    )
    assert overlap_notes(matches) == ("cot: 1 example trained on, and of 1 more the prompt alone.",)


def test_texts_without_a_prompt_do_not_match_each_other() -> None:
    one, other = (Example(text, (Message("assistant", text),), Source("f", 1)) for text in ("one", "other"))
    assert trained_on([one], {"texts": [other]}) == ()
    assert len(trained_on([one], {"texts": [one]})) == 1


def test_segments_join_to_the_whole_text_and_cut_where_weights_change() -> None:
    tokenizer = tiny.fast_tokenizer()
    ids = np.array(tokenizer("<|im_start|>is it 四?<|im_end|>", add_special_tokens=False)["input_ids"])
    weights = np.zeros(len(ids), dtype=np.float32)
    weights[-3:] = 1
    weights[-1] = 0.5
    parts = segments(Tokens("x", ids, weights), tokenizer)
    assert "".join(part.text for part in parts) == "<|im_start|>is it 四?<|im_end|>"
    assert [part.weight for part in parts] == [0.0, 1.0, 0.5]
    assert parts[-1] == Segment("<|im_end|>", 0.5, 1)
    assert sum(part.tokens for part in parts) == len(ids)
