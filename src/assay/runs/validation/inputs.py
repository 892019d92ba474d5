"""From the files of a validation to training sets and query sets: read, held against each other, tokenised.

Knows no model beyond its tokenizer and the length it takes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.data.example import Example, Reject
from assay.data.overlap import overlap_notes, trained_on
from assay.data.texts import counted
from assay.errors import DataError
from assay.models.loading import context_length, load_config, load_tokenizer
from assay.runs.config import LossOn, SetConfig
from assay.runs.inputs import Part, read_file, tokenise
from assay.runs.validation.config import ValidateConfig


@dataclass(frozen=True, slots=True)
class Examples:
    """All that the files hold: training sets and query sets by name, rows set aside, and sentences."""

    sets: Mapping[str, tuple[Example, ...]]
    queries: Mapping[str, tuple[Example, ...]]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """The same as tokens of one base model; `tokenizer` made them."""

    sets: Mapping[str, Part]
    queries: Mapping[str, Part]
    tokenizer: Any
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


def read_validation(config: ValidateConfig, needed: Iterable[str]) -> Examples:
    """The sets in `needed` and all query sets.

    Raises DataError for bad rows (unless set aside), and for queries that an arm would be trained on.
    """
    rejects: list[Reject] = []
    notes: list[str] = []

    def read(entry: SetConfig) -> tuple[Example, ...]:
        found = read_file(entry, config)
        rejects.extend(found.rejects)
        notes.extend(found.notes)
        return found.examples

    sets = {name: read(config.sets[name]) for name in needed}
    queries = {name: read(entry) for name, entry in config.queries.items()}
    for name, examples in {**sets, **queries}.items():
        if not examples:
            raise DataError(f"{name}: there is no example in it.")
    queries = _held_out(config, sets, queries, notes)
    return Examples(sets, queries, tuple(rejects), tuple(notes))


def _held_out(
    config: ValidateConfig,
    sets: Mapping[str, tuple[Example, ...]],
    queries: dict[str, tuple[Example, ...]],
    notes: list[str],
) -> dict[str, tuple[Example, ...]]:
    """The queries that no arm is trained on, as `on_trained` says."""
    if config.on_trained == "keep":
        return queries
    everything = [example for examples in sets.values() for example in examples]
    matches = trained_on(everything, queries)
    same = [match for match in matches if match.by == "content"]
    notes.append(
        f"Held {counted(sum(map(len, queries.values())), 'query').replace('querys', 'queries')} against "
        f"{counted(len(everything), 'training example')}: {len(same):,} would be trained on."
    )
    if same and config.on_trained == "error":
        raise DataError(
            f"{same[0].name}: {sum(match.name == same[0].name for match in same)} of its queries would be "
            f"trained on, the first being {same[0].id} ({same[0].trained}). Use others, or leave them out "
            "with --on-trained drop."
        )
    notes += overlap_notes(matches)
    gone = {(match.name, match.id) for match in same}
    kept = {
        name: tuple(one for one in examples if (name, one.id) not in gone)
        for name, examples in queries.items()
    }
    for name, examples in kept.items():
        if not examples:
            raise DataError(f"{name}: every query would be trained on, so nothing is left of it.")
    return kept


def tokenise_validation(config: ValidateConfig, examples: Examples, base_model: str) -> Ready:
    """Tokens of every set for one base model. Raises DataError for a set of which nothing can be used."""
    tokenizer = load_tokenizer([base_model])
    longest = context_length(load_config(base_model))
    rejects: list[Reject] = []
    notes: list[str] = []

    def part(name: str, members: tuple[Example, ...], loss_on: LossOn) -> Part:
        found = tokenise(members, tokenizer, config, loss_on=loss_on, longest=longest)
        kept = {tokens.id for tokens in found.tokens}
        if not kept:
            first = found.rejects[0]
            raise DataError(f"{name}: no example can be used; {first.source}: {first.reason}")
        rejects.extend(found.rejects)
        notes.extend(f"{name}: {note}" for note in found.notes)
        return Part(tuple(one for one in members if one.id in kept), found.tokens)

    sets = {name: part(name, members, config.loss_on) for name, members in examples.sets.items()}
    queries = {name: part(name, members, config.query_loss_on) for name, members in examples.queries.items()}
    for name, one in sets.items():
        if not any(tokens.completion_tokens for tokens in one.tokens):
            raise DataError(f"{name}: none of its examples has a token to learn.")
    return Ready(sets, queries, tokenizer, tuple(rejects), tuple(notes))
