"""The table of formats: how a record of each becomes messages. Knows no files and no tokenizers.

A format is a row: its name, a sample, a test whether a record looks like it, and one function that reads
a record into drafts of examples (usually one). Adding a format is adding a function and a row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.data.columns import filled_in
from assay.data.drafts import (
    Draft,
    Options,
    assistant_turn,
    conversation,
    history_turns,
    instruction,
    system_turns,
    unlearned,
    user_turn,
)
from assay.data.example import Message
from assay.data.fields import (
    OPENAI,
    Record,
    RowError,
    filled,
    is_objects,
    is_turns,
    listed,
    optional,
    present,
    text,
    turns,
)
from assay.data.preferences import read_preference

IGNORED_LABEL = -100


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the table. `read` raises `RowError` with the reason a record cannot be used."""

    name: str
    sample: str
    detects: Callable[[Record], bool]
    read: Callable[[Record, Options], Sequence[Draft]]


def read_tokens(record: Record, options: Options) -> list[Draft]:
    ids = _integers(record, "input_ids")
    if min(ids) < 0:
        raise RowError("field 'input_ids' holds a negative number")
    masks = [
        _as_long(ids, _integers(record, key), key)
        for key in ("completion_mask", "assistant_masks")
        if present(record, key)
    ]
    if present(record, "labels"):
        labels = _as_long(ids, _integers(record, "labels"), "labels")
    else:
        labels = tuple(
            token if all(flags) else IGNORED_LABEL for token, *flags in zip(ids, *masks, strict=True)
        )
    if present(record, "attention_mask"):
        ids, labels = _unpadded(ids, labels, _integers(record, "attention_mask"))
    for place, (token, wanted) in enumerate(zip(ids, labels, strict=True)):
        if wanted not in (IGNORED_LABEL, token):
            raise RowError(
                f"label {wanted} at position {place} is neither the token there ({token}) nor "
                f"{IGNORED_LABEL}; labels stand unshifted beside input_ids"
            )
    if all(wanted == IGNORED_LABEL for wanted in labels[1:]):
        raise RowError("no token is learned: every label after the first is -100")
    return [Draft(rendering="tokens", input_ids=ids, labels=labels)]


def _as_long(ids: tuple[int, ...], values: tuple[int, ...], key: str) -> tuple[int, ...]:
    if len(values) != len(ids):
        raise RowError(f"field '{key}' has a length of {len(values)}, but there are {len(ids)} input_ids")
    return values


