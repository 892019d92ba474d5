"""Real files of other people, in the formats of their trainers; skipped where they are absent."""

from pathlib import Path

import pytest

from assay.data.columns import ColumnMapping
from assay.data.readers import read_examples
from assay.data.render import tokenize_all
from tests.data import tokenizers_for_tests as tiny

QUESTIONS = {
    "gsm8k": 7473,
    "ecqa": 7112,
    "creak": 6915,
    "sensemaking": 6070,
    "aqua": 2728,
    "strategyqa": 2061,
    "qasc": 1084,
}


@pytest.mark.parametrize(
    ("name", "format", "count"),
    [
        ("gsm8k/test.jsonl", "question-answer", 1319),
        ("self_instruct/seed_tasks.jsonl", "instances", 175),
        ("self_instruct/user_oriented_instructions.jsonl", "instances", 252),
        ("formats/identity.json", "alpaca", 40),
        ("formats/glaive_toolcall_en_demo.json", "sharegpt", 40),
        ("formats/glaive_toolcall_zh_demo.json", "sharegpt", 40),
        ("formats/reason_tool_use_demo_50.jsonl", "messages", 20),
        ("formats/v1_sft_demo.jsonl", "messages", 20),
        ("formats/dataset_info.json:identity", "alpaca", 40),
        ("formats/dataset_info.json:glaive_toolcall_en_demo", "sharegpt", 40),
    ],
)
def test_real_files_are_detected_and_read_whole(
    shared_data: Path, name: str, format: str, count: int
) -> None:
    found = read_examples(f"{shared_data}/{name}")
    assert (found.format, len(found.examples), found.rejects) == (format, count, ())
    assert len({example.id for example in found.examples}) == count


@pytest.mark.parametrize(("name", "count"), QUESTIONS.items())
def test_headerless_tables_of_questions_answers_and_rationales(
    shared_data: Path, name: str, count: int
) -> None:
    mapping = ColumnMapping.parse(
        "question,answer,rationale",
        prompt="question",
        completion=r"{rationale}\nSo the answer is {answer}.",
        unescape=True,
    )
    found = read_examples(shared_data / "flan_cot" / f"{name}_train.tsv", columns=mapping, task=name)
    assert len(found.examples) == count
    assert all(
        example.task == name and "\\n" not in example.messages[0].content for example in found.examples
    )


def test_task_labels_of_a_real_mixture_and_its_empty_completions(shared_data: Path) -> None:
    found = read_examples(shared_data / "self_instruct" / "multitask.jsonl", on_bad_rows="skip")
    assert len(found.examples) + len(found.rejects) == 8300
    assert {reject.reason for reject in found.rejects} == {"field 'completion' is empty"}
    labels = {example.task for example in found.examples} | {row.record["task"] for row in found.rejects}
    assert len(labels) == 220
    assert {example.rendering for example in found.examples} == {"plain"}


@pytest.mark.parametrize(
    "name", ["glaive_toolcall_zh_demo.json", "reason_tool_use_demo_50.jsonl", "v1_sft_demo.jsonl"]
)
@pytest.mark.parametrize(
    "template", [tiny.WITH_TOOLS, tiny.CHATML, tiny.THINKING], ids=["tools", "chatml", "thinking"]
)
def test_real_conversations_become_tokens(shared_data: Path, name: str, template: str) -> None:
    examples = read_examples(shared_data / "formats" / name).examples[:8]
    done = tokenize_all(examples, tiny.fast_tokenizer(), chat_template=template)
    assert len(done.tokens) == len(examples)
    assert all(0 < tokens.completion_tokens < len(tokens) for tokens in done.tokens)
