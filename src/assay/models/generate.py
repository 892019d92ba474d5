"""Answers of a model to prompts, greedy or sampled, many at a time, with a cache of keys and values.

transformers' own `generate` does the work, under a configuration of ours alone: what a model's folder says
of sampling, penalties or lengths plays no part. Knows nothing of what is asked or whether answers are right.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from assay.data.answers import Answer
from assay.data.batches import token_budget_batches
from assay.data.prompts import Prompt, written
from assay.errors import ConfigError, DataError, ModelError, NumericsError
from assay.models.loading import context_length, quiet


def generate(
    model: nn.Module,
    prompts: Sequence[Prompt],
    tokenizer: Any,
    *,
    ends: Sequence[int],
    max_new_tokens: int = 256,
    token_budget: int = 16_384,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
    advance: Callable[[float], None] = lambda amount: None,
) -> list[Answer]:
    """What the model says to every prompt, in their order: the likeliest tokens up to one of `ends`.

    With a `temperature` above 0 every token is drawn from softmax(logits / temperature) over the whole
    vocabulary, by uniform numbers that follow from the prompt's own seed alone (`seeds`, one for each prompt;
    its place where none are given).

    An answer without an end after `max_new_tokens`, or where the model's context is full, is cut off.
    Prompts of like length share a batch of at most `token_budget` tokens, answers counted at their full
    length; who shares a batch changes answers no more than rounding does. The model comes back as it was:
    modes, configuration and cache. `advance` is told of prompts answered. Raises DataError for a prompt that
    fills the context, ModelError where nothing would end an answer, NumericsError naming the prompt where
    logits are not finite.
    """
    if max_new_tokens < 1:
        raise ConfigError(f"max-new-tokens is {max_new_tokens}; it must be at least 1.")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature:g}; it must be 0 (the likeliest tokens) or above.")
    if not ends:
        raise ModelError(
            "Neither the tokenizer nor the model has a token that ends an answer, so none would ever end; "
            "give the tokenizer an eos_token."
        )
    inner, stops = _inner(model), tuple(sorted(ends))
    seeds = range(len(prompts)) if seeds is None else seeds
    answers: dict[int, Answer] = {}
    for rows, room in _batches(prompts, context_length(inner.config), max_new_tokens, token_budget):
        batch = [prompts[row] for row in rows]
        draws = _draws([seeds[row] for row in rows], room) if temperature > 0 else None
        said = _continue(inner, batch, stops, room, tokenizer.pad_token_id, temperature, draws)
        for row, ids in zip(rows, said, strict=True):
            answers[row] = _answer(prompts[row], ids, stops, tokenizer)
        advance(len(rows))
    return [answers[row] for row in range(len(prompts))]


def own_ends(model: nn.Module) -> tuple[int, ...]:
    """The tokens that end an answer by the model's own generation configuration."""
    ends = getattr(_inner(model).generation_config, "eos_token_id", None)
    return () if ends is None else tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)


