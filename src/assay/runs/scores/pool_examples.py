"""The examples behind a prepared pool, read once more from their files, shard by shard.

For what needs their words: tokens alone do not tell turns apart. Knows no tokenizer and no model.
"""

from collections.abc import Iterator

from assay.data.example import Example, Reject
from assay.data.numbering import Numbering
from assay.data.readers import stream_examples
from assay.errors import DataError
from assay.runs.inputs import reading_options
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.pool import PoolIndex, ids_as_written


def examples_by_shard(pool: PoolIndex, config: ScoreConfig) -> Iterator[list[Example]]:
    """The examples of every shard, in the order of its tokens; those that were set aside are passed over.

    The files are the ones that the pool was prepared from, under the same settings. Raises DataError where
    one of its candidates does not come any more.
    """
    examples = _examples(config)
    for number in range(len(pool.shards)):
        found = []
        for tokens in pool.read_shard(number):
            example = next((one for one in examples if one.id == tokens.id), None)
            if example is None:
                raise DataError(
                    f"The candidate {tokens.id} is not in its file any more; give another --out to read the "
                    "candidates again."
                )
            found.append(example)
        yield found


def _examples(config: ScoreConfig) -> Iterator[Example]:
    numbering = Numbering(lambda: ids_as_written(config.candidates, config))
    for entry in config.candidates:
        for outcome in stream_examples(entry.file, **reading_options(entry, config), numbering=numbering):
            if not isinstance(outcome, Reject):
                yield outcome
