"""The files of a craft, written beside and renamed together at the end: whole, or as they were before.

`craft.json` says what was done, without keys and without anything that differs from run to run. What was
written into the same folder before is replaced, unless somebody has changed it since.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from assay.data.example import Example, Reject
from assay.data.rejects import reject_line
from assay.errors import DataError, ResumeError
from assay.files import read_json, whole, write_json
from assay.runs.crafting.decisions import REVIEW
from assay.runs.crafting.layouts import PlannedSet
from assay.runs.crafting.rows import SetExample, as_line, json_line
from assay.runs.crafting.working import Result

ABOUT, REJECTS, STUDY, CONFIG, REPLIES = (
    "craft.json",
    "rejects.jsonl",
    "study.yaml",
    "config.yaml",
    "replies.sqlite",
)
OURS = (
    ABOUT,
    REJECTS,
    STUDY,
    CONFIG,
    REPLIES,
    f"{REPLIES}-journal",
    f"{REPLIES}-wal",
    f"{REPLIES}-shm",
    REVIEW,
)

DROPPED, BECOMING = "dropped in review", "becoming"


class Outputs:
    """Open files of a craft: the sets line by line, and what was set aside."""

    def __init__(self, sets: Mapping[str, IO[str]], rejects: IO[str]) -> None:
        self._sets, self._rejects = sets, rejects
        self.counts = dict.fromkeys(sets, 0)
        self.rejected = 0
        self.files: dict[str, dict[str, Any]] = {}

    def write(self, one: SetExample) -> None:
        self._sets[one.set].write(as_line(one))
        self.counts[one.set] += 1

    def reject(self, line: str) -> None:
        self._rejects.write(line)
        self.rejected += 1


class NothingMadeError(DataError):
    """No example stands in any set; only what was set aside is written."""


@contextmanager
def outputs(folder: Path, names: Sequence[str]) -> Iterator[Outputs]:
    """Files to fill; behind the block all are in place, and after an error none has changed."""
    nothing: NothingMadeError | None = None
    _clear(folder, names)
    with whole(folder / REJECTS) as rejects, ExitStack() as opened:
        aside = opened.enter_context(_text(rejects))
        try:
            with ExitStack() as renamed:
                paths = [renamed.enter_context(whole(folder / f"{name}.jsonl")) for name in names]
                with ExitStack() as handles:
                    sets = [handles.enter_context(_text(path)) for path in paths]
                    made = Outputs(dict(zip(names, sets, strict=True)), aside)
                    yield made
                for name, path in zip(names, paths, strict=True):
                    made.files[f"{name}.jsonl"] = {"examples": made.counts[name], "sha256": sha256(path)}
                _announce(folder, made.files)
        except NothingMadeError as error:
            nothing = error
    if nothing is not None:
        raise nothing
    if not made.rejected:
        (folder / REJECTS).unlink()


def _clear(folder: Path, names: Sequence[str]) -> None:
    """Take away what a killed craft had begun to write."""
    for name in (*names, Path(REJECTS).stem):
        for left in folder.glob(f".{name}.jsonl.*.part"):
            left.unlink(missing_ok=True)


@contextmanager
def no_trace(folder: Path) -> Iterator[None]:
    """After an error, without the folder if it was not there before and holds nothing."""
    new = [one for one in (folder, *folder.absolute().parents) if not one.exists()]
    try:
        yield
    except BaseException:
        for one in new:
            if one.is_dir() and not any(one.iterdir()):
                one.rmdir()
        raise


def _text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def require_ours(folder: Path) -> None:
    """Raise ResumeError for a folder that holds anything but a craft, or one that was changed by hand."""
    if not folder.is_dir():
        return
    if not (folder / ABOUT).is_file():
        if others := sorted(one.name for one in folder.iterdir() if one.name not in OURS and not _left(one)):
            raise ResumeError(f"{folder} holds {others[0]} and no craft to go on with; give another --out.")
        return
    about = read_about(folder)
    for name in about["files"]:
        path = folder / name
        known = [about[key][name]["sha256"] for key in ("files", BECOMING) if name in about.get(key, {})]
        if path.is_file() and sha256(path) not in known:
            raise ResumeError(
                f"{path} was changed since it was crafted; move it away (edits belong into --review), or "
                "give another --out."
            )


def read_about(folder: Path) -> dict[str, Any]:
    """`craft.json`; raises ResumeError where it cannot be read."""
    try:
        about: dict[str, Any] = read_json(folder / ABOUT)
        if not isinstance(about["files"], dict) or not isinstance(about["sets"], list):
            raise TypeError
    except FileNotFoundError:
        raise ResumeError(f"{folder} holds no craft ({ABOUT} is missing); craft into it first.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResumeError(f"{folder / ABOUT} cannot be read; give another --out.") from error
    return about


def write_about(folder: Path, about: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Write `craft.json` with the digests of the sets, and take away sets that this craft does not have."""
    before = read_about(folder)["files"] if (folder / ABOUT).is_file() else {}
    write_json(folder / ABOUT, {**about, "files": files})
    for name in before.keys() - files.keys():
        (folder / Path(name).name).unlink(missing_ok=True)


def _announce(folder: Path, files: Mapping[str, Any]) -> None:
    """Say what the files are about to be, so that a kill among the renamings looks like nobody's change."""
    before = read_about(folder) if (folder / ABOUT).is_file() else {"sets": [], "files": {}}
    write_json(folder / ABOUT, {**before, BECOMING: files})


def planned(about: Mapping[str, Any]) -> list[PlannedSet]:
    """The sets that `craft.json` speaks of."""
    return [PlannedSet(**one) for one in about["sets"]]


def sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def problem_lines(result: Result) -> Iterator[str]:
    """A line for every strategy that made nothing of a reference."""
    reference = result.reference
    example = Example(id=reference.id, messages=(), source=reference.source)
    for problem in result.problems:
        outcome = problem.outcome
        said = {
            "kind": KINDS[type(outcome).__name__],
            "strategy": problem.strategy,
            "step": outcome.step,
            "tried": [{"text": one.text, "reason": one.reason} for one in getattr(outcome, "tried", ())],
        }
        yield reject(Reject(example.source, outcome.reason, reference.record), id=reference.id, **said)


KINDS = {"LeftOut": "left out", "Rejected": "rejected", "Failed": "no reply"}


def dropped_line(one: SetExample, record: Mapping[str, Any]) -> str:
    """A line for a reference that a person dropped by its example `one`; `record` has its examples by set."""
    said = {"kind": DROPPED, "set": one.set}
    return reject(Reject(one.example.source, DROPPED, record), id=one.reference, **said)


def reject(row: Reject, **said: Any) -> str:
    """A line of `rejects.jsonl`: file, row, reason, what else is `said`, and the record."""
    base = json.loads(reject_line(row))
    record = base.pop("record")
    return json_line({**base, **said, "record": record})


def _left(path: Path) -> bool:
    """Whether a file is what a killed run was writing."""
    return path.name.startswith(".") and path.name.endswith(".part")
