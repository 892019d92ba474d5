"""A person's look at what was crafted: pairs to decide on, and decisions carried into the files.

A dropped example takes its reference out of every set, so that the sets stay alike; in a build it goes alone.
Knows no screen.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.data.texts import counted
from assay.errors import ConfigError
from assay.runs.crafting.decisions import REVIEW, Decisions, decided
from assay.runs.crafting.layouts import PlannedSet
from assay.runs.crafting.outputs import (
    DROPPED,
    REJECTS,
    Outputs,
    dropped_line,
    outputs,
    planned,
    read_about,
    require_ours,
    write_about,
)
from assay.runs.crafting.rows import SetExample, as_row, read_lines


@dataclass(frozen=True, slots=True)
class Pair:
    """A crafted example, and what it is held beside: the reference or another example that was made of it."""

    crafted: SetExample
    beside: SetExample | None


@dataclass(slots=True)
class Settled:
    """How many examples were edited and references (in a build: examples) dropped, and the lines of those."""

    edited: int
    dropped: list[str]


class Review:
    """What lies in a craft's folder, to be decided on. Raises ResumeError where there is no craft."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = read_about(folder)
        require_ours(folder)
        self.decisions = Decisions(folder / REVIEW)
        self.sets = {
            one.file: tuple(read_lines(folder / f"{one.file}.jsonl", one.file)) for one in planned(self.about)
        }
        if not self.sets:
            raise ConfigError(f"{folder}: its last craft was not finished; run the same command again.")

    def pairs(self) -> list[Pair]:
        """Every example that a strategy wrote, reference by reference."""
        plans = planned(self.about)
        of_reference = by_reference(self.sets)
        return [
            Pair(example, _beside(example, plans, made))
            for made in of_reference.values()
            for one in plans
            if one.strategy is not None
            for example in made.get(one.file, ())
        ]

    def finish(self) -> Settled:
        """Rewrite the files by the decisions, whole."""
        rejected = _lines(self.folder / REJECTS)
        before = [line for line in rejected if json.loads(line).get("kind") == DROPPED]
        settled = Settled(0, before)
        with outputs(self.folder, list(self.sets)) as files:
            for line in rejected:
                if line not in before:
                    files.reject(line)
            for made in by_reference(self.sets).values():
                settle(files, made, self.decisions, settled, alone=self.about["layout"] == "build")
            for line in in_order(settled.dropped):
                files.reject(line)
        references = {
            **self.about["references"],
            "edited in review": settled.edited,
            "dropped in review": len(settled.dropped),
        }
        self.about = {**self.about, "references": references}
        write_about(self.folder, self.about, files.files)
        return settled


def settle(
    files: Outputs,
    made: Mapping[str, Sequence[SetExample]],
    decisions: Decisions,
    settled: Settled,
    *,
    alone: bool,
) -> None:
    """Write one reference's examples as they were decided on; `alone` where one may be dropped alone."""
    dropped = [one for examples in made.values() for one in examples if decided(one, decisions) is None]
    for one in dropped if alone else dropped[:1]:
        rows = {name: as_row(other) for name in made for other in made[name] if not alone or other is one}
        settled.dropped.append(dropped_line(one, rows))
    if dropped and not alone:
        return
    for examples in made.values():
        for one in examples:
            after = decided(one, decisions)
            if after is not None:
                decision = decisions.of(one)
                settled.edited += decision is not None and decision.verdict == "edit"
                files.write(after)


def in_order(lines: Sequence[str]) -> list[str]:
    """Lines of dropped references by file, row and id, whenever they were dropped."""

    def place(line: str) -> tuple[str, int, str, str]:
        row = json.loads(line)
        return row["file"], row["row"], row["id"], row["set"]

    return sorted(lines, key=place)


def by_reference(sets: Mapping[str, Sequence[SetExample]]) -> dict[str, dict[str, list[SetExample]]]:
    """Examples by reference and set, references in the order of their first example."""
    found: dict[str, dict[str, list[SetExample]]] = {}
    for name, examples in sets.items():
        for one in examples:
            found.setdefault(one.reference, {}).setdefault(name, []).append(one)
    return found


def finished_sentence(settled: Settled) -> str:
    return (
        f"{counted(settled.edited, 'example')} edited, {counted(len(settled.dropped), 'reference')} dropped; "
        "the files are written."
    )


def _beside(
    example: SetExample, plans: Sequence[PlannedSet], made: Mapping[str, Sequence[SetExample]]
) -> SetExample | None:
    """The row as it is, else the control, else any other set's example of the same reference."""
    others = [one for one in plans if one.file != example.set and made.get(one.file)]
    ranked = sorted(others, key=lambda one: (one.strategy is not None, one.role != "control"))
    return made[ranked[0].file][0] if ranked else None


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="\n") as handle:
        return list(handle)
