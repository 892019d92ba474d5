"""From the files of a study to labelled, tokenised sets, and everything a person should know of them.

Knows no model beyond its tokenizer and the length it takes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from assay.data.columns import ColumnMapping
from assay.data.example import Example, Reject, Tokens
from assay.data.labels import require_tasks, with_tasks
from assay.data.overlap import has_prompt, overlap_notes, trained_on
from assay.data.readers import ExampleSet as Read
from assay.data.readers import read_examples
from assay.data.render import TokenizedSet, tokenize_all
from assay.data.texts import completion_text, content_key, counted, prompt_key, prompt_text
from assay.errors import ConfigError, DataError
from assay.runs.config import DataConfig, LossOn, Reading, SetConfig, StudyConfig
from assay.studies.measurements import ExampleSet


@dataclass(frozen=True, slots=True)
class Part:
    """One probe set or query set, ready to measure; examples and tokens are parallel."""

    examples: tuple[Example, ...]
    tokens: tuple[Tokens, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All sets of a study, rejected rows, and sentences about what was read and left out."""

    probes: Mapping[str, Part]
    queries: Mapping[str, Part]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


def read_sets(config: StudyConfig) -> tuple[dict[str, dict[str, list[Example]]], list[Reject], list[str]]:
    """Examples by role ("probe", "query") and set name, labelled with tasks; rejects; notes.

    Raises DataError for bad rows (unless set aside), missing labels, and examples that were trained on.
    """
    roles = {"probe": config.probe_sets, "query": config.queries}
    sets: dict[str, dict[str, list[Example]]] = {role: {} for role in roles}
    rejects: list[Reject] = []
    notes: list[str] = []
    for role, entries in roles.items():
        for name, entry in entries.items():
            found = read_file(entry, config)
            sets[role][name] = list(found.examples)
            rejects += found.rejects
            notes += found.notes
    _label(sets, config, notes)
    rejects += _leave_out_trained(sets, config, notes)
    if config.limit:
        for entries_of in sets.values():
            for name, examples in entries_of.items():
                entries_of[name] = _first_of_each_task(examples, config.limit)
    return sets, rejects, notes


def tokenise_sets(
    config: StudyConfig,
    sets: dict[str, dict[str, list[Example]]],
    tokenizer: Any,
    longest: int | None,
) -> Inputs:
    """Tokens of every set; `longest` is how many tokens the model takes, None if unknown."""
    rejects: list[Reject] = []
    notes: list[str] = []
    parts: dict[str, dict[str, Part]] = {"probe": {}, "query": {}}
    for role, entries in sets.items():
        for name, examples in entries.items():
            loss_on = config.loss_on if role == "probe" else config.query_loss_on
            tokenised = tokenise(examples, tokenizer, config, loss_on=loss_on, longest=longest)
            kept = {tokens.id for tokens in tokenised.tokens}
            if not kept:
                first = tokenised.rejects[0]
                raise DataError(f"{name}: no example can be used; {first.source}: {first.reason}")
            rejects += tokenised.rejects
            notes += [f"{name}: {note}" for note in tokenised.notes]
            parts[role][name] = Part(
                tuple(example for example in examples if example.id in kept), tokenised.tokens
            )
    return Inputs(parts["probe"], parts["query"], tuple(rejects), tuple(notes))


def tokenise(
    examples: Iterable[Example],
    tokenizer: Any,
    config: DataConfig,
    *,
    loss_on: LossOn | None = None,
    longest: int | None = None,
) -> TokenizedSet:
    """Tokens of examples as `config` says; `longest` is how many tokens the model takes, None if unknown."""
    return tokenize_all(examples, tokenizer, **rendering_options(config, loss_on=loss_on, longest=longest))


def rendering_options(
    config: DataConfig, *, loss_on: LossOn | None = None, longest: int | None = None
) -> dict[str, Any]:
    """What `tokenize_all` is asked for. Raises ConfigError for a chat template that cannot be read."""
    return {
        "loss_on": loss_on or config.loss_on,
        "max_length": config.max_length,
        "context": longest,
        "truncation": config.truncation,
        "render": config.render,
        "chat_template": chat_template_text(config.chat_template),
        "on_bad_rows": config.on_bad_rows,
    }


