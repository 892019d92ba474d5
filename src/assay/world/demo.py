"""The demo's input: plain files as a person would bring them, so that the demo is a study like any other."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.data.example import Example
from assay.files import write_text
from assay.world.examples import as_row, base_examples, make_examples, query_examples

# The control is "plain"; the last two are bad by construction.
DEMO_PROBES: Mapping[str, str] = {
    "plain": "direct",
    "cot": "cot",
    "clarify": "clarify",
    "evaluation": "evaluation",
    "wrong": "wrong",
    "shuffled": "shuffled",
}


@dataclass(frozen=True, slots=True)
class DemoInputs:
    """Where the demo's JSONL files lie; `probes` maps set names to files, the control included."""

    base: Path
    probes: Mapping[str, Path]
    control: str
    queries: Path


def demo_inputs(folder: Path, seed: int = 0) -> DemoInputs:
    """Write base set, probe sets and query set in the `messages` format.

    There are 12 tasks, with 16 probes of every set and 16 queries each. `seed` draws other problems of
    world 0, whose base model is shipped.
    """
    inputs = DemoInputs(
        base=folder / "base.jsonl",
        probes={name: folder / "probes" / f"{name}.jsonl" for name in DEMO_PROBES},
        control="plain",
        queries=folder / "queries.jsonl",
    )
    write_examples(inputs.base, base_examples(seed=seed))
    for name, path in inputs.probes.items():
        write_examples(path, make_examples(DEMO_PROBES[name], seed=seed))
    write_examples(inputs.queries, query_examples(seed=seed))
    return inputs


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write examples as JSONL rows of `messages`, `id`, `task` and `pair`."""
    write_text(path, "".join(json.dumps(as_row(example), ensure_ascii=False) + "\n" for example in examples))
