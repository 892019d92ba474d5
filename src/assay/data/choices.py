"""Which of a question's options an answer names. Pure text.

Options are read from the question: "(A) 300", "- (B) 992", "C. 1120", "D: 552" on lines of their own, or
"(A) 300 (B) 992" on one line; of several lists the last. An answer names one by its letter ("(B)", "B.", "B",
"b)", "**B**", "B: 992", "option B", "… so (B)") or by the option's own text.
"""

import re
from collections.abc import Mapping

from assay.data.final_answer import final_answers, first_line, has_cue, readings
from assay.data.normalise import normalised

LABEL = re.compile(
    r"^[ \t]*(?:[-*•][ \t]*)?(?:\(([A-Z])\)|\[([A-Z])\]|([A-Z])[.):])(?=\s)|(?<=\s)\(([A-Z])\)(?=\s)",
    re.MULTILINE,
)
ALONE = re.compile(r"\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])")
LEADING = re.compile(r"(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Z])(?=[).:,]|\s+[-–—]\s)|([a-z])(?=\)))(?!\w)")
NAMED = re.compile(r"\b(?:option|choice|answer)\s+(?:\(([A-Za-z])\)|([A-Z])\b(?!['’]))", re.IGNORECASE)
BRACKETED = re.compile(r"\(([A-Z])\)")
AROUND = " \t*_`\"'.,:;!$"
WIDE = {ord(wide): ord(wide) - 0xFEE0 for wide in "（）：．"}

Options = Mapping[str, str]
"""Texts by letter."""


def options_of(question: str) -> dict[str, str]:
    """The last list of two or more options lettered from A on; empty where there is none."""
    question = question.translate(WIDE)
    labels = [(next(filter(None, found.groups())), found) for found in LABEL.finditer(question)]
    runs: list[list[re.Match[str]]] = []
    for letter, found in labels:
        if letter == "A":
            runs.append([found])
        elif runs and letter == chr(ord("A") + len(runs[-1])):
            runs[-1].append(found)
    lists = [run for run in runs if len(run) > 1]
    if not lists:
        return {}
    ends = [found.start() for found in lists[-1][1:]] + [len(question)]
    texts = [question[found.end() : end].strip() for found, end in zip(lists[-1], ends, strict=True)]
    return {chr(ord("A") + place): text.partition("\n")[0].strip() for place, text in enumerate(texts)}


def chosen(answer: str, options: Options) -> str | None:
    """The letter of the option that `answer` names, None where it names none.

    Looked at are what stands behind its cues, the last first, or, where there is no cue, its last line and
    then its first. Without options any letter in one of the forms is taken.
    """
    places = [*final_answers(answer), *(() if has_cue(answer) else [first_line(answer)])]
    return next(filter(None, (_named(place, options) for place in places)), None)


def is_lettered(words: str) -> bool:
    """Whether this is a letter in brackets and nothing else."""
    return BRACKETED.fullmatch(words.translate(WIDE).strip(AROUND)) is not None


def _named(words: str, options: Options) -> str | None:
    words = words.translate(WIDE).strip()
    bare = words.strip(AROUND)
    letters = [ALONE.fullmatch(bare), LEADING.match(words.lstrip(AROUND)), *NAMED.finditer(words)]
    for found in filter(None, letters):
        letter = str(next(filter(None, found.groups()))).upper()
        if not options or letter in options:
            return letter
    texts = {normalised(text): letter for letter, text in reversed(list(options.items()))}
    by_text = next((texts[text] for text in map(normalised, readings(words)) if text in texts), None)
    bracketed = {letter for letter in BRACKETED.findall(words) if not options or letter in options}
    return by_text or (bracketed.pop() if len(bracketed) == 1 else None)
