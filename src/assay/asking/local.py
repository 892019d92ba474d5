"""A model in memory, asked through transformers: what is pending shares batches.

A reply follows from the request and the weights: the numbers that sample it are drawn from the request's own
address, so who shares a batch changes it no more than rounding does. Knows no server and no strategy.
"""

from dataclasses import replace
from itertools import islice
from typing import Any, Literal, Self

from assay.asking.cache import address
from assay.asking.request import Failure, Reply, Request
from assay.data.example import Example, Message, Source
from assay.data.prompts import Prompt, ends_of, prompts_of
from assay.data.render import Render
from assay.errors import ConfigError, DataError
from assay.fingerprint import fingerprint
from assay.models.generate import generate, own_ends
from assay.models.loading import context_length
from assay.models.session import Session
from assay.models.trajectory import Trajectory

TOKEN_BUDGET = 16_384
"""Tokens in a batch, replies counted at their full length."""
REPLY = "yes"
"""Stands where a reply will; a letter behind white space shares no token with the prompt."""


class Local:
    """The model that a session holds, as a `asking.model.Model`.

    Turns are written by the chat template (`chat_template` is Jinja text in place of the tokenizer's own), or
    with `render="plain"` joined by line breaks, with nothing behind them, as "auto" does where there is no
    template. `room` requests make a batch, and `finished` answers one batch. A prompt that leaves no room for
    a reply, or that the template refuses, is a Failure.
    """

    def __init__(
        self,
        session: Session,
        *,
        room: int = 32,
        render: Render = "auto",
        chat_template: str | None = None,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:
        if room < 1:
            raise ConfigError(f"A batch of {room} requests is none; it must be at least 1.")
        self._session, self._tokenizer = session, session.tokenizer
        own = chat_template or getattr(self._tokenizer, "chat_template", None)
        self._render: Literal["chat", "plain"] = (
            "plain" if render == "plain" or (render == "auto" and not own) else "chat"
        )
        self._chat_template, self._token_budget = chat_template, token_budget
        self.room, self.retries = room, 0
        self.name = _name(session, self._render, own)
        self._context = context_length(session.model.config)
        self._pending: list[Request] = []

    @classmethod
    def open(
        cls,
        source: str,
        *,
        base_model: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        allow_pickle: bool = False,
        **how: Any,
    ) -> Self:
        """The last checkpoint in a trainer's folder, a model's folder, or a model on the hub.

        `device` and `dtype` as in `Session.open`, `how` as for the class. Raises ModelError, ConfigError.
        """
        found = Trajectory.discover(source, base_model=base_model, allow_pickle=allow_pickle)
        last = replace(found, checkpoints=found.checkpoints[-1:])
        return cls(Session.open(last, device=device, dtype=dtype, allow_pickle=allow_pickle), **how)

    @property
    def ready(self) -> bool:
        return len(self._pending) >= self.room

    def start(self, request: Request) -> None:
        self._pending.append(request)

    def finished(self) -> list[tuple[Request, Reply | Failure]]:
        """The oldest pending request and those like it, up to `room`. Raises NumericsError naming one."""
        if not self._pending:
            return []
        oldest = self._pending[0]
        like = (one for one in self._pending if _how(one) == _how(oldest))
        batch = list(islice(like, self.room))
        taken = {id(one) for one in batch}
        self._pending = [one for one in self._pending if id(one) not in taken]
        return self._answered(batch)

    def close(self) -> None:
        self._pending = []

    def _answered(self, batch: list[Request]) -> list[tuple[Request, Reply | Failure]]:
        prompts = [self._prompt(request) for request in batch]
        asked = [
            (request, prompt)
            for request, prompt in zip(batch, prompts, strict=True)
            if isinstance(prompt, Prompt)
        ]
        replies: dict[int, Reply | Failure] = {}
        if asked:
            answers = generate(
                self._session.model,
                [prompt for _, prompt in asked],
                self._tokenizer,
                ends=sorted({*ends_of((prompt for _, prompt in asked), self._tokenizer), *self._own_ends()}),
                max_new_tokens=batch[0].max_tokens,
                temperature=batch[0].temperature,
                seeds=[int(address(self.name, request)[:16], 16) for request, _ in asked],
                token_budget=self._token_budget,
            )
            for (request, prompt), answer in zip(asked, answers, strict=True):
                replies[id(request)] = Reply(answer.text, answer.cut_off, len(prompt), len(answer.tokens))
        return [
            (request, prompt if isinstance(prompt, Failure) else replies[id(request)])
            for request, prompt in zip(batch, prompts, strict=True)
        ]

    def _prompt(self, request: Request) -> Prompt | Failure:
        """A request as the model is shown it, tokens up to where its reply begins."""
        turns = tuple(Message(turn.role, turn.content) for turn in request.turns)
        if self._render == "plain":
            turns = (Message("user", "\n".join(turn.content for turn in request.turns)),)
        apart = "" if self._render == "chat" or turns[-1].content[-1:].isspace() else " "
        example = Example(
            request.where or "request",
            (*turns, Message("assistant", apart + REPLY)),
            Source(request.where or "request", 1),
            rendering=self._render,
        )
        try:
            prompt = prompts_of(
                [example], self._tokenizer, render=self._render, chat_template=self._chat_template
            )[0]
        except DataError as error:
            reason = str(error).removeprefix(f"{example.source}: ").rstrip(".")
            return Failure(f"the prompt cannot be written: {reason}", refused=True)
        if self._context is not None and len(prompt) >= self._context:
            return Failure(
                f"the prompt has {len(prompt)} tokens and leaves no room for a reply in the {self._context} "
                "that the model takes",
                refused=True,
            )
        return prompt

    def _own_ends(self) -> tuple[int, ...]:
        return own_ends(self._session.model)


def _how(request: Request) -> tuple[float, int]:
    """What requests must share to be in one batch."""
    return request.temperature, request.max_tokens


def _name(session: Session, render: Render, template: Any) -> str:
    """The checkpoint's name with a digest of all that its replies follow from but rounding."""
    digest = fingerprint(
        {
            "weights": session.weights_digest(session.checkpoint),
            "base": session.describe()["base_digest"],
            "render": render,
            "template": template if render == "chat" else None,
        }
    )
    return f"{session.checkpoint.name} ({digest})"
