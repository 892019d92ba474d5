"""What of an example is learned: a loss weight per turn, then per character, then per token.

Knows the three ways an example becomes tokens (chat template, plain joining, ready ids), not their limits.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from assay.data.chat import Chat, TemplateError
from assay.data.encode import Encoded, encode
from assay.data.example import Example, Tokens
from assay.data.spans import appears, turn_span
from assay.data.texts import said
from assay.errors import DataError

LossOn = Literal["assistant", "last", "all"]
Learned = tuple[int, int, float]
"""Characters [start, end) and the loss weight of the tokens that cover them."""

Array = np.ndarray


def turn_weights(example: Example, loss_on: LossOn) -> tuple[float, ...]:
    """The loss weight of every turn: the user's own where there is one, else as `loss_on` says.

    With "last" only the last turn is learned, whatever weights earlier turns carry.
    """
    last = len(example.messages) - 1
    weights = []
    for index, message in enumerate(example.messages):
        by_choice = (
            index == last or loss_on == "all" or (loss_on == "assistant" and message.role == "assistant")
        )
        if loss_on == "last" and index != last:
            weights.append(0.0)
        else:
            weights.append(float(by_choice) if message.weight is None else message.weight)
    return tuple(weights)


def ready_tokens(example: Example, tokenizer: Any) -> Tokens:
    """Ids and labels as they are; labels of -100 are not learned. `DataError` for ids that do not exist."""
    ids = np.asarray(example.input_ids, dtype=np.int64)
    if ids.max(initial=0) >= len(tokenizer):
        raise DataError(
            f"{example.source}: token id {ids.max()} is outside the vocabulary of {len(tokenizer)}; "
            "the data was tokenized for another model."
        )
    return Tokens(example.id, ids, _unpredicted_first(np.asarray(example.labels) >= 0))


def plain_tokens(example: Example, tokenizer: Any, loss_on: LossOn) -> Tokens:
    """Turns joined as they are, with EOS behind the last, as TRL does with prompt and completion strings.

    Turns of an example that is meant for a chat template are joined by a newline where neither side has white
    space. BOS is the tokenizer's own, never doubled.
    """
    text, learned = _joined(example, turn_weights(example, loss_on))
    eos = tokenizer.eos_token or ""
    if eos and not text.endswith(eos):
        learned.append((len(text), len(text) + len(eos), learned[-1][2]))
        text += eos
    starts_itself = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    boundaries = tuple(edge for start, end, _ in learned for edge in (start, end))
    encoded = encode(tokenizer, text, boundaries, add_special_tokens=not starts_itself)
    encoded = _ended_once(encoded, tokenizer.eos_token_id)
    return _weighted(example, encoded, learned, base=float(loss_on == "all"))


def chat_tokens(example: Example, chat: Chat, loss_on: LossOn) -> Tokens:
    """Turns written out by the chat template.

    Assistant turns are learned between the template's generation tags where it has them, else from behind the
    generation prompt to the end-of-turn token (`spans.turn_span`). Raises `TemplateError`.
    """
    weights = turn_weights(example, loss_on)
    for index, weight in enumerate(weights):
        if weight and not appears(chat, index):
            raise TemplateError(f"the chat template leaves out what turn {index + 1} says")
    tagged = None if loss_on == "all" else _between_tags(chat, weights)
    if tagged is not None:
        encoded = encode(chat.tokenizer, chat.full, (), add_special_tokens=False)
        if len(encoded.ids) == len(tagged):
            return Tokens(example.id, encoded.ids, _unpredicted_first(tagged))
    base = float(loss_on == "all")
    learned = [(*turn_span(chat, index), weight) for index, weight in enumerate(weights) if weight != base]
    boundaries = tuple(edge for start, end, _ in learned for edge in (start, end))
    encoded = encode(chat.tokenizer, chat.full, boundaries, add_special_tokens=False)
    return _weighted(example, encoded, learned, base)


def _joined(example: Example, weights: Sequence[float]) -> tuple[str, list[Learned]]:
    text = ""
    learned: list[Learned] = []
    for message, weight in zip(example.messages, weights, strict=True):
        words = said(message)
        meets = not text or text[-1].isspace() or words[:1].isspace()
        if example.rendering == "chat" and not meets:
            text += "\n"
        learned.append((len(text), len(text) + len(words), weight))
        text += words
    return text, learned


def _ended_once(encoded: Encoded, eos_id: int | None) -> Encoded:
    """Without the second of two EOS, which tokenizers that append their own leave behind ours."""
    if eos_id is None or len(encoded.ids) < 2 or not (encoded.ids[-2:] == eos_id).all():
        return encoded
    return Encoded(encoded.ids[:-1], encoded.starts[:-1], encoded.ends[:-1])


def _between_tags(chat: Chat, weights: Sequence[float]) -> Float[Array, "t"] | None:
    """Weights by the template's generation tags; None where they cannot say which turn a token belongs to."""
    mask = chat.generation_mask()
    is_assistant = [turn["role"] == "assistant" for turn in chat.turns]
    by_assistant = [weight for weight, own in zip(weights, is_assistant, strict=True) if own]
    others = [weight for weight, own in zip(weights, is_assistant, strict=True) if not own]
    if mask is None or any(others):
        return None
    runs = [(flag, len(list(group))) for flag, group in groupby(mask)]
    if len(set(by_assistant)) == 1:
        of_runs = by_assistant[:1] * sum(flag for flag, _ in runs)
    elif sum(flag for flag, _ in runs) == len(by_assistant):
        of_runs = by_assistant
    else:
        return None
    remaining = iter(of_runs)
    return np.repeat([next(remaining) if flag else 0.0 for flag, _ in runs], [length for _, length in runs])


def _weighted(example: Example, encoded: Encoded, learned: Sequence[Learned], base: float) -> Tokens:
    """Token weights from character weights; a token across two spans takes the weight of the later one."""
    weights = np.full(len(encoded.ids), base)
    for start, end, weight in learned:
        weights[encoded.covering(start, end)] = weight
    return Tokens(example.id, encoded.ids, _unpredicted_first(weights))


def _unpredicted_first(weights: np.ndarray) -> Float[Array, "t"]:
    """As float32, with 0 for the first token, which nothing predicts."""
    weights = weights.astype(np.float32)
    weights[:1] = 0.0
    return weights
