"""All that is read and checked before a craft asks anybody: strategies, references, evaluation text."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from assay.crafting.checks import Knowledge
from assay.crafting.leaks import LeakIndex, leak_index
from assay.crafting.reading import read_strategy
from assay.crafting.reference import reference_of
from assay.data.answers import Picked, pick_check
from assay.data.example import Example
from assay.data.readers import stream_examples
from assay.errors import DataError
from assay.runs.config import DataConfig, Reading, SetConfig
from assay.runs.crafting.config import CraftConfig, places
from assay.runs.crafting.layouts import QUERIES, SIMILAR, Plan, plan
from assay.runs.crafting.needs import Needs
from assay.runs.crafting.references import Survey, look, query_key, survey_sentence, take
from assay.runs.crafting.working import plain
from assay.runs.inputs import reading_options

NAMED = 8
"""Tasks that a sentence lists."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A craft whose settings and references have been read without error; nothing has been asked."""

    config: CraftConfig
    plan: Plan
    survey: Survey
    needs: Needs
    known: Knowledge
    prompts: Collection[str]
    notes: tuple[str, ...]


def prepare(config: CraftConfig, *, dry: bool = False) -> Ready:
    """Read strategies and all references once; raises ConfigError and DataError for whatever is wrong.

    Where it is `dry`, models need not be named; they are taken to be there unless columns stand for them.
    """
    strategies = [read_strategy(name) for name in config.strategies]
    supposed = dry and config.from_columns is None
    made = plan(config, strategies, read_strategy(SIMILAR), models=supposed or bool(places(config)))
    needs = Needs(made)
    asks = made.kind in ("probes", "queries", "whole")
    survey = look(config, rows_are_siblings=made.rows_are_siblings, prompts=asks, watch=needs.see)
    if not supposed:
        needs.require(config, places(config))
    picked = {
        task: pick_check([one.response for one in members], [one.query for one in members])
        for task, members in survey.samples.items()
    }
    notes = (
        *survey.notes,
        survey_sentence(survey, made.rows_are_siblings),
        _comparing(picked),
    )
    known = Knowledge(
        leaks=_leaks(config, made), answers_of={task: one.check for task, one in picked.items()}
    )
    return Ready(config, made, survey, needs, known, _asked(config) or survey.prompts, notes)


def _comparing(picked: Mapping[str | None, Picked]) -> str:
    """How answers are compared, in a sentence: one reason, or the tasks of each way."""
    ways: dict[str, list[str | None]] = {}
    for task, one in picked.items():
        ways.setdefault(one.check, []).append(task)
    if len(picked) == 1:
        (one,) = picked.values()
        return f"Answers are compared as {one.check} ({one.because})."
    told = [f"as {check} in {_listed(tasks)}" for check, tasks in ways.items()]
    return f"Answers are compared {'; '.join(told)}."


def _listed(tasks: Sequence[str | None]) -> str:
    names = [task or "references without a task" for task in tasks]
    return (
        ", ".join(names)
        if len(names) <= NAMED
        else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    )


def _leaks(config: CraftConfig, made: Plan) -> LeakIndex | None:
    """Evaluation text, which nothing written may hold: the user's queries, or references that are queries."""
    if config.queries:
        files = config.queries.values()
        return leak_index(example for entry in files for example in _queries(entry, config))
    if made.kind != "queries":
        return None
    taken = take(config, rows_are_siblings=made.rows_are_siblings)
    return leak_index(plain(one.reference, QUERIES, one.reference.id) for one in taken)


def _asked(config: CraftConfig) -> set[str]:
    """Digests of what the user's queries ask; ready tokens ask nothing that could be compared."""
    keys = set()
    for entry in config.queries.values():
        for example in _queries(entry, config):
            with suppress(DataError):
                keys.add(query_key(reference_of(example)))
    return keys


def _queries(entry: SetConfig, config: CraftConfig) -> Iterator[Example]:
    reading = Reading() if config.from_columns is not None else config.reading
    data = DataConfig(reading=reading, on_bad_rows=config.on_bad_rows)
    found = stream_examples(entry.file, **reading_options(entry, data))
    return (one for one in found if isinstance(one, Example))
