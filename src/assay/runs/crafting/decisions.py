"""What a person decided in a review, one line a decision, kept under the words that were decided on.

A craft into the same folder applies them again, so a rerun keeps them. Where words were edited, a decision on
the new words replaces the one on the old.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.errors import DataError
from assay.runs.crafting.rows import SetExample, json_line, reworded

REVIEW = "review.jsonl"

Verdict = Literal["accept", "edit", "drop"]


@dataclass(frozen=True, slots=True)
class Decision:
    """`prompt` and `completion` are the new words of an edit."""

    verdict: Verdict
    prompt: str | None = None
    completion: str | None = None


class Decisions:
    """Decisions by the key of the example as it was crafted. The last one counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_key: dict[str, Decision] = {}
        self._crafted: dict[str, str] = {}
        for number, text in enumerate(_lines(path), start=1):
            self._read(text, number)

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, one: SetExample) -> Decision | None:
        """What was decided on an example, be it as it was crafted or as it was edited."""
        return self._by_key.get(self._crafted.get(one.key, one.key))

    def add(self, one: SetExample, decision: Decision) -> None:
        """Keep a decision, on disk before this returns."""
        key = self._crafted.get(one.key, one.key)
        row = {"key": key, "set": one.set, "id": one.example.id, "decision": decision.verdict}
        if decision.verdict == "edit":
            assert decision.prompt is not None
            assert decision.completion is not None
            after = reworded(one, decision.prompt, decision.completion).key
            row |= {"prompt": decision.prompt, "completion": decision.completion, "becomes": after}
            self._crafted[after] = key
        self._by_key[key] = decision
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(json_line(row))
            handle.flush()
            os.fsync(handle.fileno())

    def _read(self, text: str, number: int) -> None:
        try:
            row = json.loads(text)
            decision = Decision(row["decision"], row.get("prompt"), row.get("completion"))
            if decision.verdict == "edit":
                self._crafted[row["becomes"]] = row["key"]
            self._by_key[row["key"]] = decision
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path}, row {number}: this is no decision of a review.") from error


def decided(one: SetExample, decisions: Decisions) -> SetExample | None:
    """An example as it was decided on; None where it was dropped."""
    decision = decisions.of(one)
    if decision is None or decision.verdict == "accept":
        return one
    if decision.verdict == "drop":
        return None
    assert decision.prompt is not None
    assert decision.completion is not None
    return reworded(one, decision.prompt, decision.completion)


def _lines(path: Path) -> list[str]:
    """Whole lines; one that a kill cut off at the end is none."""
    try:
        *whole, rest = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    if rest:
        path.write_text("".join(f"{text}\n" for text in whole), encoding="utf-8")
    return [text for text in whole if text.strip()]
