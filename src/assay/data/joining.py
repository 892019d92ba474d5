"""Examples one behind another: each as a demonstration that opens a text, and as a query that follows one.

Joined text J(a, b) is the chat template over a's turns and then b's; it falls into opening(a), which is the
same whatever follows, and following(b), which is the same whatever came before. Where a template cuts so is
found with a sentinel conversation d: a place behind d's answer in J(d, d). Where it does not cut at all,
examples stand behind each other as plain text with a blank line between. Knows nothing of models.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
from jaxtyping import Int

from assay.data.chat import Chat, Turn, chat_of
from assay.data.encode import Encoded, encode
from assay.data.example import Example, Message, Source, Tokens
from assay.data.render import Rendering, tokenize
from assay.data.texts import common_prefix, counted
from assay.errors import DataError

QUESTION, ANSWER = "Vb5R", "Hd3M"
SENTINEL: tuple[Turn, Turn] = (
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": ANSWER},
)
BLANK_LINE = "\n\n"

NO_SYSTEM = "whose system turn or tools are left out where they follow a demonstration"
NO_QUERY = "not taken as a query: what is learned has other tokens behind a demonstration than by itself"
NO_OPENING = "not taken as a demonstration: the chat template lets nothing follow"
PLAIN = "joined by a blank line, since the chat template does not put one conversation behind another"


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """An example in its two places of a joined text.

    `opening` is the whole example as a demonstration, int64, of length 0 where nothing can follow it.
    `following` is the example behind a demonstration. Something comes before its first token, so unlike that
    of other `Tokens` it may have a weight. Its scored tokens are those of the example by itself; where they
    would be others the example is no query, and `following` is of length 0.
    """

    opening: Int[np.ndarray, "t"]
    following: Tokens


@dataclass(frozen=True, slots=True)
class _Cut:
    """What the template writes before and after the place between two sentinels; kept for every template."""

    before: str
    after: str


class Joining:
    """Puts examples, tokenised as `rendering` says, into the two places, and keeps what there is to say.

    Examples of ready ids and those that are rendered plainly are joined by a blank line: the opening is the
    example's tokens without a last EOS and the tokens of the blank line, the following its tokens without
    BOS. An example whose prompt `truncation` shortens is shortened by as much in both places; nothing else
    is ever cut. Where the tokenizer has no BOS, the first scored token is left out (`comparable`).
    """

    def __init__(self, tokenizer: Any, **rendering: Unpack[Rendering]) -> None:
        self._tokenizer = tokenizer
        self._rendering = rendering
        self._cuts: dict[str, _Cut | None] = {}
        self._remarks: Counter[str] = Counter()

    def joined(self, example: Example) -> Joined:
        """Both places of one example. Raises what `render.tokenize` raises."""
        own = tokenize(example, self._tokenizer, **self._rendering)
        scored = comparable(own, self._tokenizer.bos_token_id)
        if not self._is_chat(example):
            return self._plainly(scored)
        chat = chat_of(example, self._tokenizer, self._rendering.get("chat_template"))
        cut = self._cut(chat)
        if cut is None:
            self._remarks[PLAIN] += 1
            return self._plainly(scored)
        most = self._most(example, own)
        opening = self._last(_opening(chat, cut), most, with_bos=True)
        following = self._following(chat, cut, scored, most)
        self._remarks[NO_OPENING] += int(not len(opening))
        self._remarks[NO_QUERY] += int(not len(following))
        self._remarks[NO_SYSTEM] += int(bool(chat.tools) or chat.turns[0]["role"] == "system")
        return Joined(opening, following)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the examples so far."""
        return tuple(f"{counted(count, 'example')} {what}." for what, count in self._remarks.items() if count)

    def _is_chat(self, example: Example) -> bool:
        render = self._rendering.get("render", "auto")
        plain = render == "plain" or (render == "auto" and example.rendering == "plain")
        return example.rendering != "tokens" and not plain

    def _most(self, example: Example, own: Tokens) -> int | None:
        """How many tokens besides BOS a shortened example keeps; None for one that is not shortened."""
        if self._rendering.get("truncation", "error") == "error":
            return None
        without_limits: Rendering = {**self._rendering, "max_length": None, "context": None}
        if len(tokenize(example, self._tokenizer, **without_limits)) == len(own):
            return None
        return len(own) - int(self._starts_with_bos(own.input_ids))

    def _starts_with_bos(self, ids: Int[np.ndarray, "t"]) -> bool:
        bos = self._tokenizer.bos_token_id
        return bos is not None and len(ids) > 0 and int(ids[0]) == bos

    def _last(self, ids: Int[np.ndarray, "t"], most: int | None, *, with_bos: bool) -> Int[np.ndarray, "s"]:
        if most is None or len(ids) <= most:
            return ids
        head = ids[:1] if with_bos and self._starts_with_bos(ids) else ids[:0]
        return np.concatenate([head, ids[len(ids) - most :]])

    def _plainly(self, scored: Tokens) -> Joined:
        ids = scored.input_ids
        ended = len(ids) > 0 and int(ids[-1]) == self._tokenizer.eos_token_id
        opening = np.concatenate([ids[: len(ids) - int(ended)], self._blank_line()])
        start = int(self._starts_with_bos(ids))
        return Joined(opening, Tokens(scored.id, ids[start:], scored.weights[start:]))

    def _blank_line(self) -> Int[np.ndarray, "t"]:
        """The tokens that a blank line adds behind a word; none where the tokenizer has no such thing."""
        word, both = (
            np.asarray(self._tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)
            for text in ("a", "a" + BLANK_LINE)
        )
        added = both[len(word) :] if np.array_equal(both[: len(word)], word) else both[:0]
        known: np.ndarray = added[added != self._tokenizer.unk_token_id]
        return known

    def _following(self, chat: Chat, cut: _Cut, scored: Tokens, most: int | None) -> Tokens:
        found = _following(chat, cut)
        first = int(np.flatnonzero(scored.weights)[0]) if scored.completion_tokens else len(scored)
        own = scored.input_ids[first:]
        if not len(own) or len(found) < len(own) or (found[len(found) - len(own) :] != own).any():
            return Tokens(scored.id, found[:0], scored.weights[:0])
        ids = self._last(found, most, with_bos=False)
        before = np.zeros(len(ids) - len(own), dtype=np.float32)
        return Tokens(scored.id, ids, np.concatenate([before, scored.weights[first:]]))

    def _cut(self, chat: Chat) -> _Cut | None:
        key = json.dumps([chat.template, dict(chat.kwargs)], sort_keys=True, default=str)
        if key not in self._cuts:
            self._cuts[key] = self._checked(_cut(replace(chat, turns=SENTINEL, tools=())), chat)
        return self._cuts[key]

    def _checked(self, cut: _Cut | None, chat: Chat) -> _Cut | None:
        """The cut, if the sentinel itself comes out as demonstration and as query."""
        if cut is None:
            return None
        sentinel = replace(chat, turns=SENTINEL, tools=())
        messages = (Message("user", QUESTION), Message("assistant", ANSWER))
        example = Example("", messages, Source("", 0), template_kwargs=chat.kwargs)
        how: Rendering = {
            **self._rendering,
            "max_length": None,
            "context": None,
            "chat_template": chat.template,
        }
        try:
            own = comparable(tokenize(example, self._tokenizer, **how), self._tokenizer.bos_token_id)
        except DataError:
            return None
        works = len(_opening(sentinel, cut)) and len(self._following(sentinel, cut, own, None))
        return cut if works else None


