"""Crafted examples as lines of JSONL and back, in formats that every trainer and reader knows.

`reference` names the example's reference and its place. `pair` is the reference's id where the example was
written from it, and another where it was written from a sibling: what was written from one question has one
pair, and is never held against it in a study.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.data.example import Example, Message, Source
from assay.data.texts import prompt_text
from assay.errors import DataError
from assay.fingerprint import digest


@dataclass(frozen=True, slots=True)
class SetExample:
    """An example of a set, and the id of its reference. `example.source` is the reference's place."""

    set: str
    reference: str
    example: Example

    @property
    def key(self) -> str:
        """Digest of set and words; what the decisions of a review are kept under."""
        turns = [part for turn in self.example.messages for part in (turn.role, turn.content)]
        return digest(self.set, *(part.encode("utf-8", "surrogatepass") for part in turns))

    @property
    def prompt(self) -> str:
        return prompt_text(self.example)

    @property
    def completion(self) -> str:
        return self.example.messages[-1].content


def as_line(one: SetExample) -> str:
    """The example as a line, its end included."""
    return json_line(as_row(one))


def as_row(one: SetExample) -> dict[str, Any]:
    """The example's fields: `messages`, or `prompt` and `completion` where its reference came as two strings
    that are joined as they are."""
    example = one.example
    row: dict[str, Any] = {"id": example.id}
    if example.task is not None:
        row["task"] = example.task
    if example.pair is not None:
        row["pair"] = example.pair
    row["reference"] = {"id": one.reference, "file": example.source.file, "row": example.source.row}
    roles = [message.role for message in example.messages]
    if example.rendering == "plain" and roles == ["user", "assistant"]:
        row |= {"prompt": example.messages[0].content, "completion": example.messages[1].content}
    else:
        row["messages"] = [_turn(message) for message in example.messages]
    if example.tools:
        row["tools"] = [dict(tool) for tool in example.tools]
    if example.template_kwargs:
        row["chat_template_kwargs"] = dict(example.template_kwargs)
    return row


def json_line(value: Mapping[str, Any]) -> str:
    """A line of JSON that UTF-8 can hold, its end included."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False)
    return text + "\n"


def read_lines(path: Path, name: str) -> Iterator[SetExample]:
    """The examples of the set `name` in a file that was written line by line by `as_line`.

    Raises DataError for a file that is gone or was written by something else.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as handle:
            for text in handle:
                yield _example(json.loads(text), name)
    except FileNotFoundError:
        raise DataError(
            f"{path} is gone; run the same `assay craft` again (it asks nothing twice)."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not as `assay craft` wrote it; run the same craft again.") from error


def reworded(one: SetExample, prompt: str, completion: str) -> SetExample:
    """The example with other words in its last two turns."""
    *earlier, asked, answered = one.example.messages
    turns = (*earlier, replace(asked, content=prompt), replace(answered, content=completion))
    return replace(one, example=replace(one.example, messages=turns))


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.weight is not None:
        turn["weight"] = message.weight
    if message.reasoning is not None:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = [dict(call) for call in message.tool_calls]
    return turn


def _example(row: Mapping[str, Any], name: str) -> SetExample:
    place = row["reference"]
    if "messages" in row:
        messages = tuple(_message(turn) for turn in row["messages"])
    else:
        messages = (Message("user", row["prompt"]), Message("assistant", row["completion"]))
    example = Example(
        id=row["id"],
        messages=messages,
        source=Source(place["file"], place["row"]),
        task=row.get("task"),
        pair=row.get("pair"),
        rendering="chat" if "messages" in row else "plain",
        tools=tuple(row.get("tools", ())),
        template_kwargs=row.get("chat_template_kwargs", {}),
    )
    return SetExample(name, place["id"], example)


def _message(turn: Mapping[str, Any]) -> Message:
    return Message(
        turn["role"],
        turn["content"],
        turn.get("weight"),
        tuple(turn.get("tool_calls", ())),
        turn.get("reasoning_content"),
    )
