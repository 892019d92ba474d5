"""Reads the data folder and decides, once for all scripts, which row is used for what.

A row goes by the hash of its question into exactly one part: `probe`, `query`, `base` (fine-tuning) or
`pretrain`. GSM8K occurs in two files with the same questions, so the hash keeps both copies in one part.
Knows nothing of models.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TASKS = ("aqua", "creak", "ecqa", "gsm8k", "qasc", "sensemaking", "strategyqa")
DIRECTIVE = "Please output the reason first and then the final answer, regardless of the above description."


@dataclass(frozen=True)
class Row:
    """One line of `flan_cot/<task>_train.tsv`: question, answer and rationale, newlines unescaped."""

    id: str
    task: str
    question: str
    answer: str
    rationale: str

    @property
    def reasoned(self) -> str:
        """The chain-of-thought completion: the reason first, then the answer."""
        return f"{self.rationale}\nSo the answer is {self.answer}."


def digest(text: str) -> int:
    """A number that depends on the words of `text` alone, neither on case nor on spacing."""
    return int(hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:12], 16)


def part(question: str) -> str:
    """Which use a question is kept for: 4% probes, 4% queries, 22% fine-tuning, the rest pretraining."""
    share = digest(question) % 100
    return "probe" if share < 4 else "query" if share < 8 else "base" if share < 30 else "pretrain"


def rows(data: Path, task: str) -> list[Row]:
    """All rows of one task in file order; the id is the task and the line number."""
    lines = (data / "flan_cot" / f"{task}_train.tsv").read_text(encoding="utf-8").split("\n")
    fields = [line.replace("\\n", "\n").split("\t") for line in lines if line]
    return [Row(f"{task}-{number}", task, *map(str.strip, field)) for number, field in enumerate(fields, 1)]


def chosen(data: Path, task: str, use: str, count: int) -> list[Row]:
    """`count` rows of one part, every question once, in the order of their hashes: random, but fixed."""
    fitting = [row for row in rows(data, task) if len(row.question + row.reasoned) < 1_500]
    distinct = {digest(row.question): row for row in fitting if part(row.question) == use}
    return [distinct[key] for key in sorted(distinct)[:count]]


def read_jsonl(path: Path) -> list[dict]:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def instructions(data: Path) -> list[tuple[str, str, str]]:
    """(task, prompt, completion) of the self_instruct files, whose prompts are instructions of many kinds."""
    folder = data / "self_instruct"
    found = [
        (row["task"], row["prompt"].strip(), row["completion"].strip())
        for row in read_jsonl(folder / "multitask.jsonl")
    ]
    for name in ("seed_tasks.jsonl", "user_oriented_instructions.jsonl"):
        for row in read_jsonl(folder / name):
            for instance in row["instances"]:
                prompt = f"{row['instruction']}\n{instance['input']}".strip()
                found.append((row["id"], prompt, instance["output"].strip()))
    return [triple for triple in found if triple[1] and triple[2]]


def chat(prompt: str, completion: str) -> list[dict]:
    """A conversation of one question and one answer."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


def pretraining_texts(data: Path) -> Iterator[str | list[dict]]:
    """Documents of the part `pretrain`: plain text for reasoning tasks, conversations for instructions.

    The reasoning tasks come as plain text, so that the base model has read such questions but never
    answered one as a chat turn; the role tokens are learned from the instructions. Instructions that quote a
    line of a probe or query are left out.
    """
    for task in TASKS:
        for row in rows(data, task):
            if part(row.question) == "pretrain":
                yield f"{row.question}\n{row.reasoned}"
    for name in ("train", "test"):
        for record in read_jsonl(data / "gsm8k" / f"{name}.jsonl"):
            if part(record["question"]) == "pretrain":
                yield f"{record['question']}\n{record['answer']}"
    for record in read_jsonl(data / "gsm8k" / "example_model_solutions.jsonl"):
        if part(record["question"]) == "pretrain":
            for solution in (value["solution"] for value in record.values() if isinstance(value, dict)):
                yield f"{record['question']}\n{solution}"
    forbidden = held_out_lines(data)
    for _, prompt, completion in instructions(data):
        if part(prompt) != "base" and not any(line in prompt for line in forbidden):
            yield chat(prompt, completion)


def held_out_lines(data: Path) -> set[str]:
    """The long lines of the probe and query questions that no other row of the seven tasks has."""
    every = [row for task in TASKS for row in rows(data, task)]
    count = Counter(line for row in every for line in row.question.split("\n"))
    kept = [row for row in every if part(row.question) in ("probe", "query")]
    return {line for row in kept for line in row.question.split("\n") if len(line) >= 40 and count[line] == 1}