def chat_template_text(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"--chat-template: there is no file {file}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--chat-template: {file} cannot be read: {error}.") from None


def measured_sets(inputs: Inputs, config: StudyConfig) -> tuple[dict[str, ExampleSet], dict[str, ExampleSet]]:
    """The sets as the study knows them: ids, labels, lengths and texts."""
    return (
        {name: _as_measured(name, part, False) for name, part in inputs.probes.items()},
        {name: _as_measured(name, part, name in config.undesired) for name, part in inputs.queries.items()},
    )


def excluded_pairs(inputs: Inputs) -> dict[tuple[str, str], Bool[np.ndarray, "p q"]]:
    """Probe-query pairs that say nothing: the query is the probe's own reference, or equal in content.

    A query is a probe's own reference where both carry the same `pair`, or the `pair` of one is the id of the
    other.
    """
    excluded = {}
    for probe_set, probes in inputs.probes.items():
        probe_contents = [content_key(example) for example in probes.examples]
        for query_set, queries in inputs.queries.items():
            query_contents = [content_key(example) for example in queries.examples]
            mask = np.asarray(probe_contents)[:, None] == np.asarray(query_contents)[None, :]
            ours, theirs = (
                {"pair": [one.pair or none for one in part.examples], "id": [one.id for one in part.examples]}
                for part, none in ((probes, "\0probe"), (queries, "\0query"))
            )
            for left, right in (("pair", "pair"), ("pair", "id"), ("id", "pair")):
                mask |= np.asarray(ours[left])[:, None] == np.asarray(theirs[right])[None, :]
            excluded[probe_set, query_set] = mask
    return excluded


def same_prompt_notes(
    inputs: Inputs, excluded: Mapping[tuple[str, str], Bool[np.ndarray, "p q"]]
) -> Iterator[str]:
    """A sentence for each probe set that asks what a query set asks, where no `pair` says so."""
    for probe_set, probes in inputs.probes.items():
        asked = np.asarray([prompt_key(one) if has_prompt(one) else "" for one in probes.examples])
        for query_set, queries in inputs.queries.items():
            asking = np.asarray([prompt_key(one) for one in queries.examples])
            same = (asked[:, None] == asking[None, :]) & ~excluded[probe_set, query_set]
            if count := int(same.any(axis=1).sum()):
                yield (
                    f"{probe_set}: {counted(count, 'probe')} with the prompt of a query of {query_set} and "
                    "another completion; give both the same `pair` to leave such pairs out."
                )


def read_file(entry: SetConfig, config: DataConfig, *, limit: int | None = None) -> Read:
    """Examples, rejects and notes of one file; `limit` stops after that many examples."""
    return read_examples(entry.file, **reading_options(entry, config), limit=limit)


def reading_options(entry: SetConfig, config: DataConfig) -> dict[str, Any]:
    """What `read_examples` is asked for, besides a limit."""
    reading = entry.reading or config.reading
    return {
        "format": reading.format,
        "columns": columns_of(reading),
        "task": entry.task,
        "task_column": reading.task_column,
        "pair_column": reading.pair_column,
        "id_column": reading.id_column,
        "on_bad_rows": config.on_bad_rows,
        "response": reading.response,
    }


def columns_of(reading: Reading) -> ColumnMapping | None:
    """The mapping of columns that was asked for, None where none was."""
    if not any((reading.columns, reading.prompt, reading.completion)):
        return None
    return ColumnMapping.parse(
        reading.columns, prompt=reading.prompt, completion=reading.completion, unescape=reading.unescape
    )


