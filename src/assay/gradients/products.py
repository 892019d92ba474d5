"""Exact inner products between the gradients of groups of examples, in bounded memory.

Knows nothing of what the groups mean. Gradients of some examples are held while the others stream past them;
if not all of them fit, they are held block after block. Nothing is projected or approximated.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from assay.data.example import Tokens
from assay.gradients.coverage import Coverage
from assay.gradients.engine import Engine
from assay.gradients.held import Request, hold_forms
from assay.gradients.inner import Form, bytes_per_example, form_for
from assay.gradients.meeting import Side, meet
from assay.progress import SILENT, Advance, Progress

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """`dot[a, b]` is ⟨g, g'⟩ for every example of group a and of group b; `sqnorm` is ‖g‖², `loss` in nats.

    Gradients and losses are summed over completion tokens; everything is float64.
    """

    dot: Mapping[Pair, Float[np.ndarray, "a b"]]
    sqnorm: Mapping[str, Float[np.ndarray, "a"]]
    loss: Mapping[str, Float[np.ndarray, "a"]]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Item:
    group: str
    index: int
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Block:
    """Examples whose gradients are held together, and those that stream past them."""

    held: tuple[Item, ...]
    streamed: tuple[Item, ...]


def products(
    model: nn.Module,
    groups: Mapping[str, Sequence[Tokens]],
    wanted: Collection[Pair],
    *,
    token_budget: int = 2048,
    memory_bytes: int | None = None,
    progress: Progress = SILENT,
    label: str = "gradients",
) -> Products:
    """Inner products of the gradients of the parameters of `model` that require gradients.

    `wanted` lists pairs of groups; (a, a) asks for the products within a group. For (a, b) the gradients of b
    are held. `token_budget` bounds rows × longest row of a batch. `memory_bytes` bounds the held gradients
    (default: half of the free memory of the model's device); more blocks cost more passes, never accuracy.

    Results do not depend on how examples fall into batches, beyond rounding.

    Raises NumericsError naming an example whose loss or gradient is not finite; ModelError as `Engine` does.
    """
    with Engine(model) as engine:
        engine.check([tokens for group in groups.values() for tokens in group])
        forms, size = _plan_forms(engine, groups, wanted, token_budget)
        limit = free_memory(engine.device) // 2 if memory_bytes is None else memory_bytes
        blocks = _plan_blocks(groups, wanted, max(1, int(limit / max(1.0, size))))
        result = _Result(groups, wanted)
        work = sum(len(item.tokens) for block in blocks for item in (*block.held, *block.streamed))
        with progress.stage(label, work, "tokens") as advance:
            for block in blocks:
                _run_block(engine, block, forms, token_budget, result, advance)
        return Products(result.dot, result.sqnorm, result.loss, engine.coverage)


def held_bytes(
    engine: Engine, groups: Mapping[str, Sequence[Tokens]], wanted: Collection[Pair], token_budget: int
) -> float:
    """Memory that the gradient of one held example takes, in bytes."""
    return _plan_forms(engine, groups, wanted, token_budget)[1]


def passes(
    groups: Mapping[str, Sequence[Tokens]], wanted: Collection[Pair], per_example: float, memory_bytes: int
) -> float:
    """How many times over the examples' tokens a call of `products` goes with this much memory."""
    blocks = _plan_blocks(groups, wanted, max(1, int(memory_bytes / max(1.0, per_example))))
    seen = sum(len(item.tokens) for block in blocks for item in (*block.held, *block.streamed))
    return seen / max(1, sum(len(tokens) for group in groups.values() for tokens in group))


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        available = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
        if available:
            return int(available[1]) * 1024
    return 4 * 2**30


class _Result:
    """Arrays that fill up as blocks are done."""

    def __init__(self, groups: Mapping[str, Sequence[Tokens]], wanted: Collection[Pair]) -> None:
        sizes = {name: len(group) for name, group in groups.items()}
        self.dot = {(a, b): np.full((sizes[a], sizes[b]), np.nan) for a, b in wanted}
        self.sqnorm = {name: np.full(size, np.nan) for name, size in sizes.items()}
        self.loss = {name: np.full(size, np.nan) for name, size in sizes.items()}

    def put_products(
        self, ours: Sequence[Item], theirs: Sequence[Item], found: Float[np.ndarray, "n m"]
    ) -> None:
        for a, rows in _by_group(ours):
            for b, columns in _by_group(theirs):
                part = found[np.ix_(rows, columns)]
                ours_at = [ours[row].index for row in rows]
                theirs_at = [theirs[column].index for column in columns]
                if (a, b) in self.dot:
                    self.dot[a, b][np.ix_(ours_at, theirs_at)] = part
                if (b, a) in self.dot:
                    self.dot[b, a][np.ix_(theirs_at, ours_at)] = part.T

    def put_each(
        self, items: Sequence[Item], losses: Float[np.ndarray, "n"], norms: Float[np.ndarray, "n"]
    ) -> None:
        for item, loss, norm in zip(items, losses, norms, strict=True):
            self.loss[item.group][item.index] = loss
            self.sqnorm[item.group][item.index] = norm


def _run_block(
    engine: Engine,
    block: Block,
    forms: Mapping[str, Form],
    token_budget: int,
    result: _Result,
    advance: Advance,
) -> None:
    queries, candidates = ([item.tokens for item in items] for items in (block.held, block.streamed))
    held = hold_forms(engine, queries, {"held": Request()}, forms, token_budget, advance)["held"]
    result.put_each(block.held, held.loss, held.sqnorm)
    result.put_products(block.held, block.held, held.gram())
    met = meet(engine, candidates, {"held": Side(held)}, token_budget=token_budget, advance=advance)
    found = met.sides["held"]
    assert found.dot is not None
    result.put_each(block.streamed, met.loss, found.sqnorm)
    result.put_products(block.streamed, block.held, found.dot)


def _plan_forms(
    engine: Engine, groups: Mapping[str, Sequence[Tokens]], wanted: Collection[Pair], token_budget: int
) -> tuple[dict[str, Form], float]:
    """The form of every parameter's gradients, and the bytes that one held example takes."""
    held = [tokens for name in _held_groups(wanted) for tokens in groups[name]]
    everyone = [tokens for group in groups.values() for tokens in group]
    mean = sum(map(len, everyone)) / len(everyone)
    rows = 1 if engine.one_at_a_time else max(1, int(token_budget / mean))
    held_tokens = sum(map(len, held))
    slow = engine.coverage.slow
    forms: dict[str, Form] = {
        name: "dense"
        if name in slow
        else form_for(parameter.shape, len(held), held_tokens, rows, int(rows * mean))
        for name, parameter in engine.trained.items()
    }
    size = sum(
        bytes_per_example(engine.trained[name].shape, form, held_tokens / max(1, len(held)))
        for name, form in forms.items()
    )
    return forms, size


def _held_groups(wanted: Collection[Pair]) -> list[str]:
    return list(dict.fromkeys(b for _, b in wanted))


def _plan_blocks(
    groups: Mapping[str, Sequence[Tokens]], wanted: Collection[Pair], capacity: int
) -> list[Block]:
    """Split the held examples into blocks of at most `capacity`, each met by all later ones that want it."""
    pairs = {*wanted, *((b, a) for a, b in wanted)}
    order = _held_groups(wanted)
    held = [Item(name, i, tokens) for name in order for i, tokens in enumerate(groups[name])]
    others = [
        Item(name, i, tokens)
        for name, group in groups.items()
        if name not in order
        for i, tokens in enumerate(group)
    ]
    blocks = []
    for start in range(0, len(held), capacity):
        mine = held[start : start + capacity]
        present = {item.group for item in mine}
        later = [
            item
            for item in (*held[start + capacity :], *others)
            if any((item.group, group) in pairs for group in present)
        ]
        blocks.append(Block(tuple(mine), tuple(later)))
    return blocks


def _by_group(items: Sequence[Item]) -> list[tuple[str, list[int]]]:
    rows: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        rows.setdefault(item.group, []).append(row)
    return list(rows.items())
