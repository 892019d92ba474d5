"""The query sets of influence pruning: which questions fine-tuning turned right, and which it turned wrong.

Humane et al. 2025 (arXiv 2510.06108): C holds the questions that went from wrong to right, with the right
completion as target; I holds those that went from right to wrong, or all that are wrong afterwards, with the
model's own wrong answer as target. Training examples are then scored by their influence on both. Knows
answers, not models.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from assay.data.answers import Answer, Check, CheckChoice, Judged, Picked, judge, pick_check
from assay.data.example import Example, Message
from assay.data.texts import counted
from assay.errors import DataError
from assay.shares import wilson

Incorrect = Literal["right-to-wrong", "all-wrong"]
CorrectTarget = Literal["reference", "own"]
QuerySet = Literal["C", "I"]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Question:
    """An example whose completion is the right answer, its prompt as text, and that answer as text."""

    example: Example
    prompt: str
    reference: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question under both models; `query_set` is where it went, None for neither."""

    question: Question
    check: Check
    before: Answer
    after: Answer
    judged_before: Judged
    judged_after: Judged
    query_set: QuerySet | None

    @property
    def right_before(self) -> bool:
        """An answer that was cut off is wrong."""
        return self.judged_before.right and not self.before.cut_off

    @property
    def right_after(self) -> bool:
        return self.judged_after.right and not self.after.cut_off


@dataclass(frozen=True, slots=True)
class Flips:
    """The query sets C and I as examples, every question's outcome, and sentences for a person.

    The examples keep the question's id and task, and their `pair` is that id.
    """

    correct: tuple[Example, ...]
    incorrect: tuple[Example, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]


def find_flips(
    questions: Sequence[Question],
    before: Sequence[Answer],
    after: Sequence[Answer],
    *,
    check: CheckChoice = "auto",
    incorrect: Incorrect = "right-to-wrong",
    correct_target: CorrectTarget = "reference",
) -> Flips:
    """C and I from the answers of two models; all three sequences are parallel.

    `check` "auto" picks one for each task by its references. The target of C is the reference completion, or
    with "own" what the later model said; that of I is always what the later model said. An answer that was
    cut off is wrong and never a target, and neither is an empty one. Either set may be empty: see `require`.
    Raises DataError without questions.
    """
    if not questions:
        raise DataError("There are no questions, so no query sets can be made from a model's answers.")
    checks = checks_of(questions, check)
    outcomes = []
    for question, first, last in zip(questions, before, after, strict=True):
        how = checks[question.example.task].check
        judged_first, judged_last = (
            judge(one.text, question.reference, how, question.prompt) for one in (first, last)
        )
        outcome = Outcome(question, how, first, last, judged_first, judged_last, None)
        outcomes.append(replace(outcome, query_set=_query_set(outcome, incorrect)))
    own = correct_target == "own"
    c = tuple(_target(one, own) for one in outcomes if one.query_set == "C")
    i = tuple(_target(one, own=True) for one in outcomes if one.query_set == "I")
    return Flips(c, i, tuple(outcomes), tuple(_notes(outcomes, checks, check, incorrect, own)))


def require(flips: Flips, *query_sets: QuerySet) -> None:
    """Raise DataError, saying what to do, where one of these query sets is empty."""
    moves = _moves(flips.outcomes)
    if "C" in query_sets and not flips.correct:
        raise DataError(
            f"None of {counted(len(flips.outcomes), 'question')} went from wrong to right "
            f"({moves[True, True]} stayed right, {moves[False, False]} stayed wrong), so the query set C is "
            "empty; give more questions, or a later checkpoint."
        )
    if "I" in query_sets and not flips.incorrect:
        wrong = [one for one in flips.outcomes if not one.right_after]
        cut = sum(one.after.cut_off for one in wrong)
        mends = ["give more questions", "another checkpoint"]
        mends += ["a higher --max-new-tokens"] if cut else []
        mends += ["--incorrect all-wrong"] if any(map(_is_target, wrong)) else []
        raise DataError(
            f"The query set I is empty: of {counted(len(flips.outcomes), 'question')} {moves[True, False]} "
            f"went from right to wrong and {len(wrong)} are wrong afterwards, {cut} of them because the "
            f"answer was cut off; {', '.join(mends[:-1])} or {mends[-1]}."
        )


def checks_of(questions: Sequence[Question], check: CheckChoice) -> dict[str | None, Picked]:
    """By task, how its answers are compared: as asked for, or by the form of the task's references."""
    by_task: dict[str | None, list[Question]] = {}
    for question in questions:
        by_task.setdefault(question.example.task, []).append(question)
    if check != "auto":
        return dict.fromkeys(by_task, Picked(check, "asked for"))
    return {
        task: pick_check([one.reference for one in members], [one.prompt for one in members])
        for task, members in by_task.items()
    }


