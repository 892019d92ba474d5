"""All candidates as token shards on disk, so that memory does not grow with their number.

Examples are read, rendered and written one after another; what is kept of those that have passed are their
ids. Knows a tokenizer, but no model and no queries.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from assay.data.example import Reject
from assay.data.labels import CLUSTER_PREFIX, read_mapping
from assay.data.numbering import Numbering
from assay.data.readers import stream_examples
from assay.data.rejects import reject_line
from assay.data.render import Tokenizing
from assay.data.texts import counted
from assay.errors import ConfigError, DataError
from assay.files import whole, write_json
from assay.fingerprint import fingerprint
from assay.progress import SILENT, Advance, Progress
from assay.runs.config import DataConfig, SetConfig
from assay.runs.folder import require_writable
from assay.runs.inputs import reading_options, rendering_options
from assay.runs.scores.pool_index import MANIFEST, REJECTS, TABLE, PoolIndex, PoolShard, read_index
from assay.runs.scores.pool_settings import pool_settings
from assay.runs.scores.pool_shards import (
    CANDIDATES,
    Candidate,
    candidate,
    table_of,
    tokens_digest,
    write_tokens,
)
from assay.runs.scores.pool_sources import read_whole, rows_about, stamps

__all__ = ["PoolIndex", "PoolShard", "ids_as_written", "prepare_pool"]

SHARD_TOKENS, SHARD_EXAMPLES = 200_000, 2_000
"""Where a shard ends, whichever comes first."""


def prepare_pool(
    sets: Sequence[SetConfig],
    config: DataConfig,
    tokenizer: Any,
    longest: int | None,
    folder: Path,
    *,
    tasks: str | None = None,
    fields: Mapping[str, Any] | None = None,
    shard_tokens: int = SHARD_TOKENS,
    shard_examples: int = SHARD_EXAMPLES,
    progress: Progress = SILENT,
) -> PoolIndex:
    """Write the candidates of all `sets` into `folder`, or find them there.

    `longest` is how many tokens the model takes, None if unknown; `tasks` a file of labels by example id;
    `fields` are further settings that the caller wants compared. `folder` then holds shards of about
    `shard_tokens` tokens, `candidates.parquet`, `rejects.jsonl` where rows were set aside, and last
    `manifest.json`. Without a manifest everything is done from the start, with the same result; with one that
    was made with the same settings, files and tokenizer nothing is.

    Raises ResumeError for a manifest of other settings, naming them; ConfigError for a folder that cannot be
    written to and options that cannot be; DataError as `read_examples` and `tokenize_all` do, for a file of
    which nothing can be used, and for one that is written to meanwhile.
    """
    if not sets:
        raise ConfigError("candidates: at least one file is needed (--candidates FILE).")
    if tasks is not None and tasks.startswith(CLUSTER_PREFIX) and not Path(tasks).exists():
        raise ConfigError(
            f"--tasks {tasks}: clustering needs all prompts of the pool at once; give a file of labels by id."
        )
    require_writable(folder)
    before = [stamps(entry.file) for entry in sets]
    rendering = rendering_options(config, longest=longest)
    cut = {"shard_tokens": shard_tokens, "shard_examples": shard_examples}
    settings = pool_settings(sets, config, tokenizer, rendering, tasks, cut, fields or {})
    found = read_index(folder, settings)
    if found is not None:
        return found
    _clear(folder)
    notes: list[str] = []
    with _bar(sets, progress) as advance:
        outcomes = _outcomes(sets, config, tokenizer, rendering, tasks, notes)
        shards, rejects = _write(folder, outcomes, shard_tokens, shard_examples, advance)
    for entry, stamp in zip(sets, before, strict=True):
        if stamps(entry.file) != stamp:
            raise DataError(f"{entry.file} was written to while it was read; run the same command again.")
    manifest = {
        "fingerprint": fingerprint(settings),
        "examples": sum(shard.examples for shard in shards),
        "tokens": sum(shard.tokens for shard in shards),
        "rejects": rejects,
        "table_bytes": (folder / TABLE).stat().st_size,
        "settings": settings,
        "shards": [asdict(shard) for shard in shards],
        "notes": notes,
    }
    write_json(folder / MANIFEST, manifest)
    return PoolIndex(folder, fingerprint(settings), tuple(shards), rejects, tuple(notes))


def _outcomes(
    sets: Sequence[SetConfig],
    config: DataConfig,
    tokenizer: Any,
    rendering: Mapping[str, Any],
    tasks: str | None,
    notes: list[str],
) -> Iterator[Candidate | Reject]:
    """Candidates and rejects of all files in order; sentences on each file are added to `notes` behind it."""
    labels = {} if tasks is None else read_mapping(tasks)
    labelled = 0
    numbering = Numbering(lambda: ids_as_written(sets, config))
    for entry in sets:
        stream = stream_examples(entry.file, **reading_options(entry, config), numbering=numbering)
        tokenizing = Tokenizing(tokenizer, **rendering)
        usable, first = 0, None
        for outcome in stream:
            if isinstance(outcome, Reject):
                yield outcome
                continue
            tokens = tokenizing.tokens(outcome)
            if isinstance(tokens, Reject):
                first = first or tokens
                yield tokens
                continue
            usable += 1
            labelled += outcome.id in labels
            yield candidate(outcome, tokens, labels.get(outcome.id, outcome.task))
        if first is not None and not usable:
            raise DataError(f"{entry.file}: no candidate can be used; {first.source}: {first.reason}")
        notes += [*stream.notes, *(f"{entry.file}: {note}" for note in tokenizing.notes)]
        if read_whole(entry.file):
            notes.append(f"{entry.file}: such a file is read whole into memory; as .jsonl it would not be.")
    if len(sets) > 1 and numbering.repeated:
        notes.append(
            f"Ids are made unique over all {len(sets)} files of candidates: "
            f"{counted(numbering.repeated, 'id')} stood in the same file before or in an earlier one."
        )
    if labels and not labelled:
        notes.append(f"{tasks}: none of its {counted(len(labels), 'id')} is the id of a candidate.")


def ids_as_written(sets: Sequence[SetConfig], config: DataConfig) -> Iterator[str]:
    """The ids of all candidates as they stand in the files."""
    lenient = config.model_copy(update={"on_bad_rows": "skip"})
    for entry in sets:
        yield from stream_examples(entry.file, **reading_options(entry, lenient)).ids()


def _write(
    folder: Path, outcomes: Iterable[Candidate | Reject], tokens: int, examples: int, advance: Advance
) -> tuple[list[PoolShard], int]:
    """Write shards as they fill, table and rejects row by row; the shards, and how many were rejected."""
    shards: list[PoolShard] = []
    rejects = 0
    with (
        whole(folder / TABLE) as table,
        whole(folder / REJECTS) as aside,
        pq.ParquetWriter(table, CANDIDATES, compression="zstd", write_statistics=False) as writer,
        aside.open("w", encoding="utf-8") as lines,
    ):

        def kept() -> Iterator[Candidate]:
            nonlocal rejects
            for outcome in outcomes:
                if isinstance(outcome, Reject):
                    rejects += 1
                    lines.write(reject_line(outcome))
                else:
                    yield outcome

        def written(part: Sequence[Candidate]) -> PoolShard:
            first = shards[-1].first + shards[-1].examples if shards else 0
            writer.write_table(table_of(part))
            return _write_shard(folder, len(shards), first, part)

        for shard in map(written, _parts(kept(), tokens, examples)):  # holds no part while the next one fills
            shards.append(shard)
            advance(shard.examples)
    if not rejects:
        (folder / REJECTS).unlink()
    return shards, rejects


def _parts(candidates: Iterable[Candidate], tokens: int, examples: int) -> Iterator[list[Candidate]]:
    """Candidates in runs of at most so many examples and, but for one alone, so many tokens."""
    part: list[Candidate] = []
    length = 0
    for one in candidates:
        if part and (len(part) == examples or length + len(one.tokens) > tokens):
            yield part
            part, length = [], 0
        part.append(one)
        length += len(one.tokens)
    if part:
        yield part


def _write_shard(folder: Path, number: int, first: int, part: Sequence[Candidate]) -> PoolShard:
    path = folder / f"shard-{number:05d}.safetensors"
    write_tokens(path, part)
    tokens = [one.tokens for one in part]
    return PoolShard(
        file=path.name,
        first=first,
        examples=len(part),
        tokens=sum(map(len, tokens)),
        completion_tokens=sum(one.completion_tokens for one in tokens),
        bytes=path.stat().st_size,
        digest=tokens_digest(tokens),
    )


def _bar(sets: Sequence[SetConfig], progress: Progress) -> AbstractContextManager[Advance]:
    """A bar over rows, where it is cheap to know about how many there are."""
    counts = [rows_about(entry.file) for entry in sets]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return nullcontext(lambda amount: None)
    return progress.stage("Reading candidates", sum(known), "candidates")


def _clear(folder: Path) -> None:
    """Take away what an earlier preparation left behind, the manifest first."""
    for pattern in (MANIFEST, TABLE, REJECTS, "shard-*.safetensors", ".*.part"):
        for path in folder.glob(pattern):
            path.unlink()