def _unpadded(
    ids: tuple[int, ...], labels: tuple[int, ...], mask: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Without the positions that the model is told not to look at."""
    if len(mask) != len(ids) or not any(mask):
        raise RowError(f"the attention_mask does not fit the {len(ids)} input_ids")
    kept = [place for place, flag in enumerate(mask) if flag]
    return tuple(ids[place] for place in kept), tuple(labels[place] for place in kept)


def _integers(record: Record, key: str) -> tuple[int, ...]:
    values = listed(record.get(key))
    if not values or not all(isinstance(value, int) for value in values):
        raise RowError(f"field '{key}' should be a list of whole numbers")
    return tuple(int(value) for value in values)


def read_messages(record: Record, options: Options) -> list[Draft]:
    key = (
        "conversations"
        if present(record, "conversations") and not present(record, "messages")
        else "messages"
    )
    return [conversation(record, turns(record, key, OPENAI), optional(record, "system"))]


def read_sharegpt(record: Record, options: Options) -> list[Draft]:
    key = (
        "messages"
        if present(record, "messages") and not present(record, "conversations")
        else "conversations"
    )
    return [conversation(record, turns(record, key, options.tags), optional(record, "system"))]


def read_swift_conversation(record: Record, options: Options) -> list[Draft]:
    messages: list[Message] = []
    for number, exchange in enumerate(listed(record.get("conversation")), start=1):
        if not isinstance(exchange, Mapping):
            raise RowError(
                f"field 'conversation', entry {number} should be an object with human and assistant"
            )
        system = optional(exchange, "system")
        messages += [
            *system_turns(system),
            user_turn(text(exchange, "human")),
            assistant_turn(text(exchange, "assistant")),
        ]
    if not messages:
        raise RowError("field 'conversation' should be a list of exchanges")
    return [conversation(record, tuple(messages), optional(record, "system"))]


def read_alpaca(record: Record, options: Options) -> list[Draft]:
    asked = (*history_turns(record), user_turn(instruction(record)))
    return [
        conversation(record, (*asked, assistant_turn(filled(record, "output"))), optional(record, "system"))
    ]


def read_instances(record: Record, options: Options) -> list[Draft]:
    """Self-Instruct's seed tasks: one instruction, several inputs and outputs, an example each."""
    instances = listed(record.get("instances"))
    if not instances:
        raise RowError("field 'instances' should be a list of objects with input and output")
    drafts = []
    for number, instance in enumerate(instances, start=1):
        if not isinstance(instance, Mapping):
            raise RowError(f"field 'instances', entry {number} should be an object with input and output")
        merged = {"instruction": record.get("instruction"), **instance}
        drafts += read_alpaca(merged, options)
    return drafts


def read_prompt_completion(record: Record, options: Options) -> list[Draft]:
    """TRL's pair: of strings (joined as they are), or of lists of messages."""
    if is_turns(record.get("prompt")) or is_turns(record.get("completion")):
        prompt = _as_turns(record, "prompt", user_turn)
        completion = _as_turns(record, "completion", assistant_turn)
        return [conversation(record, (*unlearned(prompt), *completion))]
    return [Draft((user_turn(text(record, "prompt")), assistant_turn(filled(record, "completion"))), "plain")]


def _as_turns(record: Record, key: str, alone: Callable[[str], Message]) -> tuple[Message, ...]:
    return turns(record, key, OPENAI) if is_turns(record.get(key)) else (alone(text(record, key)),)


def _exchange(question: str, answer: str) -> Callable[[Record, Options], list[Draft]]:
    """A reader of two text fields, with `history` and `system` where they stand."""

    def read(record: Record, options: Options) -> list[Draft]:
        asked = (
            *history_turns(record),
            user_turn(filled(record, question)),
            assistant_turn(filled(record, answer)),
        )
        return [conversation(record, asked, optional(record, "system"))]

    return read


def read_text(record: Record, options: Options) -> list[Draft]:
    return [Draft((assistant_turn(filled(record, "text")),), "plain")]


def read_columns(record: Record, options: Options) -> list[Draft]:
    mapping = options.columns
    if mapping.prompt is None or mapping.completion is None:
        raise RowError("the column mapping names no prompt and completion")
    prompt, completion, system = (
        "" if part is None else filled_in(part, record, mapping.unescape)
        for part in (mapping.prompt, mapping.completion, mapping.system)
    )
    if not prompt.strip():
        raise RowError("the prompt is empty")
    if not completion.strip():
        raise RowError("the completion is empty")
    return [Draft((*system_turns(system), user_turn(prompt), assistant_turn(completion)), mapping.rendering)]


FORMATS: tuple[Format, ...] = (
    Format(
        "tokens",
        '{"input_ids": [1, 5, 9], "labels": [-100, 5, 9]}',
        lambda record: isinstance(record.get("input_ids"), list),
        read_tokens,
    ),
    Format(
        "preference",
        '{"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away."}',
        lambda record: present(record, "chosen", "rejected"),
        read_preference,
    ),
    Format(
        "messages",
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}',
        lambda record: (
            is_objects(record.get("messages"), "role") or is_objects(record.get("conversations"), "role")
        ),
        read_messages,
    ),
    Format(
        "sharegpt",
        '{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}',
        lambda record: (
            is_objects(record.get("conversations"), "from") or is_objects(record.get("messages"), "from")
        ),
        read_sharegpt,
    ),
    Format(
        "swift-conversation",
        '{"conversation": [{"human": "Hi", "assistant": "Hello!"}]}',
        lambda record: is_objects(record.get("conversation"), "human"),
        read_swift_conversation,
    ),
    Format(
        "instances",
        '{"instruction": "Name a fruit.", "instances": [{"input": "", "output": "Fig"}]}',
        lambda record: present(record, "instruction", "instances"),
        read_instances,
    ),
    Format(
        "alpaca",
        '{"instruction": "Translate.", "input": "chat", "output": "cat"}',
        lambda record: present(record, "instruction", "output"),
        read_alpaca,
    ),
    Format(
        "prompt-completion",
        '{"prompt": "2+2=", "completion": "4"}',
        lambda record: present(record, "prompt", "completion"),
        read_prompt_completion,
    ),
    Format(
        "query-response",
        '{"query": "Hi", "response": "Hello!"}',
        lambda record: present(record, "query", "response"),
        _exchange("query", "response"),
    ),
    Format(
        "question-answer",
        '{"question": "2+2?", "answer": "4"}',
        lambda record: present(record, "question", "answer"),
        _exchange("question", "answer"),
    ),
    Format("text", '{"text": "Once upon a time."}', lambda record: present(record, "text"), read_text),
)
COLUMNS = Format("columns", "question⇥answer⇥rationale", lambda record: False, read_columns)
NAMES: tuple[str, ...] = (*(row.name for row in FORMATS), COLUMNS.name)


def named(name: str) -> Format | None:
    return next((row for row in (*FORMATS, COLUMNS) if row.name == name), None)


def detect(records: Sequence[Record]) -> Format | None:
    """The format that most of these records look like; of equals, the earlier in the table."""
    counts = [sum(row.detects(record) for record in records) for row in FORMATS]
    best = max(counts, default=0)
    return FORMATS[counts.index(best)] if best else None