def _inner(model: Any) -> Any:
    """The transformers model itself, in which an adapter's layers are."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def _batches(
    prompts: Sequence[Prompt], context: int | None, max_new_tokens: int, budget: int
) -> Iterator[tuple[list[int], int]]:
    """Rows of a batch and the tokens they may say. Who has not the room for all of them is asked alone."""
    roomy = []
    for row, prompt in enumerate(prompts):
        room = max_new_tokens if context is None else context - len(prompt)
        if room < 1:
            raise DataError(
                f"The prompt of example {prompt.id} has {len(prompt)} tokens and leaves no room for an "
                f"answer in the {context} that the model takes; leave it out."
            )
        if room < max_new_tokens:
            yield [row], room
        else:
            roomy.append(row)
    for batch in token_budget_batches([len(prompts[row]) + max_new_tokens for row in roomy], budget):
        yield [roomy[place] for place in batch], max_new_tokens


@torch.no_grad()
def _continue(
    model: Any,
    batch: Sequence[Prompt],
    ends: tuple[int, ...],
    room: int,
    pad: int | None,
    temperature: float,
    draws: Float[np.ndarray, "n room"] | None,
) -> Int[np.ndarray, "n new"]:
    """The new ids of each prompt. Prompts are padded on the left, so that all answers begin side by side."""
    longest = max(len(prompt) for prompt in batch)
    ids = np.full((len(batch), longest), ends[0] if pad is None else pad, dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.int64)
    for row, prompt in enumerate(batch):
        ids[row, longest - len(prompt) :] = prompt.input_ids
        mask[row, longest - len(prompt) :] = 1
    greedy = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=room,
        eos_token_id=list(ends),
        pad_token_id=ends[0] if pad is None else pad,
        use_cache=True,
        return_dict_in_generate=False,
    )
    device = next(model.parameters()).device
    steps: Any = LogitsProcessorList([_Finite([prompt.id for prompt in batch])])
    if draws is not None:
        steps.append(_Drawn(temperature, torch.from_numpy(draws)))
    with _answering(model, greedy), quiet():
        whole = model.generate(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask).to(device),
            generation_config=greedy,
            logits_processor=steps,
        )
    new: np.ndarray = whole[:, longest:].cpu().numpy()
    return new


def _answer(prompt: Prompt, new: Int[np.ndarray, "new"], ends: tuple[int, ...], tokenizer: Any) -> Answer:
    """Up to and with the first end token; what a batch wrote behind it is padding."""
    stop = np.flatnonzero(np.isin(new, ends))
    kept = new[: stop[0] + 1] if stop.size else new
    said = (new[: stop[0]] if stop.size else new).tolist()
    text = written(tokenizer, said)
    if prompt.joined:
        before = written(tokenizer, prompt.input_ids.tolist())
        whole = written(tokenizer, [*prompt.input_ids.tolist(), *said])
        text = whole[len(before) :] if whole.startswith(before) else text
    return Answer(prompt.id, text, not stop.size, tuple(kept.tolist()))


class _Finite(LogitsProcessor):  # type: ignore[misc]
    """Passes logits on; raises where a prompt's largest is not finite."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids

    def __call__(self, input_ids: Int[Tensor, "n t"], scores: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        bad = torch.nonzero(~scores.amax(-1).isfinite()).flatten().tolist()
        if bad:
            raise NumericsError(
                f"The model's logits are not finite in its answer to {self.ids[bad[0]]!r}: its weights are "
                "not finite, or its dtype is too narrow."
            )
        return scores


class _Drawn(LogitsProcessor):  # type: ignore[misc]
    """Leaves to each prompt the one token that its next uniform number u picks: the first at which the
    cumulative softmax(logits / temperature) exceeds u, in float64. A greedy search then takes it."""

    def __init__(self, temperature: float, draws: Float[Tensor, "n room"]) -> None:
        self.temperature, self.draws, self.step = temperature, draws, 0

    def __call__(self, input_ids: Int[Tensor, "n t"], scores: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        place = torch.device("cpu") if scores.device.type == "mps" else scores.device  # mps has no float64
        logits = scores.to(place).double()
        cumulative = ((logits - logits.amax(-1, keepdim=True)) / self.temperature).exp().cumsum(-1)
        wanted = self.draws[:, self.step, None].to(place) * cumulative[:, -1:]
        self.step += 1
        drawn = torch.searchsorted(cumulative, wanted, right=True).clamp_max(scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn.to(scores.device), 0.0)


def _draws(seeds: Sequence[int], room: int) -> Float[np.ndarray, "n room"]:
    """Uniform numbers in [0, 1), float64: a row for each seed, of which longer rows are continuations."""
    return np.stack([np.random.Generator(np.random.PCG64(seed)).random(room) for seed in seeds])


@contextmanager
def _answering(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Every module in evaluation mode and `config` as the model's only one, for as long as it lasts.

    Layers that recompute activations do so in training mode alone, so they keep their cache here.
    """
    training = {module: module.training for module in model.modules()}
    own, use_cache = model.generation_config, getattr(model.config, "use_cache", None)
    model.eval()
    model.generation_config = config
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
        model.generation_config = own
        if use_cache is not None:
            model.config.use_cache = use_cache
