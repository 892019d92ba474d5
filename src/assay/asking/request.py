"""What a language model is asked and what comes back: the words that steps, clients and the cache share.

Knows no client and no strategy.
"""

from dataclasses import dataclass
from typing import Literal

By = Literal["writer", "student", "judge"]
"""Who is asked: the model that writes examples, the model under study, or the one that judges answers."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a language model.

    `attempt` counts from 0; a further attempt at the same step is another request. `where` is for people
    ("cot, response, of gsm8k-17") and no part of what the request is.
    """

    turns: tuple[Turn, ...]
    by: By = "writer"
    temperature: float = 0.7
    max_tokens: int = 1024
    attempt: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered. `cut_off` where it did not end by itself; tokens are None where nobody counted."""

    text: str
    cut_off: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """No usable reply came, after all the retries of the client. Asking again another day may help.

    `refused` where this request itself was not taken (it is too long, say): others may well be answered.
    """

    reason: str
    refused: bool = False
