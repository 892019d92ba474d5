"""What is looked at in everything that a model wrote: a table of checks, each a pure function of texts.

A check gives the reason why a text will not do, as a clause, or None. What the text is compared with
(`against`) is one of its options, by default the reference's response. Knows no strategy's steps.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.crafting.copies import likeness, units
from assay.crafting.language import other_script
from assay.crafting.leaks import LeakIndex
from assay.crafting.reference import Reference
from assay.data.answers import Check as AnswerCheck
from assay.data.answers import judge
from assay.data.final_answer import CUE, spoken
from assay.data.normalise import normalised
from assay.data.texts import counted

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What checks need besides the reference.

    `answers` is how answers are compared, and `answers_of` how those of a task are, where that is another
    way; `leaks` holds the evaluation text, and None where there is none.
    """

    answers: AnswerCheck = "normalised"
    leaks: LeakIndex | None = None
    answers_of: Mapping[str | None, AnswerCheck] = field(default_factory=dict)

    def comparing(self, reference: Reference) -> AnswerCheck:
        """How answers to this reference are compared."""
        return self.answers_of.get(reference.task, self.answers)


Function = Callable[[str, Reference, Options, Knowledge], str | None]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One row: `options` gives each option's type, `main` the one that may stand alone (`matches: "^So"`).

    `compares` where the check takes `against`.
    """

    name: str
    what: str
    function: Function
    options: Mapping[str, type | tuple[str, ...]]
    main: str | None = None
    needed: tuple[str, ...] = ()
    compares: bool = True


LONG = 20
"""A response of so many characters may also be repeated word for word at the end, without a cue."""

REFUSALS = re.compile(
    r"""^\W*(?:
      (?:i(?:\s+am|['’]m)\s+(?:\w+\s+)?)?sorry\b[^.!?\n]{0,40}?\b(?:can(?:no|['’])t|unable|not\s+able|won['’]t)
    | i(?:\s+can(?:['’]t|not)|(?:\s+am|['’]m)\s+(?:not\s+able|unable)\s+to|\s+won['’]t)
      \s+(?:assist|help|comply|do\s+that|fulfil|provide|answer)
    | as\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)\b
    | (?:对不起|抱歉|很抱歉|非常抱歉)[，,。\s]*(?:但)?(?:我)?(?:无法|不能|没有办法|没办法)
    | 作为一?个?(?:ai|人工智能|(?:大型?)?语言模型)
    | 我(?:无法|不能)(?:回答|提供|帮助|协助)
    )""",
    re.VERBOSE | re.IGNORECASE,
)


def answer_agrees(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """The text's final answer is that of the response, as `data.answers` compares them.

    A long response may also stand word for word at the end.
    """
    wanted = _against(reference, options)
    judged = judge(text, wanted, known.comparing(reference), reference.query)
    if judged.right or _ends_with(text, wanted):
        return None
    return f"its answer is {_brief(judged.answer)} and not {_brief(judged.reference)}"


def answer_differs(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """The text's final answer is another than that of the response."""
    if answer_agrees(text, reference, options, known) is None:
        return f"its answer is that of the reference, {_brief(_against(reference, options))}"
    return None


def length(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """Characters: at least `min`, at most `max`, at most `ratio` times those of the response."""
    size = len(text.strip())
    if "min" in options and size < options["min"]:
        return f"it has {size} characters, fewer than {options['min']}"
    if "max" in options and size > options["max"]:
        return f"it has {size:,} characters, more than {options['max']:,}"
    if "ratio" in options:
        other = max(1, len(_against(reference, options).strip()))
        if size > options["ratio"] * other:
            return f"it is {size / other:.3g} times as long as the reference's, more than {options['ratio']}"
    return None


def language(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """It is written in the script of the response. This cannot tell English from French."""
    return other_script(text, _against(reference, options))


def not_a_copy(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """Its runs of words are not mostly those of the response: Jaccard index below `most` (0.8)."""
    alike = likeness(text, _against(reference, options))
    if alike == 1.0:
        return "it is a copy of the reference's"
    if alike >= options.get("most", 0.8):
        return f"it is nearly a copy of the reference's ({alike:.0%} of their runs of words are shared)"
    return None


def no_leak(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """It repeats no long run of words of the evaluation text that its reference does not hold itself."""
    if known.leaks is None:
        return None
    return known.leaks.leak(text, (reference.query, reference.response, *reference.columns.values()))


def no_refusal(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """It does not begin by refusing or with "As an AI", unless the response does so too."""
    if REFUSALS.match(text) and not REFUSALS.match(_against(reference, options)):
        return "it refuses"
    return None


def reasons(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """At least `min` (5) words, or characters of scripts without spaces, stand `where`: before the answer
    (`before`, which is the default) or behind it (`after`)."""
    least, where = options.get("min", 5), options.get("where", "before")
    wanted = _against(reference, options)
    words = len(units(_before(text, wanted) if where == "before" else _after(text, wanted)))
    if words < least:
        said = "no reasons" if words == 0 else f"only {counted(words, 'word')}"
        return f"{said} {'before' if where == 'before' else 'behind'} its answer"
    return None


def matches(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """The regular expression `pattern` is found in it; `^` and `$` are the ends of lines."""
    found = re.search(options["pattern"], text, re.MULTILINE)
    return None if found else f"nothing in it matches {options['pattern']}"


def lacks(text: str, reference: Reference, options: Options, known: Knowledge) -> str | None:
    """The regular expression `pattern` is not found in it; `^` and `$` are the ends of lines."""
    found = re.search(options["pattern"], text, re.MULTILINE)
    return f"{_brief(found[0])} in it matches {options['pattern']}" if found else None


CHECKS: Mapping[str, CheckRow] = {
    row.name: row
    for row in (
        CheckRow("answer_agrees", "its final answer is the reference's", answer_agrees, {}),
        CheckRow("answer_differs", "its final answer is not the reference's", answer_differs, {}),
        CheckRow(
            "length",
            "characters: at least `min`, at most `max`, at most `ratio` times the reference's",
            length,
            {"min": int, "max": int, "ratio": float},
            main="max",
        ),
        CheckRow("language", "it is written in the reference's script", language, {}),
        CheckRow(
            "not_a_copy",
            "it shares less than `most` (0.8) of its runs of words with the reference",
            not_a_copy,
            {"most": float},
            main="most",
        ),
        CheckRow(
            "no_leak", "it repeats no long run of words of evaluation text", no_leak, {}, compares=False
        ),
        CheckRow("no_refusal", "it does not begin by refusing, unless the reference does", no_refusal, {}),
        CheckRow(
            "reasons",
            "at least `min` (5) words stand `where`: `before` the answer (default) or `after` it",
            reasons,
            {"min": int, "where": ("before", "after")},
            main="where",
        ),
        CheckRow(
            "matches",
            "the regular expression `pattern` is found in it",
            matches,
            {"pattern": str},
            main="pattern",
            needed=("pattern",),
            compares=False,
        ),
        CheckRow(
            "lacks",
            "the regular expression `pattern` is not found in it",
            lacks,
            {"pattern": str},
            main="pattern",
            needed=("pattern",),
            compares=False,
        ),
    )
}


def _against(reference: Reference, options: Options) -> str:
    return str(options.get("against", reference.response))


def _ends_with(text: str, wanted: str) -> bool:
    ours, theirs = normalised(spoken(text)), normalised(wanted)
    return len(theirs) >= LONG and ours.endswith(theirs)


def _before(text: str, wanted: str) -> str:
    """What stands before the answer: before the last cue, or before the last place where it is said."""
    text = spoken(text).strip()
    cues = [found.start() for found in CUE.finditer(text)]
    if cues:
        return text[: cues[-1]]
    ours, theirs = normalised(text), normalised(wanted)
    if theirs and ours.endswith(theirs):
        return ours[: -len(theirs)]
    return text.rpartition("\n")[0]


def _after(text: str, wanted: str) -> str:
    """What stands behind the answer: behind it where the text begins with it, else behind the first line."""
    text = spoken(text).strip()
    ours, theirs = normalised(text), normalised(wanted)
    if theirs and ours.startswith(theirs):
        return ours[len(theirs) :]
    return text.partition("\n")[2]


def _brief(text: str, most: int = 60) -> str:
    words = " ".join(text.split())
    return f"{words[:most].rstrip()}…" if len(words) > most else words or "nothing"
