"""Is an answer right? Four ways of comparing it with a reference, and picking one for a set. Pure text.

| check | right means |
|---|---|
| exact | the whole texts are equal but for white space around them |
| normalised | the final answers are equal without case, punctuation, articles and white space |
| numeric | the final answers' numbers are exactly equal |
| choice | both name the same option of the question |

Where the final answer stands is for `final_answer`, what is alike for `normalise`, `numerals` and `choices`.
No check ever raises: a reference that cannot be read as a number or an option is compared as normalised text,
and nothing equals an empty one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assay.data.choices import chosen, is_lettered, options_of
from assay.data.example import Example
from assay.data.final_answer import final_answer, final_answers, first_line, has_cue, readings, spoken
from assay.data.normalise import normalised
from assay.data.numerals import Number, bare_numbers, numbers, said_number, same
from assay.data.texts import said

Check = Literal["exact", "normalised", "numeric", "choice"]
CheckChoice = Literal["auto", "exact", "normalised", "numeric", "choice"]

MOST = 0.95
"""Share of the references that must have a form for it to be taken for the form of all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a question.

    `id` is the question's. `text` is without special tokens. `cut_off` where it had not ended when the limit
    was reached. `tokens` are the ids that it wrote, its end of turn with them.
    """

    id: str
    text: str
    cut_off: bool
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether an answer is right, and the two texts that were compared."""

    right: bool
    answer: str
    reference: str


@dataclass(frozen=True, slots=True)
class Picked:
    """A check, and why it was picked, as a clause: "every reference is a number"."""

    check: Check
    because: str


def judge(answer: str, reference: str, check: Check, question: str = "") -> Judged:
    """Compare an answer with the reference completion; `question` is where `choice` finds the options."""
    if check == "exact":
        ours, theirs = answer.strip(), reference.strip()
        return Judged(ours == theirs != "", ours, theirs)
    if check == "numeric":
        by_number = _by_number(answer, reference)
        if by_number is not None:
            return by_number
    if check == "choice":
        options = options_of(question)
        wanted = chosen(reference, options)
        if wanted is not None:
            letter = chosen(answer, options)
            return Judged(letter == wanted, letter or final_answer(answer), wanted)
    return _by_text(answer, reference)


def pick_check(references: Sequence[str], questions: Sequence[str]) -> Picked:
    """The check for a set, by the form of its references: options first, then numbers, else normalised.

    Choice where nearly every reference (95%) names an option that stands in its question or is a letter in
    brackets; numeric where nearly every one is a bare number or ends in `#### 72` or a boxed number.
    """
    pairs = list(zip(references, questions, strict=True))
    optional = [_is_option(reference, question) for reference, question in pairs]
    if _most(optional):
        return Picked("choice", f"{_how_many(optional)} names an option of its question")
    numeric = [bare_numbers(final_answer(reference)) == 1 for reference in references]
    if _most(numeric):
        return Picked("numeric", f"{_how_many(numeric)} is a number")
    return Picked("normalised", "the references are neither numbers nor options of their questions")


def reference_text(example: Example) -> str:
    """What the last turn says, without its reasoning; with it where it says nothing else."""
    last = example.messages[-1]
    return last.content if last.content.strip() else said(last)


def _by_number(answer: str, reference: str) -> Judged | None:
    """None where the reference has no number."""
    wanted, found = _number(reference), _number(answer)
    if wanted is None:
        return None
    if found is None:
        return Judged(False, final_answer(answer), str(wanted))
    return Judged(same(found, wanted), str(found), str(wanted))


def _number(text: str) -> Number | None:
    """What the last cue with a number names, else the last number of the text.

    Several numbers and nothing else ("4 7") are a list and name none.
    """
    for words in final_answers(text):
        if bare_numbers(words) > 1:
            return None
        if has_cue(text) and (number := said_number(words)):
            return number
    return next(reversed(numbers(spoken(text))), None)


def _by_text(answer: str, reference: str) -> Judged:
    """Final answers; whole texts where the reference has several lines and says of none that it answers.

    An answer without a cue may also give it on its first line, and any may go on after its first sentence.
    """
    whole = not has_cue(reference) and "\n" in spoken(reference).strip()
    theirs = spoken(reference).strip() if whole else final_answer(reference)
    wanted = normalised(theirs)
    if whole:
        candidates: tuple[str, ...] = (spoken(answer).strip(),)
    else:
        candidates = readings(final_answer(answer))
        candidates += () if has_cue(answer) else readings(first_line(answer))
    ours = next((one for one in candidates if normalised(one) == wanted), candidates[0])
    return Judged(normalised(ours) == wanted != "", ours, theirs)


def _is_option(reference: str, question: str) -> bool:
    options = options_of(question)
    return is_lettered(final_answer(reference)) if not options else chosen(reference, options) is not None


def _most(flags: Sequence[bool]) -> bool:
    return bool(flags) and sum(flags) >= MOST * len(flags)


def _how_many(flags: Sequence[bool]) -> str:
    return "every reference" if all(flags) else f"nearly every reference ({sum(flags)} of {len(flags)})"
