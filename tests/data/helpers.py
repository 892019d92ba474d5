"""Short ways to say an example and to read what of it is learned."""

from pathlib import Path
from typing import Any

from assay.data.example import Example, Message, Source
from assay.data.preview import segments
from assay.data.render import tokenize


def user(content: str, **more: Any) -> Message:
    return Message("user", content, **more)


def assistant(content: str, **more: Any) -> Message:
    return Message("assistant", content, **more)


def example(*messages: Message, **more: Any) -> Example:
    return Example("x", messages, Source("file.jsonl", 3), **more)


def learned(given: Example, tokenizer: Any, **how: Any) -> list[str]:
    """The stretches of text that are learned."""
    tokens = tokenize(given, tokenizer, **how)
    assert tokens.weights[0] == 0
    return [part.text for part in segments(tokens, tokenizer) if part.weight > 0]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
