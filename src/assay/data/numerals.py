"""Numbers in text as exact fractions. Knows nothing of where in a text its answer stands.

Read are digits with commas or narrow spaces between thousands, decimals, signs, powers of ten (`1.5e3`),
fractions (`3/4`, `1 1/2`, `½`, `\\frac{3}{4}`), and percent; currencies and units around a number are passed
over, and so are digits within words ("m2"). Not read: numbers in words, decimal commas, times of day.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 1000
"""Digits; a longer run of them is not a number but a model that went astray."""

MARKS_BETWEEN = " \t$€£¥₹.,;:()[]-"

DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
NUMBER = re.compile(
    rf"""
    (?<![A-Za-z0-9_.])
    (?P<sign>(?<![A-Za-z0-9_)\]}}])[-+])?
    (?:[$€£¥₹]\s?)?
    (?P<inner>(?<=[$€£¥₹])-)?
    (?:
      (?:(?P<whole>{DIGITS})\s+)?(?P<top>{DIGITS})\s?/\s?(?P<bottom>{DIGITS})(?!\s?/|\.?\d)
      | (?P<decimal>{DIGITS}(?:\.\d+)?|\.\d+)(?:[eE](?P<power>[-+]?\d{{1,3}})(?![A-Za-z0-9]))?
    )
    (?P<percent>\s?%|\s?percent\b)?
    """,
    re.VERBOSE | re.ASCII,
)
FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*([^{}]*)\s*\}\s*\{\s*([^{}]*)\s*\}|(\d)\s*(\d))")
CALCULATOR = re.compile(r"<<[^<>\n]*>>")
MATH_SPACE = re.compile(r"(?<=\d)(?:\\[,!;: ]|\{,\}|[\u00a0\u2009\u202f])(?=\d{3})")
MARKS: dict[int, int | str] = {
    **{ord(wide): ord(wide) - 0xFEE0 for wide in "０１２３４５６７８９．，／％＋－（）：＝"},
    **dict.fromkeys(map(ord, "−–‐‑"), "-"),
    **{ord(one): " " + unicodedata.normalize("NFKC", one).replace("⁄", "/") for one in "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"},
    ord("⁄"): "/",
}


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value, of hundredths where `percent`, and where in the plain text it stands."""

    value: Fraction
    percent: bool
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.value}{'%' if self.percent else ''}"


def same(a: Number, b: Number) -> bool:
    """Exact equality. A percentage equals a bare number as it is written or as its hundredth."""
    if a.percent == b.percent:
        return a.value == b.value
    percentage, bare = (a, b) if a.percent else (b, a)
    return bare.value in (percentage.value, percentage.value / 100)


def numbers(text: str) -> list[Number]:
    """Every number in the text, in order; none for the zero below a fraction's line."""
    text = plain(text)
    found = (_number(match) for match in NUMBER.finditer(text))
    return [number for number in found if number is not None]


def said_number(words: str) -> Number | None:
    """The number that a final answer names: the first, or the first behind its last "=".

    >>> str(said_number("20 - 5 = $15 in 3 days"))
    '15'
    """
    after = numbers(words.rpartition("=")[2])
    found = after or numbers(words)
    return found[0] if found else None


def bare_numbers(words: str) -> int:
    """How many numbers these words are, if they are nothing else but marks around and between, else 0."""
    found = numbers(words)
    text = plain(words)
    edges = [0, *(edge for number in found for edge in (number.start, number.end)), len(text)]
    between = "".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    return 0 if between.strip(MARKS_BETWEEN) else len(found)


def plain(text: str) -> str:
    """The text with marks of other scripts and of LaTeX as ASCII, without GSM8K's `<<48/2=24>>`."""
    text = CALCULATOR.sub("", text).translate(MARKS)
    text = MATH_SPACE.sub("", text)
    text = FRACTION.sub(
        lambda found: " {}/{}".format(*(part.strip() for part in found.groups() if part)), text
    )
    return text.replace("\\$", "$").replace("\\%", "%")


def _number(match: re.Match[str]) -> Number | None:
    if len(match.group()) > LONGEST:
        return None
    part = {name: (text or "").replace(",", "") for name, text in match.groupdict().items()}
    if part["decimal"]:
        value = Fraction(f"0{part['decimal']}e{part['power'] or 0}")
    elif int(part["bottom"]):
        value = int(part["whole"] or 0) + Fraction(int(part["top"]), int(part["bottom"]))
    else:
        return None
    negative = (part["sign"] == "-") != bool(part["inner"])
    return Number(-value if negative else value, bool(part["percent"]), *match.span())
