"""Query sets from two models' own answers, as a scoring asks for them. Knows no methods."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from assay.data.example import Example, Reject
from assay.data.prompts import Prompt, ends_of, prompts_of
from assay.methods.flips import require
from assay.models.generate import generate, own_ends
from assay.models.session import Session
from assay.progress import SILENT, Progress
from assay.runs.durations import duration_words, size_words
from assay.runs.flips import SHARD, query_sets
from assay.runs.inputs import chat_template_text, read_file
from assay.runs.scores.config import CORRECT, INCORRECT, ScoreConfig

TABLE = "flips.parquet"
TOKEN_BUDGET = 16_384
"""Tokens of questions and answers that are generated side by side."""
TIMED = 8
"""Tokens that some questions are answered with, to see how long it takes."""


@dataclass(frozen=True, slots=True)
class FlippedSets:
    """The sets that are not empty, by name, and sentences about how they came to be."""

    sets: dict[str, list[Example]]
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...]


def flipped_sets(
    config: ScoreConfig, session: Session, folder: Path, progress: Progress = SILENT
) -> FlippedSets:
    """Ask the first and the last checkpoint of the session's trajectory the questions of `config`.

    Answers are kept in `folder`. Raises DataError where no answer makes a query of either set.
    """
    found = [read_file(entry, config) for entry in config.questions]
    questions = [example for one in found for example in one.examples]
    before, after = session.trajectory.checkpoints[0], session.trajectory.checkpoints[-1]
    template = chat_template_text(config.chat_template)
    if not (folder / TABLE).is_file():
        prompts = prompts_of(questions, session.tokenizer, render=config.render, chat_template=template)
        progress.note(_expected(session.at(after), prompts, session.tokenizer, config.max_new_tokens))
    flips = query_sets(
        (session, before),
        (session, after),
        questions,
        folder,
        needed=(),
        check=config.answers,
        incorrect=config.incorrect,
        max_new_tokens=config.max_new_tokens,
        token_budget=TOKEN_BUDGET,
        render=config.render,
        chat_template=template,
        progress=progress,
    )
    sets = {CORRECT: list(flips.correct), INCORRECT: list(flips.incorrect)}
    if not any(sets.values()):
        require(flips, "C", "I")
    notes = [note for one in found for note in one.notes]
    notes.append(f"{before.name} and {after.name} answered {len(questions):,} questions.")
    notes += flips.notes
    notes += [f"No answer makes a query of the set {name!r}." for name, made in sets.items() if not made]
    return FlippedSets(
        {name: made for name, made in sets.items() if made},
        tuple(notes),
        tuple(reject for one in found for reject in one.rejects),
    )


def _expected(model: nn.Module, prompts: Sequence[Prompt], tokenizer: Any, longest: int) -> str:
    """What two models' answers of up to `longest` tokens take, by the first tokens of some of them."""
    ends = sorted({*ends_of(prompts, tokenizer), *own_ends(model)})
    room = max(map(len, prompts)) + longest
    some = sorted(prompts, key=len, reverse=True)[: max(1, min(SHARD, TOKEN_BUDGET // room))]
    began = time.perf_counter()
    generate(model, some, tokenizer, ends=ends, max_new_tokens=min(TIMED, longest), token_budget=TOKEN_BUDGET)
    each = (time.perf_counter() - began) / min(TIMED, longest)
    seconds = 2 * each * longest * math.ceil(len(prompts) / len(some))
    size = _cache_bytes(model, len(some) * room)
    return (
        f"Answers: {len(prompts):,} questions to 2 models, at most {longest} tokens each: at most about "
        f"{duration_words(seconds)}, {size_words(size)} for keys and values, besides model and activations."
    )


def _cache_bytes(model: nn.Module, tokens: int) -> float:
    """Keys and values of so many tokens in all layers."""
    config: Any = model.config
    config = config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    itemsize = next(model.parameters()).element_size()
    return float(2 * itemsize * config.num_hidden_layers * heads * width * tokens)
