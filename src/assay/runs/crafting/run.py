"""A craft from settings to files: read, check, ask, check again, write. The one place where its rooms meet.

Every reply is kept before it is used, so a killed craft goes on where it was, and a rerun asks nothing twice
and writes the same bytes. All references are looked at before any model is asked.
"""

import dataclasses
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import yaml

from assay import __version__
from assay.asking.request import Failure, Reply, Request
from assay.asking.spent import Tally as Used
from assay.crafting.outcome import Rejected
from assay.crafting.reference import Reference
from assay.data.texts import counted
from assay.files import write_text
from assay.fingerprint import digest
from assay.progress import SILENT, Progress
from assay.runs.crafting.asking import answered, price_of
from assay.runs.crafting.config import CraftConfig, places
from assay.runs.crafting.decisions import REVIEW, Decisions
from assay.runs.crafting.needs import Asking, asked_of
from assay.runs.crafting.outputs import (
    CONFIG,
    DROPPED,
    REJECTS,
    REPLIES,
    STUDY,
    NothingMadeError,
    Outputs,
    no_trace,
    outputs,
    problem_lines,
    reject,
    require_ours,
    write_about,
)
from assay.runs.crafting.prepare import Ready, prepare
from assay.runs.crafting.references import take
from assay.runs.crafting.review import Settled, in_order, settle
from assay.runs.crafting.rows import SetExample
from assay.runs.crafting.study import study_command, write_study
from assay.runs.crafting.told import Craft, Tally
from assay.runs.crafting.working import Problem, Result, work
from assay.runs.folder import require_writable


def run_craft(
    config: CraftConfig, out: Path, *, cache: Path | None = None, progress: Progress = SILENT
) -> Craft:
    """Craft what `config` describes into `out`; replies are kept in `cache`, by default in `out`.

    Raises AssayError of the fitting kind for whatever a person can mend; the sets are then as they were.
    """
    require_writable(out)
    require_ours(out)
    ready = prepare(config)
    for note in ready.notes:
        progress.note(note)
    decisions = Decisions(out / REVIEW)
    tally = Tally()
    jobs = _jobs(ready)
    with (
        no_trace(out),
        answered(jobs, config, ready.needs, cache or out / REPLIES, render=ready.survey.render) as results,
        outputs(out, [one.file for one in ready.plan.sets]) as files,
    ):
        for row in ready.survey.rejects:
            files.reject(reject(row, kind="unusable row"))
        settled = Settled(0, [])
        with progress.stage("Crafting", ready.survey.count, "references") as advance:
            for result in results:
                tally.add(result)
                _write(files, result, decisions, settled, alone=ready.plan.kind == "build")
                advance(1)
        for line in in_order(settled.dropped):
            files.reject(line)
        tally.edited, tally.dropped = settled.edited, len(settled.dropped)
        if not any(files.counts.values()):
            raise NothingMadeError(_nothing(tally, out))
    write_text(out / CONFIG, config_text(config))
    if ready.plan.kind != "build":
        write_study(config, ready.plan, out)
    else:
        (out / STUDY).unlink(missing_ok=True)
    write_about(out, about(ready, tally, results.spent.used), files.files)
    return Craft(
        out,
        {one.file: out / f"{one.file}.jsonl" for one in ready.plan.sets},
        dict(files.counts),
        tally,
        results.spent,
        price_of(config),
        None if ready.plan.kind == "build" else study_command(config, out),
    )


def config_text(config: CraftConfig) -> str:
    """YAML of the settings, to craft the same again; defaults are left out."""
    values = config.model_dump(exclude_defaults=True, mode="json")
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def about(ready: Ready, tally: Tally, used: Used) -> dict[str, Any]:
    """What `craft.json` says, but for the files: the same in every run of the same craft.

    `used` counts every reply, those of earlier runs too.
    """
    config, made, price = ready.config, ready.plan, price_of(ready.config)
    asked = {one.step.by for one in ready.needs.asking.values()}
    return {
        "assay": __version__,
        "layout": made.kind,
        "siblings": "rows" if made.rows_are_siblings else "model" if made.similar else "none",
        "strategies": [
            {"name": one.name, "what": one.what, "source": one.source, "digest": digest(repr(one))}
            for one in made.asking
        ],
        "models": {
            by: {"name": place.name, "endpoint": place.endpoint}
            for by, place in places(config).items()
            if by in asked
        },
        "answers": {task or "": check for task, check in ready.known.answers_of.items()},
        "references": {
            "looked at": ready.survey.count,
            "unusable rows": len(ready.survey.rejects),
            "left out": tally.left_out,
            "rejected": tally.rejected,
            "without a reply": tally.unanswered,
            "edited in review": tally.edited,
            "dropped in review": tally.dropped,
        },
        "replies": {
            "used": used.replies,
            "prompt tokens": used.prompt_tokens,
            "completion tokens": used.completion_tokens,
            "without a count": used.uncounted,
            "cost": None if price is None else price.of(used),
        },
        "sets": [dataclasses.asdict(one) for one in made.sets],
    }


def _jobs(ready: Ready) -> Iterator[Generator[Request, Reply | Failure, Result]]:
    """One piece of work a reference, made when it is asked for; none for rows that lack a column."""
    for taken in take(ready.config, rows_are_siblings=ready.plan.rows_are_siblings):
        lacking = asked_of(ready.plan, taken) if ready.config.from_columns is not None else ()
        if lacking:
            yield _set_aside(taken.reference, lacking[0])
        else:
            yield work(taken, ready.plan, ready.known, ready.prompts)


def _set_aside(reference: Reference, lacking: Asking) -> Generator[Request, Reply | Failure, Result]:
    """Work that asks nothing and makes nothing of a row that lacks a column."""
    reason = f"{lacking.first.source} has no column {lacking.missing!r}"
    return Result(reference, {}, (Problem(lacking.strategy, Rejected(lacking.step.name, reason)),))
    yield


def _write(files: Outputs, result: Result, decisions: Decisions, settled: Settled, *, alone: bool) -> None:
    """Write what became of one reference."""
    for line in problem_lines(result):
        files.reject(line)
    made = {
        name: [SetExample(name, result.reference.id, one) for one in examples]
        for name, examples in result.sets.items()
    }
    settle(files, made, decisions, settled, alone=alone)


def _nothing(tally: Tally, out: Path) -> str:
    """Why no example stands in any set."""
    reason, count = tally.reasons.most_common(1)[0] if tally.reasons else (DROPPED, tally.dropped)
    return (
        f"Nothing was made of {counted(tally.references, 'reference')}; the reason of {count:,}: {reason}. "
        f"All are in {out / REJECTS}."
    )