def comparable(tokens: Tokens, bos_id: int | None) -> Tokens:
    """The tokens with weight on all that can also be scored with nothing before it.

    Behind a BOS that is all. Without one (`bos_id` None) nothing predicts the first scored token when the
    completion stands alone, so its weight is 0 here, in every context.
    """
    scored = np.flatnonzero(tokens.weights)
    if bos_id is not None or not len(scored):
        return tokens
    weights = tokens.weights.copy()
    weights[scored[0]] = 0.0
    return Tokens(tokens.id, tokens.input_ids, weights)


def _cut(sentinel: Chat) -> _Cut | None:
    """Where the template goes on behind an answer.

    That is where the conversation by itself and the same with another behind it part, unless the template
    writes the answer otherwise once more follows (Qwen3 drops its reasoning): then it is behind the token
    that ends the turn.
    """
    alone, both = sentinel.attempt(SENTINEL), sentinel.attempt((*SENTINEL, *SENTINEL))
    if alone is None or both is None or both.count(QUESTION) != 2 or both.count(ANSWER) != 2:
        return None
    answered, asked = both.find(ANSWER) + len(ANSWER), both.rfind(QUESTION)
    if answered > asked:
        return None
    place = min(common_prefix(alone, both), asked)
    if place < answered:
        between = both[answered:asked]
        ends = [between.find(token) + len(token) for token in sentinel.control_tokens if token in between]
        if not ends:
            return None
        place = answered + min(ends)
    encoded = _encoded(sentinel, both, place)
    place = max((int(end) for end in encoded.ends if answered <= end <= place), default=0)
    return _Cut(both[:place], both[place:]) if place else None


def _opening(chat: Chat, cut: _Cut) -> Int[np.ndarray, "t"]:
    """J(a, d) without what d adds; empty where d comes otherwise than it does behind itself."""
    text = chat.attempt((*chat.turns, *SENTINEL))
    if text is None or not text.endswith(cut.after):
        return np.zeros(0, dtype=np.int64)
    place = len(text) - len(cut.after)
    encoded = _encoded(chat, text, place)
    parts = _parts(encoded, place)
    return np.zeros(0, dtype=np.int64) if parts is None else encoded.ids[:parts]


def _following(chat: Chat, cut: _Cut) -> Int[np.ndarray, "t"]:
    """J(d, b) without what d is, b without system turn and tools; empty where d comes otherwise."""
    turns = chat.turns[1:] if chat.turns[0]["role"] == "system" else chat.turns
    text = replace(chat, tools=()).attempt((*SENTINEL, *turns)) if turns else None
    if text is None or not text.startswith(cut.before):
        return np.zeros(0, dtype=np.int64)
    encoded = _encoded(chat, text, len(cut.before))
    parts = _parts(encoded, len(cut.before))
    return np.zeros(0, dtype=np.int64) if parts is None else encoded.ids[parts:]


def _encoded(chat: Chat, text: str, place: int) -> Encoded:
    return encode(chat.tokenizer, text, (place,), add_special_tokens=False)


def _parts(encoded: Encoded, place: int) -> int | None:
    """How many tokens lie before a place in the text; None where one lies across it."""
    before = int(np.searchsorted(encoded.starts, place, side="left"))
    return before if not before or encoded.ends[before - 1] <= place else None
