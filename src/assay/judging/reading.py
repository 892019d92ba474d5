"""What a judge's reply says: a verdict with its reason, or that it says none, or that it refuses. Pure text.

A verdict is the last JSON object with the field; where none can be read, the field's name with a value behind
it, the last time that it is said, or a last line with nothing but a value. A 1 somewhere in a sentence is no
verdict, nor is the form of the reply repeated ("1 or 0").
"""

import re
from dataclasses import dataclass
from typing import Generic, TypeVar

from assay.asking.objects import objects
from assay.asking.request import Reply
from assay.data.final_answer import spoken
from assay.judging.judgement import Better

T = TypeVar("T")

RIGHT = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "right", "correct"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "wrong", "incorrect"), False),
}
PLACE: dict[str, Better] = {
    "a": "first",
    "answer a": "first",
    "b": "second",
    "answer b": "second",
    "tie": "tie",
}
"""Where the first answer of a pair is shown first."""

REFUSAL = re.compile(
    r"""^\W*(?:
    (?:i['’]m|i\s+am|we['’]re|we\s+are)\s+(?:very\s+|so\s+|truly\s+)?(?:sorry|unable|not\s+able)
    | sorry\b | (?:i|we|my)\s+apolog
    | (?:i|we)\s+(?:can\s?not|can['’]t|won['’]t|will\s+not|must\s+decline|decline|refuse)\b
    | as\s+an\s+ai\b | unfortunately,?\s+(?:i|we)\b
    | 抱歉 | 很抱歉 | 对不起 | 我无法 | 我不能
    )""",
    re.VERBOSE | re.IGNORECASE,
)
REASON = 500
"""Characters of a reason that are kept."""


@dataclass(frozen=True, slots=True)
class Heard(Generic[T]):
    """What a reply says. `value` is None where it is no verdict, and `reason` then says why not."""

    value: T | None
    reason: str
    refused: bool = False


def verdict_of(reply: Reply) -> Heard[bool]:
    """Whether the reply says 1 or 0."""
    return _heard(reply, "verdict", RIGHT, "[01]")


def comparison_of(reply: Reply) -> Heard[Better]:
    """Which answer the reply prefers, A being the first."""
    return _heard(reply, "better", PLACE, "A|B|[Tt]ie")


def _heard(reply: Reply, field: str, values: dict[str, T], bare: str) -> Heard[T]:
    text = spoken(reply.text).strip()
    if reply.cut_off:
        return Heard(None, "the reply was cut off before it ended")
    if not text:
        return Heard(None, "the reply is empty")
    found = [one for one in objects(text) if one.get(field) is not None]
    if found:
        said = str(found[-1][field]).strip().lower().rstrip(".")
        if said not in values:
            return Heard(None, f"the reply's {field} is {_short(said, 40)!r}")
        return Heard(values[said], _short(str(found[-1].get("reason") or "")))
    behind = _said(text, field, bare)
    if behind is not None:
        return Heard(values[behind.lower()], _short(text))
    if REFUSAL.match(text):
        return Heard(None, _short(text), refused=True)
    return Heard(None, f"the reply holds no {field}: {_short(text, 80)!r}")


def _said(text: str, field: str, bare: str) -> str | None:
    """The value behind the last mention of the field, else one that is alone on the last line.

    Behind the value its sentence must end or pause, so that "1 or 0" and "A clearer one" say nothing.
    """
    marks = r"['\"`*\s]*"
    mentions = list(re.finditer(rf"\b{field}\b{marks}(?:is\b{marks}:?|[:=])", text, re.IGNORECASE))
    if mentions:
        pause = rf"$|[\n;!)}}\]]|\.(?!\d)|[,—–-](?!\s*['\"]?(?:{bare})\b)|\(|because\b"
        behind = re.compile(rf"{marks}(?:answer\s+)?({bare})(?=['\"`* \t]*(?:{pause}))")
        value = behind.match(text, mentions[-1].end())
        if value:
            return value[1]
    last = re.fullmatch(rf"[\s\"'`*_(]*({bare})[\s\"'`*_).!]*", text.splitlines()[-1])
    return last[1] if last else None


def _short(text: str, most: int = REASON) -> str:
    """One line without half characters, which no file can hold."""
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
