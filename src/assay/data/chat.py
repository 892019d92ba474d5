"""A conversation written out by a tokenizer's chat template. Knows nothing of loss weights or tokens.

Templates are Jinja in transformers' sandbox and differ in what they can show. Where a template has no place
for reasoning or tool calls, these are written into the turn's text rather than lost.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from assay.data.example import Example, Message
from assay.data.fields import REASONING_KEYS, parsed_json
from assay.data.texts import common_prefix
from assay.errors import DataError, ModelError

GENERATION_TAG = re.compile(r"\{%-?\s*generation\s*-?%\}")

Turn = Mapping[str, Any]


class TemplateError(DataError):
    """The chat template refuses a conversation; the text is its reason."""


@dataclass(frozen=True)
class Chat:
    """An example's turns as a template gets them, and the means to write any part of them out."""

    tokenizer: Any
    template: str
    turns: tuple[Turn, ...]
    tools: tuple[Mapping[str, Any], ...]
    kwargs: Mapping[str, Any]

    @cached_property
    def full(self) -> str:
        """The whole conversation as text."""
        return self.text(self.turns)

    @cached_property
    def generation_prompt(self) -> str:
        """What the template writes to make the model begin a turn; empty where it has no such thing."""
        turns = [{"role": "user", "content": "?"}]
        asked, without = self.attempt(turns, prompt=True), self.attempt(turns)
        return "" if asked is None or without is None else asked[common_prefix(asked, without) :]

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The tokenizer's special and added tokens, longest first."""
        return _control_tokens(self.tokenizer, len(self.tokenizer))

    @property
    def has_generation_tags(self) -> bool:
        return GENERATION_TAG.search(self.template) is not None

    def text(self, turns: Sequence[Turn], *, prompt: bool = False) -> str:
        """These turns written out, with the generation prompt behind them if `prompt`.

        Raises `TemplateError` with the template's own reason.
        """
        written: str = self._apply(turns, tokenize=False, add_generation_prompt=prompt)
        return written

    def attempt(self, turns: Sequence[Turn], *, prompt: bool = False) -> str | None:
        """Like `text`, None where the template refuses."""
        try:
            return self.text(turns, prompt=prompt)
        except TemplateError:
            return None

    def generation_mask(self) -> list[bool] | None:
        """Which tokens of `full` stand between the template's generation tags; None if unknown."""
        if not self.has_generation_tags or not getattr(self.tokenizer, "is_fast", False):
            return None
        encoded = self._apply(self.turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        mask = [bool(flag) for flag in encoded["assistant_masks"]]
        return mask if any(mask) else None

    def _apply(self, turns: Sequence[Turn], **how: Any) -> Any:
        """A template is a program and may raise anything: all of it is the template's refusal."""
        try:
            return self.tokenizer.apply_chat_template(
                [dict(turn) for turn in turns],
                tools=[dict(tool) for tool in self.tools] or None,
                chat_template=self.template,
                **how,
                **self.kwargs,
            )
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TemplateError(f"the chat template refuses it ({reason})") from error


@lru_cache(maxsize=4)
def _control_tokens(tokenizer: Any, size: int) -> tuple[str, ...]:
    """Kept, as there may be thousands; `size` tells a tokenizer that tokens were added to."""
    names = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return tuple(sorted((name for name in names if name.strip()), key=lambda name: (-len(name), name)))


def chat_of(example: Example, tokenizer: Any, chat_template: str | None) -> Chat:
    """Bind an example to `chat_template`, else to the tokenizer's own; `ModelError` where there is none.

    Templates want the arguments of tool calls as an object or as JSON text; where one form is refused, the
    other is tried.
    """
    try:
        template = tokenizer.get_chat_template(chat_template, list(example.tools) or None)
    except (ValueError, AttributeError) as error:
        raise ModelError(
            "The tokenizer has no chat template. Give one with --chat-template FILE, "
            "or join prompt and completion as they are with --render plain."
        ) from error
    turns = tuple(_turn(message, template) for message in example.messages)
    chat = Chat(tokenizer, template, turns, example.tools, example.template_kwargs)
    if any("tool_calls" in turn for turn in turns) and chat.attempt(turns) is None:
        other = replace(chat, turns=tuple(_with_other_arguments(turn) for turn in turns))
        return chat if other.attempt(other.turns) is None else other
    return chat


def _turn(message: Message, template: str) -> Turn:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls and _mentions(template, "tool_calls"):
        turn["tool_calls"] = [dict(call) for call in message.tool_calls]
    elif message.tool_calls:
        calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.tool_calls]
        turn["content"] = "\n".join(filter(None, [message.content, *calls]))
    if message.reasoning:
        keys = _reasoning_keys(template)
        if not keys:
            turn["content"] = f"<think>\n{message.reasoning}\n</think>\n\n{turn['content']}"
        turn.update(dict.fromkeys(keys, message.reasoning))
    return turn


def _with_other_arguments(turn: Turn) -> Turn:
    if "tool_calls" not in turn:
        return turn
    calls = []
    for call in turn["tool_calls"]:
        arguments = call["function"]["arguments"]
        other = (
            parsed_json(arguments)
            if isinstance(arguments, str)
            else json.dumps(arguments, ensure_ascii=False)
        )
        calls.append({**call, "function": {**call["function"], "arguments": other}})
    return {**turn, "tool_calls": calls}


def _reasoning_keys(template: str) -> tuple[str, ...]:
    return tuple(key for key in REASONING_KEYS if _mentions(template, key))


def _mentions(template: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", template) is not None
