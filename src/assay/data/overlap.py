"""Which probes or queries a model was already trained on. Knows no models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from assay.data.example import Example, Source
from assay.data.texts import content_key, counted, prompt_key


@dataclass(frozen=True, slots=True)
class Match:
    """An example of set `name` that occurs in the training data at `trained`.

    `by` is "content" where prompt and completion are equal up to white space, "prompt" where the prompt is.
    """

    name: str
    id: str
    trained: Source
    by: Literal["content", "prompt"]


def trained_on(train: Iterable[Example], others: Mapping[str, Iterable[Example]]) -> tuple[Match, ...]:
    """A match for each example of `others` that was trained on, the closest kind and its first occurrence.

    Examples without a prompt (plain text) match by content alone. Memory grows with `train` by two short
    digests an example.
    """
    contents: dict[str, Source] = {}
    prompts: dict[str, Source] = {}
    for example in train:
        contents.setdefault(content_key(example), example.source)
        prompts.setdefault(prompt_key(example), example.source)
    matches = []
    for name, examples in others.items():
        for example in examples:
            same = contents.get(content_key(example))
            if same is not None:
                matches.append(Match(name, example.id, same, "content"))
                continue
            asked = prompts.get(prompt_key(example)) if has_prompt(example) else None
            if asked is not None:
                matches.append(Match(name, example.id, asked, "prompt"))
    return tuple(matches)


def overlap_notes(matches: Iterable[Match]) -> tuple[str, ...]:
    """A sentence for each set that was trained on."""
    counts: dict[str, dict[str, int]] = {}
    for match in matches:
        kinds = counts.setdefault(match.name, {"content": 0, "prompt": 0})
        kinds[match.by] += 1
    return tuple(
        f"{name}: {counted(kinds['content'], 'example')} trained on, "
        f"and of {kinds['prompt']:,} more the prompt alone."
        for name, kinds in counts.items()
    )


def has_prompt(example: Example) -> bool:
    """False for plain text, of which everything is a completion."""
    if example.rendering == "tokens":
        return bool(example.labels) and example.labels[0] < 0
    return len(example.messages) > 1