def _query_set(outcome: Outcome, incorrect: Incorrect) -> QuerySet | None:
    if outcome.right_after:
        return None if outcome.right_before else "C"
    turned = outcome.right_before or incorrect == "all-wrong"
    return "I" if turned and _is_target(outcome) else None


def _is_target(outcome: Outcome) -> bool:
    """Whether what the later model said is a whole answer, right or wrong."""
    return not outcome.after.cut_off and bool(outcome.after.text.strip())


def _target(outcome: Outcome, own: bool) -> Example:
    """The question with the reference completion, or with what the later model said."""
    example = outcome.question.example
    example = replace(example, pair=example.id)
    if not own:
        return example
    if example.rendering == "tokens":
        start = next(place for place, label in enumerate(example.labels) if label >= 0)
        ids = outcome.after.tokens
        return replace(
            example,
            input_ids=(*example.input_ids[:start], *ids),
            labels=(*[-100] * start, *ids),
            record={},
        )
    turn = _turn(outcome.after.text)
    return replace(example, messages=(*example.messages[:-1], turn), record={})


def _turn(text: str) -> Message:
    """An assistant turn; what stands before `</think>` is its reasoning."""
    reasoning, closing, content = text.partition("</think>")
    if not closing:
        return Message("assistant", text)
    reasoning = reasoning.lstrip().removeprefix("<think>").strip("\n")
    return Message("assistant", content.lstrip("\n"), reasoning=reasoning or None)


def _moves(outcomes: Sequence[Outcome]) -> Counter[tuple[bool, bool]]:
    return Counter((one.right_before, one.right_after) for one in outcomes)


def _notes(
    outcomes: Sequence[Outcome],
    checks: dict[str | None, Picked],
    check: CheckChoice,
    incorrect: Incorrect,
    own: bool,
) -> list[str]:
    moves, total = _moves(outcomes), len(outcomes)
    shares = [
        _share(sum(flags), total)
        for flags in ([one.right_before for one in outcomes], [one.right_after for one in outcomes])
    ]
    sizes = Counter(one.query_set for one in outcomes)
    whose = "the later model's own right answer" if own else "the reference completion"
    which = "went from right to wrong" if incorrect == "right-to-wrong" else "are wrong afterwards"
    return [
        f"Of {counted(total, 'question')}, right before: {shares[0]}; right after: {shares[1]}.",
        f"{moves[False, True]} went from wrong to right, {moves[True, False]} from right to wrong, "
        f"{moves[True, True]} stayed right and {moves[False, False]} stayed wrong.",
        f"C: {counted(sizes['C'], 'question')} that went from wrong to right, with {whose} as target. "
        f"I: {counted(sizes['I'], 'question')} that {which}, with the later model's own answer as target.",
        *_left_out(outcomes, incorrect),
        _how_checked(checks, check),
    ]


def _left_out(outcomes: Sequence[Outcome], incorrect: Incorrect) -> list[str]:
    notes = []
    cut = [sum(one.before.cut_off for one in outcomes), sum(one.after.cut_off for one in outcomes)]
    candidates = [
        one for one in outcomes if not one.right_after and (one.right_before or incorrect == "all-wrong")
    ]
    if any(cut):
        left_out = sum(one.after.cut_off for one in candidates)
        notes.append(
            f"{counted(cut[0], 'answer')} before and {cut[1]} after had not ended at the limit and count as "
            f"wrong; {left_out} of them would be in I and are left out, as they are no whole answers."
        )
    empty = sum(not one.after.cut_off and not one.after.text.strip() for one in candidates)
    if empty:
        notes.append(f"{counted(empty, 'wrong answer')} said nothing and cannot be a target of I.")
    return notes


def _how_checked(checks: dict[str | None, Picked], check: CheckChoice) -> str:
    if check != "auto":
        return f"Answers are compared as {check}, as asked for."
    tasks: dict[Picked, list[str]] = {}
    for task, picked in checks.items():
        tasks.setdefault(picked, []).append("questions without a task" if task is None else task)
    if len(tasks) == 1:
        (picked,) = tasks
        return f"Answers are compared as {picked.check}: {picked.because}."
    each = (f"{picked.check} for {', '.join(names)} ({picked.because})" for picked, names in tasks.items())
    return f"Answers are compared as {'; '.join(each)}."


def _share(successes: int, trials: int) -> str:
    low, high = wilson(successes, trials)
    return f"{successes} ({successes / trials:.1%}, 95% interval {low:.1%} to {high:.1%})"
