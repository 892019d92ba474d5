"""Texts made alike where they differ in what does not matter for an answer. Pure text.

As SQuAD's evaluation does it (Rajpurkar et al. 2016, arXiv 1606.05250): lower case, no punctuation, no "a",
"an", "the", single spaces. Other than there, what tells mathematics apart stays: decimal points, fraction
bars, a minus before a number or a letter, `+ = < > ^ %`; and LaTeX that only changes the look (`\\left`,
`\\text{}`, `\\dfrac`, `$`, thin spaces) goes.
"""

import re
import unicodedata

from assay.data.texts import folded

LOOKS = (
    (re.compile(r"\\(?:left|right|displaystyle|big|Big)(?![A-Za-z])|\\[!,;: ]|\$"), " "),
    (re.compile(r"\\(?:text|textbf|mathrm|mbox|mathbf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\^\s*\{?\\circ\}?|°"), " "),
)
MINUS = re.compile("[−–‐‑]")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
APOSTROPHES = re.compile("['’`´]")
ARTICLES = re.compile(r"(?<![\w-])(?:a|an|the)(?![\w-])")
AROUND_SIGNS = re.compile(r"\s*([+=<>^/|])\s*")
MATTERS = set("/%#&@")


def normalised(text: str) -> str:
    """The text for comparing. What would vanish wholly ("the", "!") only loses case and white space.

    >>> normalised("The  Eiffel Tower.") == normalised("eiffel tower")
    True
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    plain = text
    for look, instead in LOOKS:
        plain = look.sub(instead, plain)
    plain = APOSTROPHES.sub("", THOUSANDS.sub("", MINUS.sub("-", plain)))
    plain = "".join(c if _stays(plain, i) else " " for i, c in enumerate(plain))
    plain = AROUND_SIGNS.sub(r"\1", folded(ARTICLES.sub(" ", plain)))
    return plain.strip() or folded(text)


def _stays(text: str, i: int) -> bool:
    """Letters, digits, signs; points and commas within a number; a minus before and not behind a word."""
    character = text[i]
    if character.isalnum() or character in MATTERS or not unicodedata.category(character).startswith("P"):
        return True
    before, after = text[i - 1 : i] if i else "", text[i + 1 : i + 2]
    if character in ".,":
        return before.isdigit() and after.isdigit()
    if character == "-":
        return not before.isalnum() and before not in (")", "}") and (after.isalnum() or after == "\\")
    return character == "\\" and after.isalpha()
