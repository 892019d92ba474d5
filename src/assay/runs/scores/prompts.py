"""What is known of the candidates' prompts: where they lie, how complex a scorer finds them, which are equal.

Hidden states are those of the model in use; other models read the prompts' words. Knows nothing of queries.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from assay.data.example import Example, Tokens
from assay.data.texts import completion_text, prompt_text
from assay.errors import ConfigError, ModelError
from assay.files import whole
from assay.fingerprint import digest
from assay.incontext.complexity import complexity, grade_ids
from assay.incontext.features import centred, mean_of, prompt_ids, prompt_states
from assay.incontext.sentences import Sentences
from assay.models.loading import load_config, load_model, load_tokenizer, resolve_device, resolve_dtype
from assay.models.trajectory import Checkpoint
from assay.runs.scores.measuring import Measuring
from assay.runs.scores.needs import COMPLEXITY, DIFFICULTY, PROMPT
from assay.runs.scores.pool_examples import examples_by_shard
from assay.runs.scores.store import PROMPTS

HIDDEN = "hidden"
LENGTH = "length"


def states(
    run: Measuring, checkpoint: Checkpoint, shards: Sequence[int]
) -> Iterator[tuple[int, Float[np.ndarray, "n h"]]]:
    """The state of every prompt of these shards, neither centred nor scaled; NaN where it is not finite."""
    if run.config.embeddings == HIDDEN:
        model = run.session.at(checkpoint)
        for shard in shards:
            tokens = run.pool.read_shard(shard)
            yield shard, prompt_states(model, tokens, token_budget=run.config.token_budget)
        return
    sentences = Sentences(run.config.embeddings, run.config.device)
    cut = 0
    for shard, prompts in _worded(run, shards):
        cut += sentences.cut(prompts)
        yield shard, sentences.states(prompts)
    if cut:
        run.say(
            f"{cut:,} prompts are longer than the {sentences.longest:,} tokens that {sentences.name} reads, "
            "and are placed by their beginnings."
        )


def graded(
    run: Measuring, scorer: str, shards: Sequence[int]
) -> Iterator[tuple[int, Float[np.ndarray, "n"]]]:
    """The complexity of every prompt of these shards by a scorer's grades; NaN where there is none."""
    config = run.config
    model = load_model(
        scorer,
        device=resolve_device(config.device),
        dtype=resolve_dtype(config.dtype),
        allow_pickle=config.allow_pickle,
    )
    tokenizer = load_tokenizer([scorer])
    for shard, prompts in _worded(run, shards):
        yield shard, complexity(model, tokenizer, prompts, token_budget=config.token_budget)


def require_models(run: Measuring, measures: Collection[str]) -> None:
    """Raise ConfigError or ModelError where a model that an option names is not there or does not fit."""
    if PROMPT in measures and run.config.embeddings != HIDDEN:
        Sentences(run.config.embeddings, run.config.device)
    if COMPLEXITY in measures and run.config.complexity not in (DIFFICULTY, LENGTH):
        _require_scorer(run.config.complexity)


def _require_scorer(name: str) -> None:
    try:
        load_config(name)
        tokenizer = load_tokenizer([name])
    except ModelError as error:
        raise ConfigError(
            f"--complexity {name}: it is neither ifd nor length, and there is no model of that name; give a "
            "folder or a hub id of a scorer."
        ) from error
    grade_ids(tokenizer)


def features_of(run: Measuring, checkpoint: Checkpoint) -> Float[np.ndarray, "n h"]:
    """f(x) of the whole pool at unit length, float32, on disk: hidden states without the pool's mean.

    A row is NaN where there is no direction. All shards must have been measured.
    """
    path = features_file(run.out, checkpoint)
    if not path.is_file():
        mean = mean_of(_stored(run, checkpoint)) if run.config.embeddings == HIDDEN else None
        width = next(_stored(run, checkpoint)).shape[1]
        with whole(path) as temporary:
            shape = (run.pool.examples, width)
            found = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            for rows, block in zip(run.pool.slices, _stored(run, checkpoint), strict=True):
                found[rows] = centred(block, mean)
            found.flush()
            del found
    found_there: Float[np.ndarray, "n h"] = np.load(path, mmap_mode="r")
    return found_there


def features_file(out: Path, checkpoint: Checkpoint) -> Path:
    """Where the features of the pool lie, once they are made."""
    return out / PROMPTS / f"{checkpoint.name}.npy"


def labels_of(run: Measuring) -> Int[np.ndarray, "n 2"]:
    """Numbers that are equal for candidates that say the same, and for those with the very same prompt."""
    contents = np.array([_number(key) for key in run.pool.contents()], dtype=np.int64)
    prompts = np.empty(len(contents), dtype=np.int64)
    for shard, rows in enumerate(run.pool.slices):
        tokens = run.pool.read_shard(shard)
        prompts[rows] = [_number(digest(prompt_ids(one).tobytes())) for one in tokens]
    return np.stack([contents, prompts], axis=1)


def _stored(run: Measuring, checkpoint: Checkpoint) -> Iterator[Float[np.ndarray, "b h"]]:
    for shard in range(len(run.pool.shards)):
        yield run.of_shard(checkpoint, PROMPT, shard)["states"]


def _worded(run: Measuring, shards: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """The words of every prompt of these shards."""
    tokenizer = run.session.tokenizer
    for shard, examples in enumerate(examples_by_shard(run.pool, run.config)):
        if shard in shards:
            tokens = run.pool.read_shard(shard)
            yield shard, [_words(tokenizer, *pair) for pair in zip(examples, tokens, strict=True)]


def _words(tokenizer: Any, example: Example, tokens: Tokens) -> str:
    """The prompt; of an example without one what there is to read."""
    said = prompt_text(example) or completion_text(example)
    return said or str(tokenizer.decode(prompt_ids(tokens).tolist(), skip_special_tokens=True))


def _number(key: str) -> int:
    """63 bits of a digest in hexadecimal digits."""
    return int(key, 16) >> 1
