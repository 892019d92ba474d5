"""What a craft would ask, and about what that would take, without asking anything.

A value that a model is yet to write stands in a prompt as ⟨its name⟩. Tokens are characters / 4: a guess that
is fair for English, and too low for Chinese or code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from assay.asking.request import By, Turn
from assay.crafting.reference import Reference
from assay.crafting.strategy import Ask, Let, Strategy
from assay.crafting.templates import Columns, FillingError, filled
from assay.data.texts import counted
from assay.runs.crafting.needs import is_given, written_from
from assay.runs.crafting.prepare import Ready
from assay.runs.crafting.references import Taken

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """The first prompt of a step; `problem` says why it cannot be shown."""

    strategy: str
    step: str
    by: By
    turns: tuple[Turn, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    """`calls` with one attempt each and `most_calls` with all; tokens are guessed for one attempt each.

    `most_reply_tokens` is what all replies have room for, `most_cost` what that would cost.
    """

    references: int
    prompts: tuple[Shown, ...]
    calls: int
    most_calls: int
    prompt_tokens: int
    most_reply_tokens: int
    most_cost: float | None


def dry_run(ready: Ready) -> DryRun:
    """Prompts of the first reference that each step asks for, and an estimate over all."""
    prompts: list[Shown] = []
    calls = most_calls = prompt_tokens = reply_tokens = 0
    for (strategy_name, step_name), asking in ready.needs.asking.items():
        times = ready.needs.calls[strategy_name, step_name]
        strategy = next(one for one in ready.plan.asking if one.name == strategy_name)
        prompts.append(_shown(strategy, asking.step, _start(ready, strategy, asking.first), asking.first))
        sampled = [
            _shown(strategy, asking.step, _start(ready, strategy, one), one)
            for one in chain.from_iterable(ready.survey.samples.values())
        ]
        characters = [len(turn.content) for one in sampled for turn in one.turns]
        calls += times
        most_calls += times * asking.step.attempts
        prompt_tokens += round(times * sum(characters) / len(sampled) / CHARACTERS_PER_TOKEN)
        reply_tokens += times * asking.step.max_tokens
    price = ready.config.price
    cost = None if price is None else (prompt_tokens * price.prompt + reply_tokens * price.completion) / 1e6
    return DryRun(ready.survey.count, tuple(prompts), calls, most_calls, prompt_tokens, reply_tokens, cost)


def dry_run_told(found: DryRun) -> Iterator[str]:
    """The estimate in words, a line each."""
    if not found.calls:
        yield f"No model would be asked: the rows hold everything ({counted(found.references, 'reference')})."
        return
    yield (
        f"{counted(found.references, 'reference')}: {counted(found.calls, 'call')} if every reply is taken "
        f"at once, at most {found.most_calls:,}."
    )
    yield (
        f"About {found.prompt_tokens:,} tokens of prompts (characters / {CHARACTERS_PER_TOKEN}), and room "
        f"for {found.most_reply_tokens:,} of replies; replies are mostly far shorter."
    )
    if found.most_cost is not None:
        yield f"At your prices at most {found.most_cost:,.2f} if every reply is taken at once."
    else:
        yield "Give --price IN,OUT (per million tokens) for an estimate of the cost."


def _start(ready: Ready, strategy: Strategy, reference: Reference) -> Reference | None:
    """What a strategy starts from; None for a sibling that is yet to be written."""
    taken = Taken(reference, reference if ready.plan.rows_are_siblings else None)
    return next(start for one, start in written_from(ready.plan, taken) if one is strategy)


def _shown(strategy: Strategy, asked: Ask, start: Reference | None, reference: Reference) -> Shown:
    names = _names(start, reference)
    try:
        for step in strategy.steps:
            if step is asked:
                break
            names[step.name] = _value(step, start, names)
        turns = tuple(Turn(turn.role, filled(turn.text, names)) for turn in asked.turns)
    except FillingError as error:
        return Shown(strategy.name, asked.name, asked.by, (), str(error))
    return Shown(strategy.name, asked.name, asked.by, turns)


def _names(start: Reference | None, reference: Reference) -> dict[str, Any]:
    if start is None:
        told = {"query": "⟨the sibling's query⟩", "response": "⟨the sibling's response⟩", "earlier": ""}
    else:
        told = {"query": start.query, "response": start.response, "earlier": start.earlier}
    cells: Mapping[str, str] = {} if start is None else start.columns
    return {
        **cells,
        **told,
        "task": reference.task or "",
        "id": reference.id,
        "columns": Columns(cells),
        "agrees": lambda answer, other: True,
    }


def _value(step: Let | Ask, start: Reference | None, names: Mapping[str, Any]) -> Any:
    """What a step's value looks like before any model has written it."""
    if isinstance(step, Let):
        return filled(step.text if step.text is not None else step.choose[0], names)
    if step.given is not None and step.given.text is not None and is_given(step, start):
        return filled(step.given.text, names)
    if step.read == "json":
        return {name: f"⟨{step.name}.{name}⟩" for name in step.names}
    return step.names[0] if step.read == "label" else f"⟨{step.name}⟩"
