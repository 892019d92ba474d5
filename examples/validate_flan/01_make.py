"""Writes the training sets, probes and queries of the validation on real questions.

    PYTHONPATH=../flan_cot python 01_make.py --data DATA --out RUNS/data

base.jsonl    direct answers of AQuA, ECQA and SenseMaking, which every arm is trained on first or beside
cross/        what the strategies make of half of the same problems: pos, cot, clarify, eval
in/           what they make of problems of CREAK, StrategyQA, QASC and GSM8K, of which the queries are
probes/       the same of problems that no arm is trained on, for the two studies
queries/      questions of those four tasks with their answers, and (-wrong) with a wrong answer each

Everything is put together from the data's own questions, answers, options and rationales; no model is asked.
The base model was pretrained on none of these questions (`../flan_cot/corpus.py`).
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from corpus import DIRECTIVE, Row, chat, chosen, digest, part, read_jsonl

from assay.files import write_text
from assay.streams import stream

NAME = "validate_flan"
ASKED = ("creak", "strategyqa", "qasc", "gsm8k")
OTHER = ("aqua", "ecqa", "sensemaking")
BASE, CROSS, IN, PROBES, QUERIES = 32, 8, 8, 8, 20
"""Problems of each task."""
LONGEST = 350
"""Characters of question and rationale together, and of a query's question: longer ones cost most time."""

CLARIFY = "Rewrite the [input] so that it is clear what is wanted. Do not answer it."
JUDGE = (
    'Is the [output] a right reply to the [input]? Reason first, then "Verdict: right" or "Verdict: wrong".'
)
WANTED: Mapping[str, tuple[str, str]] = {
    "aqua": ("Work the problem out.", "Name the option with the result by its letter in brackets."),
    "creak": ("Find out whether the statement is true.", "Answer yes or no."),
    "ecqa": ("Choose the option that fits best.", "Answer with the words of the option."),
    "gsm8k": ("Work the problem out.", "Answer with the number alone."),
    "qasc": ("Choose the option that fits best.", "Name it by its letter in brackets."),
    "sensemaking": ("Find the sentence that cannot be meant.", "Answer Sentence A or Sentence B."),
    "strategyqa": ("Find out whether it is so.", "Answer yes or no."),
}
"""What a question of a task requires, and the form of its answer: the same words for every question of it."""
YES_NO = ("yes", "no")
PAIRS = (YES_NO, ("Sentence A", "Sentence B"))


def direct(row: Row, wrong: str) -> list[dict]:
    return chat(row.question, row.answer)


def cot(row: Row, wrong: str) -> list[dict]:
    """The rationale of the data before the answer."""
    return chat(f"{row.question}\n{DIRECTIVE}", row.reasoned)


def clarify(row: Row, wrong: str) -> list[dict]:
    """The question once more, with what it requires behind it."""
    required = "".join(f"\n- {one}" for one in WANTED[row.task])
    return chat(f"{CLARIFY}\n\n[input]\n{row.question}", f"{row.question}\n\nRequired:{required}")


def judge(row: Row, wrong: str) -> list[dict]:
    """The right or a wrong answer, by a toss, and the rationale with the verdict that follows from it."""
    good = digest(f"{NAME} {row.id}") % 2 == 0
    asked = f"{JUDGE}\n\n[input]\n{row.question}\n\n[output]\n{row.answer if good else wrong}"
    return chat(asked, f"{row.reasoned}\nVerdict: {'right' if good else 'wrong'}")


STRATEGIES = {"pos": direct, "cot": cot, "clarify": clarify, "eval": judge}


def options(row: Row) -> set[str]:
    """The answers that the question allows; none where it allows any."""
    if pair := next((one for one in PAIRS if row.answer in one), None):
        return set(pair)
    lettered = re.findall(r"^(?:- )?(\([A-Z]\)) ", row.question, re.MULTILINE)
    return set(lettered or re.findall(r"^- (.+)$", row.question, re.MULTILINE))


