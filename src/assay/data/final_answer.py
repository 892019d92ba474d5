"""Where a text says its answer, when a rationale may stand before it. Pure text, no tokenizer.

A text is searched for what people and data sets write before an answer:

- `#### 72` (GSM8K), `\\boxed{72}` or `\\fbox{72}` (MATH),
- "the answer is 72", "so the final answer would be: 72", "Answer: 72", "**Answer:** 72", "A: 72" on a line
  of its own, "答案是72",
- a heading "Answer" or "#### Final answer" with the answer on the next line.

What is said last counts. A cue's answer is the rest of its line, or the next line where nothing is left.
Where there is no cue it is the last line. Reasoning up to a `</think>` is left out.
"""

import re
from itertools import accumulate

CUE = re.compile(
    r"""
    \#{4}(?!\#)
    | ^[\s>*_]*A:
    | ^[\s>*_#]*(?:the\s+)?(?:final\s+|correct\s+)?answer[*_]*\s*$
    | \banswers?[*_]*\s*[:=：]
    | (?<!this\s)\banswers?\b[^.,;:\n]{0,60}?\s(?:is|are|equals|(?:would|will|should|must)\s+be)\b(?:\s*:)?
    | 答案\s*(?:是|为|：|:)
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
AROUND = " \t\r\n*_`"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def final_answer(text: str) -> str:
    """What the text says last after a cue, else its last line; without markdown and a last full stop.

    >>> final_answer("48 / 2 = 24, and 48 + 24 = 72. So the answer is 72.")
    '72'
    """
    return final_answers(text)[0]


def final_answers(text: str) -> tuple[str, ...]:
    """What stands behind every cue, the last first; without a cue the last line alone. Never empty."""
    text = spoken(text)
    found = [(cue.end(), _behind(text, cue.end())) for cue in CUE.finditer(text)]
    found += [(box.end(), _inside(text, box.end())) for box in BOX.finditer(text)]
    said = [_trimmed(words) for _, words in sorted(found, reverse=True)]
    return tuple(words for words in said if words) or (_trimmed(_last_line(text)),)


def has_cue(text: str) -> bool:
    """Whether the text says which part of it is the answer."""
    text = spoken(text)
    return CUE.search(text) is not None or BOX.search(text) is not None


def spoken(text: str) -> str:
    """The text behind the last `</think>`."""
    return text.rpartition("</think>")[2]


def first_line(text: str) -> str:
    """The first line that says something: where an answer stands that is explained afterwards."""
    return _trimmed(_first_line(spoken(text)))


def readings(final: str) -> tuple[str, ...]:
    """A final answer, and its beginnings up to the end of a sentence: "Paris" of "Paris. It is old."."""
    stops = [stop.start() for stop in SENTENCE_END.finditer(final)]
    return tuple(dict.fromkeys((final, *(_trimmed(final[:stop]) for stop in stops))))


def _behind(text: str, place: int) -> str:
    """The rest of the line, or the next line that is not empty; a box opened there is for `_inside`."""
    line, _, below = text[place:].partition("\n")
    words = line if line.strip(AROUND + ":：") else _first_line(below)
    return words.strip(AROUND).removeprefix(":").removeprefix("：")


def _inside(text: str, start: int) -> str:
    """Up to the brace that closes the one before `start`, or to the end of the line."""
    depths = accumulate(((c == "{") - (c == "}") for c in text[start:]), initial=1)
    end = next((start + i - 1 for i, depth in enumerate(depths) if depth == 0), None)
    return text[start:].partition("\n")[0] if end is None else text[start:end]


def _trimmed(words: str) -> str:
    words = words.strip(AROUND)
    return words.removesuffix(".").rstrip(AROUND) if not words.endswith("..") else words


def _first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