def _label(sets: dict[str, dict[str, list[Example]]], config: StudyConfig, notes: list[str]) -> None:
    """Give tasks to all sets together, so that a label means the same everywhere."""
    places = [(role, name) for role, entries in sets.items() for name in entries]
    if config.tasks:
        everyone = [example for role, name in places for example in sets[role][name]]
        labelled = iter(with_tasks(everyone, config.tasks))
        for role, name in places:
            sets[role][name] = [next(labelled) for _ in sets[role][name]]
        counts = Counter(example.task for role, name in places for example in sets[role][name])
        notes.append(
            f"Tasks by {config.tasks}: "
            + ", ".join(
                f"{'no task' if task is None else task} ({count})"
                for task, count in sorted(counts.items(), key=str)
            )
            + "."
        )
    if not any(example.task for role, name in places for example in sets[role][name]):
        notes.append(
            "No task labels: every file is one task, so there is no cross-task context and intervals speak "
            "of these examples alone. Add a task column, or let --tasks cluster:K propose labels."
        )
        return
    for role, name in places:
        require_tasks(sets[role][name], name)
    asked = {example.task for name in sets["query"] for example in sets["query"][name]}
    for name, examples in sets["probe"].items():
        unasked = sorted({example.task or "" for example in examples} - {task or "" for task in asked})
        if unasked:
            notes.append(
                f"{name}: no query has the task {', '.join(unasked)}; its probes count across tasks only."
            )


def _leave_out_trained(
    sets: dict[str, dict[str, list[Example]]], config: StudyConfig, notes: list[str]
) -> tuple[Reject, ...]:
    """Hold probes and queries against the training data; its rejects, which could not be compared."""
    if not config.train_data or config.on_trained == "keep":
        return ()
    found = [read_file(entry, config) for entry in config.train_data]
    trained = [example for one in found for example in one.examples]
    notes += [note for one in found for note in one.notes]
    others = {
        f"{role} set {name}": examples for role, names in sets.items() for name, examples in names.items()
    }
    matches = trained_on(trained, others)
    notes.append(
        f"Held {sum(map(len, others.values())):,} probes and queries against "
        f"{counted(len(trained), 'training example')}: "
        f"{sum(match.by == 'content' for match in matches):,} were trained on."
    )
    contents = [match for match in matches if match.by == "content"]
    if contents and config.on_trained == "error":
        first = contents[0]
        raise DataError(
            f"{first.name}: {sum(match.name == first.name for match in contents)} of its examples were "
            f"trained on, the first being {first.id} ({first.trained}). Use others, or leave them out with "
            "--on-trained drop."
        )
    dropped = {(match.name, match.id) for match in contents}
    for role, names in sets.items():
        for name, examples in names.items():
            names[name] = [e for e in examples if (f"{role} set {name}", e.id) not in dropped]
            if not names[name]:
                raise DataError(f"{role} set {name}: every example was trained on, so nothing is left of it.")
    notes += overlap_notes(matches)
    return tuple(reject for one in found for reject in one.rejects)


def _first_of_each_task(examples: Iterable[Example], limit: int) -> list[Example]:
    seen: Counter[str | None] = Counter()
    kept = []
    for example in examples:
        seen[example.task] += 1
        if seen[example.task] <= limit:
            kept.append(example)
    return kept


def _as_measured(name: str, part: Part, undesired: bool) -> ExampleSet:
    return ExampleSet(
        name=name,
        ids=tuple(example.id for example in part.examples),
        tasks=tuple(example.task for example in part.examples),
        pairs=tuple(example.pair for example in part.examples),
        tokens=np.asarray([tokens.completion_tokens for tokens in part.tokens], dtype=np.int64),
        texts=tuple((prompt_text(example), completion_text(example)) for example in part.examples),
        direction="undesired" if undesired else "desired",
    )


def part_digest_fields(part: Part) -> list[bytes]:
    """What of a set decides its measurements: ids, weights and labels, in order."""
    fields = []
    for example, tokens in zip(part.examples, part.tokens, strict=True):
        labels = f"{example.id}\0{example.task}\0{example.pair}".encode()
        fields += [
            labels,
            tokens.input_ids.astype(np.int64).tobytes(),
            tokens.weights.astype(np.float32).tobytes(),
        ]
    return fields
