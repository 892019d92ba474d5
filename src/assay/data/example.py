"""What an example is: a record a model can be trained on, and what of it is learned.

Knows nothing of files, tokenizers or models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

Role = Literal["system", "user", "assistant", "tool"]
Rendering = Literal["chat", "plain", "tokens"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    `weight` is the user's own loss weight of this turn (`train`, `loss`, `loss_weight`, `weight` in
    their files): 0 is never learned, None leaves the choice to `--loss-on`.
    """

    role: Role
    content: str
    weight: float | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a record came from: the file as the user named it, and its row counted from 1."""

    file: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}"


@dataclass(frozen=True, slots=True)
class Example:
    """A training or evaluation record; the last assistant turn is the *completion*.

    `rendering` says how it becomes tokens: by the tokenizer's chat template ("chat"), by joining prompt
    and completion strings and appending EOS as TRL does with string pairs ("plain"), or as ready
    `input_ids`/`labels` ("tokens"; labels of -100 are not learned).
    `pair` names the reference example that this one was made from, so that a strategy's version and its
    plain control can be paired. `record` is the user's row, untouched, for writing it back out.
    """

    id: str
    messages: tuple[Message, ...]
    source: Source
    task: str | None = None
    pair: str | None = None
    rendering: Rendering = "chat"
    tools: tuple[Mapping[str, Any], ...] = ()
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    input_ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be used, and why; written to `rejects.jsonl`."""

    source: Source
    reason: str
    record: Any


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """An example as the model sees it.

    `weights[t]` is the loss weight of predicting `input_ids[t]` from the tokens before it: 0 for prompt
    tokens and always 0 for t = 0. The example's loss is Σ_t weights[t] · (−log p(input_ids[t] | earlier)),
    *summed* over completion tokens, in nats.
    """

    id: str
    input_ids: Int[np.ndarray, "t"]
    weights: Float[np.ndarray, "t"]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def completion_tokens(self) -> int:
        """How many tokens are learned (weight above 0)."""
        return int(np.count_nonzero(self.weights))
