"""Whether two texts are written in the same scripts. Pure text.

It tells Latin from Han, Cyrillic or Arabic letters. It cannot tell English from French.
"""

import unicodedata
from collections import Counter
from functools import lru_cache

FEW_LETTERS = 8
"""Texts with fewer letters say nothing: a label, a formula, a number."""

ALIKE = 0.2
"""Least overlap Σ_script min(share in one, share in the other) of two texts in the same script. So
small a share leaves room for names, quotations and code in another."""

SYLLABLES = {"Han", "Kana", "Hangul"}
PER_SYLLABLE = 3
"""A character of these scripts says about as much as so many letters of an alphabet."""

NAMES = {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Kana",
    "KATAKANA": "Kana",
    "KATAKANA-HIRAGANA": "Kana",
}


def other_script(text: str, against: str) -> str | None:
    """The reason, where the two share hardly any script: "it is written in Cyrillic letters, not in Latin".

    Texts with fewer than 8 letters pass.
    """
    ours, theirs = script_shares(text), script_shares(against)
    if ours is None or theirs is None:
        return None
    overlap = sum(min(share, theirs.get(script, 0.0)) for script, share in ours.items())
    if overlap >= ALIKE:
        return None
    return f"it is written in {_most(ours)} letters, not in {_most(theirs)}"


def script_shares(text: str) -> dict[str, float] | None:
    """Share of each script in the letters of a text, syllables weighing 3; None for fewer than 8 letters.

    Han characters beside kana count as kana, since that is Japanese.
    """
    weights: Counter[str] = Counter()
    for character, number in Counter(text).items():
        if character.isalpha():
            script = _script(character)
            weights[script] += number * (PER_SYLLABLE if script in SYLLABLES else 1)
    total = sum(weights.values())
    if total < FEW_LETTERS:
        return None
    if "Han" in weights and weights.get("Kana", 0) >= 0.1 * weights["Han"]:
        weights["Kana"] += weights.pop("Han")
    return {script: weight / total for script, weight in sorted(weights.items())}


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The first word of the letter's Unicode name, which names its script."""
    name = unicodedata.name(letter, "UNKNOWN").removeprefix("FULLWIDTH ").removeprefix("MATHEMATICAL ")
    first = name.split()[0]
    if name.startswith("HALFWIDTH"):
        first = name.split()[1]
    if first in ("BOLD", "ITALIC", "SCRIPT", "FRAKTUR", "DOUBLE-STRUCK", "SANS-SERIF", "MONOSPACE"):
        return "Latin"
    return NAMES.get(first, first.capitalize())


def _most(shares: dict[str, float]) -> str:
    return max(shares, key=lambda script: shares[script])
