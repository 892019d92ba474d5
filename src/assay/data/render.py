"""Examples to tokens: which rendering, how long, and what to say of those that do not fit.

Knows nothing of models beyond the length they take. Nothing is cut silently: a completion never, a prompt
only from its beginning and only if asked.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, get_args

import numpy as np

from assay.data.chat import TemplateError, chat_of
from assay.data.example import Example, Reject, Tokens
from assay.data.readers import OnBadRows
from assay.data.spans import left_out
from assay.data.texts import counted
from assay.data.weights import LossOn, chat_tokens, plain_tokens, ready_tokens
from assay.errors import ConfigError, DataError

Render = Literal["auto", "chat", "plain"]
Truncation = Literal["error", "prompt"]

LEARNED = {"assistant": "every assistant turn", "last": "the last assistant turn", "all": "the whole text"}


@dataclass(frozen=True, slots=True)
class TokenizedSet:
    """Examples as tokens, those that could not be, and what a person should know about it.

    `tokens` are in the order of the examples; with `on_bad_rows="skip"` some may be missing: match by `id`.
    """

    tokens: tuple[Tokens, ...]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]


class Rendering(TypedDict, total=False):
    """How an example becomes tokens.

    `loss_on` is what is learned (by default every assistant turn). `render` "auto" (default) follows
    `example.rendering`; ready `input_ids` stay what they are in any case, and their labels go before
    `loss_on`. An example over `max_length` tokens, or over the model's own `context`, is a `DataError`, or
    with `truncation="prompt"` loses the beginning of its prompt (a BOS is kept) if everything learned then
    fits. `chat_template` is Jinja text that stands in for the tokenizer's own.
    """

    loss_on: LossOn
    max_length: int | None
    context: int | None
    truncation: Truncation
    render: Render
    chat_template: str | None


def tokenize(example: Example, tokenizer: Any, **rendering: Unpack[Rendering]) -> Tokens:
    """Ids and loss weights of one example.

    Raises `DataError` naming file and row, also where nothing would be learned, `ModelError` where there is
    no chat template, and `ConfigError` for an option that cannot be.
    """
    return _tokens_and_remarks(example, _How(tokenizer, **rendering))[0]


def tokenize_all(
    examples: Iterable[Example],
    tokenizer: Any,
    *,
    on_bad_rows: OnBadRows = "error",
    **rendering: Unpack[Rendering],
) -> TokenizedSet:
    """`tokenize` for many; with `on_bad_rows="skip"` those that raise `DataError` become rejects."""
    tokenizing = Tokenizing(tokenizer, on_bad_rows=on_bad_rows, **rendering)
    outcomes = [tokenizing.tokens(example) for example in examples]
    return TokenizedSet(
        tuple(one for one in outcomes if isinstance(one, Tokens)),
        tuple(one for one in outcomes if isinstance(one, Reject)),
        tokenizing.notes,
    )


class Tokenizing:
    """`tokenize_all` one example at a time: keeps what there is to say, and no example."""

    def __init__(
        self, tokenizer: Any, *, on_bad_rows: OnBadRows = "error", **rendering: Unpack[Rendering]
    ) -> None:
        self._how = _How(tokenizer, **rendering)
        self._on_bad_rows = on_bad_rows
        self._remarks: Counter[str] = Counter()
        self._rejects = 0
        self._first_reject = ""

    def tokens(self, example: Example) -> Tokens | Reject:
        """Ids and loss weights, or with `on_bad_rows="skip"` why there are none."""
        try:
            fitting, noticed = _tokens_and_remarks(example, self._how)
        except DataError as error:
            if self._on_bad_rows == "error":
                raise
            reason = str(error).removeprefix(f"{example.source}: ")
            self._rejects += 1
            self._first_reject = self._first_reject or f"{example.source}: {reason}"
            return Reject(example.source, reason, example.record)
        self._remarks.update(noticed)
        return fitting

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the examples so far."""
        notes = [f"{counted(count, 'example')} {what}." for what, count in self._remarks.items()]
        if self._rejects:
            notes.append(f"{counted(self._rejects, 'example')} set aside; {self._first_reject}")
        return tuple(notes)


