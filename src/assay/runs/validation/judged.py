"""Generated answers before a judge: a verdict for each, a preference over the first arm's, people's labels.

Replies are kept in the run folder, so a judge may be named after the arms are trained, and a killed run asks
nothing twice. How a judge is asked is for `runs.judging`.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.asking.spent import Price, Spent
from assay.data.example import Example
from assay.errors import DataError
from assay.judging.agreement import HumanAgreement
from assay.judging.columns import case_of, labelled_case
from assay.judging.judgement import Case, Contest, Counts, Judgement, Pairing, Preference
from assay.progress import SILENT, Progress
from assay.runs.crafting.asking import opened
from assay.runs.inputs import read_file
from assay.runs.judging import (
    BesidePeople,
    JudgeConfig,
    agree_with_people,
    compare_answers,
    judge_answers,
)
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.evaluation import ASKED
from assay.runs.validation.inputs import Examples

PREFERRED = {"first": "worse", "second": "better", "tie": "tie"}
JUDGED = pa.schema([*ASKED, ("preferred_shown_second", pa.string()), ("preferred_shown_first", pa.string())])
"""What was asked, with the two verdicts that a preference is made of: where this answer was shown second, and
where it was shown first."""
PEOPLE = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("reference", pa.string()),
        ("answer", pa.string()),
        ("label", pa.bool_()),
        ("judged", pa.bool_()),
        ("judge_said", pa.string()),
        ("judge_lacks", pa.string()),
    ]
)
"""Answers that people judged (`label`), and the judge's verdict on them."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """`answers` with the judge's columns filled (`JUDGED`), the judge `beside_people` (`PEOPLE`), and what is
    to be told of the judge."""

    answers: pa.Table
    beside_people: pa.Table | None
    told: dict[str, Any]


def require_judge(config: ValidateConfig, examples: Examples) -> None:
    """What can be checked before anything is trained: the judge's place, golden answers, people's labels.

    Raises ConfigError or DataError.
    """
    if config.judge is None:
        return
    if config.judge.endpoint is not None:
        with closing(opened(config.judge.place, config.judge)):
            pass
    for name, members in examples.queries.items():
        for example in members if name not in config.undesired else ():
            case_of(example, "", column=config.judge.key_checkpoints)
    _labelled(config)


def judged(
    config: ValidateConfig, answers: pa.Table, examples: Examples, kept: Path, progress: Progress = SILENT
) -> Verdicts:
    """What the judge says of every generated answer, and what it says of the answers that people judged.

    What a judge did not say is null in `judged`, and never 0. Raises as `runs.judging` does.
    """
    judge = config.judge
    if judge is None:
        return Verdicts(answers, None, {})
    rows = answers.to_pylist()
    by_query = {(name, one.id): one for name, members in examples.queries.items() for one in members}
    asked = [row for row in rows if row["answer"] is not None]
    cases = [
        case_of(
            by_query[row["query_set"], row["query_id"]],
            row["answer"],
            name=f"{row['query_id']} ({row['model']}, {row['arm']}, seed {row['seed']})",
            column=judge.key_checkpoints,
        )
        for row in asked
    ]
    said = judge_answers(cases, judge, kept, progress=progress)
    for row, verdict in zip(asked, said.verdicts, strict=True):
        row |= {"judged": verdict.right, "judge_said": verdict.reason, "judge_lacks": _lack(verdict)}
    counts = Counts.of(said.verdicts)
    spent = [said.spent]
    told: dict[str, Any] = {
        "judge": said.judge,
        "verdicts": f"{counts.right:,} right and {counts.wrong:,} wrong of {counts.judged:,} answers",
        "without a verdict": f"{counts.refused:,} refused, {counts.unreadable:,} unreadable, "
        f"{counts.failed:,} failed; they are left out, not counted as wrong",
    }
    if config.judge_pairs:
        pairs, cost = _preferences(judge, asked, cases, kept, progress)
        told |= pairs
        spent.append(cost)
    people = None
    if config.judge_labels is not None:
        found = agree_with_people(
            _labelled(config),
            judge,
            kept,
            answer=config.judge_labels.answer,
            label=config.judge_labels.label,
            progress=progress,
        )
        people = _people(found)
        told["agreement with people"] = _agreement(found.agreement)
        spent.append(found.judged.spent)
    told |= _cost(judge, Spent.total(spent))
    return Verdicts(pa.Table.from_pylist(rows, schema=JUDGED), people, told)


def _labelled(config: ValidateConfig) -> Sequence[Example]:
    """The answers that people judged, each with its columns checked; none where no file is named."""
    labels = config.judge_labels
    if labels is None or config.judge is None:
        return ()
    examples = read_file(labels, config).examples
    found = [
        labelled_case(one, answer=labels.answer, label=labels.label, column=config.judge.key_checkpoints)[1]
        for one in examples
    ]
    if all(label is None for label in found):
        raise DataError(
            f"{labels.file}: no answer has a label in {labels.label!r} to hold the judge against."
        )
    return examples


def _people(found: BesidePeople) -> pa.Table:
    rows = [
        {
            "id": case.id,
            "question": case.question,
            "reference": case.golden,
            "answer": case.answer,
            "label": label,
            "judged": verdict.right,
            "judge_said": verdict.reason,
            "judge_lacks": _lack(verdict),
        }
        for case, label, verdict in zip(found.cases, found.labels, found.judged.verdicts, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=PEOPLE)


def _agreement(found: HumanAgreement | None) -> str:
    if found is None:
        return "no answer has both a label and a verdict"
    kappa = "" if found.kappa is None else f", Cohen's kappa {found.kappa:.2f}"
    share = f"{found.share:.1%} of {found.answers:,} answers"
    return (
        f"{share} ({found.low:.1%} to {found.high:.1%}, Wilson){kappa}; "
        f"{found.without_verdict:,} without a verdict"
    )


def _preferences(
    judge: JudgeConfig,
    rows: Sequence[dict[str, Any]],
    cases: Sequence[Case],
    kept: Path,
    progress: Progress,
) -> tuple[dict[str, str], Spent]:
    """Every arm's answers against those of the first arm on the same model and seed, in both orders."""

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in ("model", "seed", "query_set", "query_id"))

    first = {place(row): row["answer"] for row in rows if row["arm"] == rows[0]["arm"]}
    held = [(row, case) for row, case in zip(rows, cases, strict=True) if row["arm"] != rows[0]["arm"]]
    pairings = [
        Pairing(case.id, case.question, first[place(row)], row["answer"], case.golden, case.key_checkpoints)
        for row, case in held
    ]
    said = compare_answers(pairings, judge, kept, progress=progress)
    contests: dict[str, list[Preference]] = {}
    for (row, _), one in zip(held, said.verdicts, strict=True):
        plain, turned = (None if order is None else PREFERRED[order] for order in one.orders)
        row |= {
            "preferred": _lack(one) if one.better is None else PREFERRED[one.better],
            "preferred_said": one.reason,
            "preferred_shown_second": plain,
            "preferred_shown_first": turned,
        }
        contests.setdefault(f"{row['model']}: {row['arm']} on {row['query_set']}", []).append(one)
    told = {}
    for name, preferences in contests.items():
        contest = Contest.of(preferences)
        told[f"{name}, against {rows[0]['arm']}"] = (
            f"{contest.second:,} better, {contest.first:,} worse, {contest.ties:,} ties "
            f"({contest.swayed:,} of them by the order), {contest.without_verdict:,} without a verdict; "
            f"what stood first was preferred {contest.shown_first:,} times, what stood second "
            f"{contest.shown_second:,} times"
        )
    return told, said.spent


def _lack(one: Judgement | Preference) -> str | None:
    """Why there is no verdict, None where there is one."""
    return next((flag for flag in ("refused", "unreadable", "failed") if getattr(one, flag)), None)


def _cost(judge: JudgeConfig, spent: Spent) -> dict[str, str]:
    """What all replies took, those that were there before included: the same after a run that was cut off."""
    used = spent.used
    told = f"{used.replies:,} replies, {used.prompt_tokens:,} tokens in and {used.completion_tokens:,} out"
    if judge.price is not None:
        price = Price(judge.price.prompt, judge.price.completion).of(used)
        told += f", {price:.4g} in the price's money"
    return {"asked": told + (f"; {used.uncounted:,} replies came without a count" if used.uncounted else "")}