def wrong_answer(row: Row, others: Sequence[Row], rng: np.random.Generator) -> str:
    """Another option of the question, or (GSM8K) the answer to another question."""
    allowed = options(row) or {other.answer for other in others}
    wrong = sorted(allowed - {row.answer})
    return wrong[rng.integers(len(wrong))]


def problems(data: Path, task: str, use: str, count: int) -> list[tuple[Row, str]]:
    """Rows of one part that are short enough, in the order of their hashes, each with a wrong answer."""
    rows = [row for row in chosen(data, task, use, 10**9) if len(row.question + row.rationale) <= LONGEST]
    rng = stream(NAME, "wrong", task, use)
    assert len(rows) >= count, (task, use, len(rows))
    return [(row, wrong_answer(row, rows, rng)) for row in rows[:count]]


def written(name: str, strategy: str, drawn: Sequence[tuple[Row, str]]) -> list[dict]:
    return [
        {
            "id": f"{name}-{row.id}",
            "task": row.task,
            "pair": row.id,
            "messages": STRATEGIES[strategy](row, wrong),
        }
        for row, wrong in drawn
    ]


def asked(data: Path, task: str) -> list[tuple[Row, str]]:
    """The queries of a task, each with a wrong answer; of yes and no half have either."""
    if task == "gsm8k":
        return list(islice(solved(data), QUERIES))
    rows = [row for row in chosen(data, task, "query", 10**9) if len(row.question) <= LONGEST]
    if rows[0].answer in YES_NO:
        halves = [[row for row in rows if row.answer == answer][: QUERIES // 2] for answer in YES_NO]
        kept = {row.id for half in halves for row in half}
        rows = [row for row in rows if row.id in kept]
    rng = stream(NAME, "wrong", task, "query")
    return [(row, wrong_answer(row, rows, rng)) for row in rows[:QUERIES]]


def solved(data: Path) -> Iterator[tuple[Row, str]]:
    """Questions of GSM8K's test file that a language model got wrong, with the first such number."""
    for number, record in enumerate(read_jsonl(data / "gsm8k" / "example_model_solutions.jsonl"), 1):
        question, answer = record["question"], last_number(record["ground_truth"])
        said = [one for one in record.values() if isinstance(one, dict) and not one["is_correct"]]
        numbers = [last_number(one["solution"]) for one in said]
        wrong = next((one for one in numbers if one and one != answer), None)
        if answer and wrong and part(question) == "query" and len(question) <= LONGEST:
            yield Row(f"gsm8k-test-{number}", "gsm8k", question, answer, ""), wrong


def last_number(solution: str) -> str | None:
    """What stands behind the last `A:`, if it is a plain number."""
    said = solution.rpartition("A:")[2].strip()
    return said if re.fullmatch(r"-?\d+(?:\.\d+)?", said) else None


def write(path: Path, rows: Sequence[Mapping]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{path}: {len(rows)} examples")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with flan_cot/ and gsm8k/")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    def of(tasks: Sequence[str], use: str, count: int) -> list[tuple[Row, str]]:
        return [one for task in tasks for one in problems(args.data, task, use, count)]

    write(args.out / "base.jsonl", written("base", "pos", of(OTHER, "base", BASE)))
    for folder, tasks, count in (("cross", OTHER, CROSS), ("in", ASKED, IN)):
        for strategy in STRATEGIES:
            drawn, probes = of(tasks, "base", count), of(tasks, "probe", PROBES)
            write(args.out / folder / f"{strategy}.jsonl", written(strategy, strategy, drawn))
            probed = written(f"probe-{strategy}", strategy, probes)
            write(args.out / "probes" / folder / f"{strategy}.jsonl", probed)
    for task in ASKED:
        drawn = asked(args.data, task)
        assert len(drawn) == QUERIES
        for name, answers in (
            (task, [row.answer for row, _ in drawn]),
            (f"{task}-wrong", [wrong for _, wrong in drawn]),
        ):
            rows = [
                {"id": row.id, "task": task, "pair": row.id, "messages": chat(row.question, answer)}
                for (row, _), answer in zip(drawn, answers, strict=True)
            ]
            write(args.out / "queries" / f"{name}.jsonl", rows)


if __name__ == "__main__":
    main()