def loss_on_warning(loss_on: str, trainer_loss_on: str | None) -> str | None:
    """A sentence where the study learns something else than the trainer did, if it is known what that was."""
    if trainer_loss_on is None or loss_on == trainer_loss_on:
        return None
    return (
        f"The trainer learned {LEARNED.get(trainer_loss_on, trainer_loss_on)}, but here the loss is on "
        f"{LEARNED.get(loss_on, loss_on)}; use --loss-on {trainer_loss_on} to measure what was trained."
    )


@dataclass(frozen=True, slots=True)
class _How:
    """A tokenizer and a `Rendering`, checked and complete."""

    tokenizer: Any
    loss_on: LossOn = "assistant"
    max_length: int | None = None
    context: int | None = None
    truncation: Truncation = "error"
    render: Render = "auto"
    chat_template: str | None = None

    @property
    def longest(self) -> int | None:
        return min((length for length in (self.max_length, self.context) if length), default=None)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("loss-on", self.loss_on, get_args(LossOn)),
            ("truncation", self.truncation, get_args(Truncation)),
            ("render", self.render, get_args(Render)),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
        if self.max_length is not None and self.max_length < 2:
            raise ConfigError(f"max-length is {self.max_length}; it must be at least 2.")


def _tokens_and_remarks(example: Example, how: _How) -> tuple[Tokens, list[str]]:
    """Tokens that fit, and remarks on what is not in them as it stands in the data."""
    try:
        tokens, remarks = _rendered(example, how)
    except TemplateError as error:
        raise DataError(
            f"{example.source}: {error}. To do without the template, use --render plain."
        ) from error
    except UnicodeEncodeError as error:
        raise DataError(f"{example.source}: holds half a character (a lone surrogate).") from error
    if not tokens.completion_tokens:
        raise DataError(
            f"{example.source}: no token of example {example.id} is learned with loss on {how.loss_on}; "
            "its turns have weight 0, or it is a single token."
        )
    if how.longest is None or len(tokens) <= how.longest:
        return tokens, remarks
    remarks.append("shortened at the beginning of the prompt to fit the maximum length")
    return _shortened(example, tokens, how.longest, how), remarks


def _rendered(example: Example, how: _How) -> tuple[Tokens, list[str]]:
    if example.rendering == "tokens":
        return ready_tokens(example, how.tokenizer), []
    if how.render == "plain" or (how.render == "auto" and example.rendering == "plain"):
        remarks = ["with tools, which plain rendering leaves out"] if example.tools else []
        return plain_tokens(example, how.tokenizer, how.loss_on), remarks
    chat = chat_of(example, how.tokenizer, how.chat_template)
    tokens = chat_tokens(example, chat, how.loss_on)
    return tokens, [f"with {what} that the chat template leaves out" for what in left_out(chat, example)]


def _shortened(example: Example, tokens: Tokens, length: int, how: _How) -> Tokens:
    """The last `length` tokens, BOS kept, if that leaves everything learned and a token before it."""
    by_model = length == how.context
    limit = f"the {length} that the model takes" if by_model else f"the maximum of {length}"
    too_long = f"{example.source}: example {example.id} has {len(tokens)} tokens, over {limit}"
    mend = "Shorten or leave out the example" if by_model else "Raise --max-length"
    if how.truncation != "prompt":
        raise DataError(f"{too_long}. {mend}, or use --truncation prompt to cut its prompt's beginning.")
    bos = how.tokenizer.bos_token_id
    head = int(bos is not None and tokens.input_ids[0] == bos)
    tail = len(tokens) - length + head
    context = 1 - head
    if tail + context > int(np.flatnonzero(tokens.weights)[0]):
        raise DataError(f"{too_long}, and what is learned of it does not fit. {mend}.")
    ids = np.concatenate([tokens.input_ids[:head], tokens.input_ids[tail:]])
    weights = np.concatenate([tokens.weights[:head], tokens.weights[tail:]])
    return Tokens(tokens.id, ids, weights)
