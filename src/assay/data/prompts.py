"""What a model is shown before it answers: an example's tokens up to those that it learns in its last turn.

The tokens are those of training, so a model is asked exactly as it was taught: by the chat template with its
generation prompt, by plain joining, or by ready ids up to the first label. Knows nothing of models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from assay.data.example import Example
from assay.data.render import Render, tokenize
from assay.errors import DataError

END_WITHIN = 2
"""An end-of-turn token is looked for among so many learned tokens at the end; a line break may follow it."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """The tokens before the answer of the example `id`, and the token that ends a right one, if one does.

    `joined` where the answer follows as plain text, so that a space between the two is the answer's own.
    """

    id: str
    input_ids: Int[np.ndarray, "t"]
    end: int | None
    joined: bool = False

    def __len__(self) -> int:
        return len(self.input_ids)


def prompts_of(
    examples: Sequence[Example], tokenizer: Any, *, render: Render = "auto", chat_template: str | None = None
) -> list[Prompt]:
    """The prompts of examples; `render` and `chat_template` as in `render.tokenize`.

    A loss weight of the user's on the last turn plays no part. Raises `DataError` for an id that is there
    twice and for an example without a prompt, and all that `tokenize` raises.
    """
    control = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    seen: set[str] = set()
    prompts = []
    for example in examples:
        if example.id in seen:
            raise DataError(
                f"{example.source}: the id {example.id} is there twice; questions need their own."
            )
        seen.add(example.id)
        prompts.append(_prompt(example, tokenizer, render, chat_template, control))
    return prompts


def _prompt(
    example: Example, tokenizer: Any, render: Render, chat_template: str | None, control: set[int]
) -> Prompt:
    ready = example.rendering == "tokens"
    if (ready and (example.labels or (0,))[0] >= 0) or (not ready and len(example.messages) < 2):
        raise DataError(f"{example.source}: example {example.id} has nothing before its completion to ask.")
    if not ready:
        last = replace(example.messages[-1], weight=None)
        example = replace(example, messages=(*example.messages[:-1], last))
    tokens = tokenize(example, tokenizer, loss_on="last", render=render, chat_template=chat_template)
    learned = np.flatnonzero(tokens.weights)
    final = tokens.input_ids[learned[-END_WITHIN:]].tolist()
    return Prompt(
        example.id,
        tokens.input_ids[: learned[0]],
        next((token for token in reversed(final) if token in control), None),
        joined=not ready and (render == "plain" or (render == "auto" and example.rendering == "plain")),
    )


def ends_of(prompts: Iterable[Prompt], tokenizer: Any) -> tuple[int, ...]:
    """Every token that ends an answer: those of the prompts' examples, and the tokenizer's EOS; sorted."""
    eos = tokenizer.eos_token_id
    ends = {prompt.end for prompt in prompts} | ({eos} if eos is not None else set())
    return tuple(sorted(end for end in ends if end is not None))


def written(tokenizer: Any, ids: Sequence[int]) -> str:
    """Token ids as text, without special tokens and with every space as the tokenizer has it."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def as_written(tokenizer: Any, text: str) -> str:
    """A text as this tokenizer would give it back: tokenizers that fold case or spaces change it."""
    return written(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"])
