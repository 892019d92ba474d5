"""The passes that need no gradient: losses and hidden states by forward passes, words without a model.

What they will take is said before. Knows nothing of methods.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.gradients.batch import Batch
from assay.gradients.engine import Engine
from assay.gradients.hidden import Pooling, cosines, hidden_features
from assay.methods.bm25 import Statistics, bm25_scores, statistics, words_of
from assay.models.trajectory import Checkpoint
from assay.runs.scores.expected import Passes, said, seconds_per_token
from assay.runs.scores.measuring import Measuring, Missing
from assay.runs.scores.needs import BY_HIDDEN_STATES, BY_WORDS, LOSS

POOLINGS: tuple[Pooling, ...] = ("rds", "embedding")
TOKEN_BYTES = 12
"""Of a token of the shard in memory: its id and its weight."""


def prepare(run: Measuring, kinds: Sequence[str], missing: Mapping[Checkpoint, Missing]) -> None:
    """Say what the passes of one kind over all these checkpoints take."""
    first = next(iter(missing))
    sample = run.pool.read_shard(min(missing[first]))
    largest = max(run.pool.shards, key=lambda shard: shard.tokens)
    size, asked = TOKEN_BYTES * largest.tokens, sum(map(len, run.queries.tokens))
    tokens = {one.name: float(run.tokens_of(lacking)) for one, lacking in missing.items()}
    if LOSS in kinds:
        with Engine(run.session.at(first)) as engine:
            budget = 1 if engine.one_at_a_time else run.config.token_budget
            seconds = seconds_per_token(sample, budget, _losses_of(engine))
        run.say(said("Losses", Passes(tokens, {}), seconds, size, "a shard of candidates"))
    elif set(kinds) <= set(BY_HIDDEN_STATES):
        model, wanted = run.session.at(first), _poolings(missing[first])
        features: dict[Pooling, np.ndarray] = {}

        def look(batch: list[Tokens]) -> None:
            features.update(hidden_features(model, batch, wanted, token_budget=run.config.token_budget))

        seconds = seconds_per_token(sample, run.config.token_budget, look)
        width = features[wanted[0]].shape[1]
        size += 4 * width * len(wanted) * (max(one.examples for one in run.pool.shards) + len(run.queries))
        besides = dict.fromkeys(tokens, float(asked))
        run.say(said("Hidden states", Passes(tokens, besides), seconds, size, "features of a shard"))
    else:
        queries = [one.input_ids for one in run.queries.tokens]
        few = sample[: max(1, run.config.token_budget // 8)]
        seconds = seconds_per_token(few, run.pool.tokens, lambda batch: _scored(batch, queries))
        size += 8 * max(one.examples for one in run.pool.shards) * len(queries)
        run.say(said("Words", Passes(tokens, {}), seconds, size, "a shard of candidates"))


def losses(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    """For shards that no pass by gradients has been over."""
    with Engine(run.session.at(checkpoint)) as engine, _stage(run, f"{label}: losses", missing) as advance:
        engine.check(run.pool.read_shard(min(missing)))
        look = _losses_of(engine)
        for shard in missing:
            tokens = run.pool.read_shard(shard)
            found = np.empty(len(tokens))
            budget = 1 if engine.one_at_a_time else run.config.token_budget
            for rows in token_budget_batches([len(one) for one in tokens], budget):
                batch = [tokens[row] for row in rows]
                found[rows] = look(batch)
                advance(sum(map(len, batch)))
            run.write(checkpoint, LOSS, shard, loss=found)


def hidden_states(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    model, wanted = run.session.at(checkpoint), _poolings(missing)
    budget = run.config.token_budget
    asked = hidden_features(model, run.queries.tokens, wanted, token_budget=budget)
    with _stage(run, f"{label}: hidden states", missing) as advance:
        for shard, names in missing.items():
            mine = [name for name in wanted if name in names]
            found = hidden_features(model, run.pool.read_shard(shard), mine, token_budget=budget)
            for name in mine:
                dot = cosines(found[name], asked[name])
                run.write(checkpoint, name, shard, dot=dot, features=found[name])
            advance(run.pool.shards[shard].tokens)


def words(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    """BM25: the whole pool is counted, then what is missing is scored."""
    queries = [tokens.input_ids for tokens in run.queries.tokens]
    asked = words_of(queries)
    total: Statistics | None = None
    work = run.pool.tokens + run.tokens_of(missing)
    with run.progress.stage(f"{label}: words", work, "tokens") as advance:
        for shard in range(len(run.pool.shards)):
            here = statistics(_ids(run.pool.read_shard(shard)), asked)
            total = here if total is None else total + here
            advance(run.pool.shards[shard].tokens)
        assert total is not None
        for shard in missing:
            dot = bm25_scores(_ids(run.pool.read_shard(shard)), queries, total)
            run.write(checkpoint, BY_WORDS[0], shard, dot=dot)
            advance(run.pool.shards[shard].tokens)


@contextmanager
def _stage(run: Measuring, label: str, missing: Missing) -> Iterator[Callable[[float], None]]:
    with run.progress.stage(label, run.tokens_of(missing), "tokens") as advance:
        yield advance


def _losses_of(engine: Engine) -> Callable[[list[Tokens]], np.ndarray]:
    def look(batch: list[Tokens]) -> np.ndarray:
        found: np.ndarray = engine.losses(Batch.of(batch, engine.device)).cpu().numpy()
        return found

    return look


def _poolings(missing: Missing) -> list[Pooling]:
    return [name for name in POOLINGS if any(name in names for names in missing.values())]


def _scored(batch: Sequence[Tokens], queries: Sequence[np.ndarray]) -> np.ndarray:
    return bm25_scores(_ids(batch), queries, statistics(_ids(batch), words_of(queries)))


def _ids(tokens: Sequence[Tokens]) -> list[np.ndarray]:
    return [example.input_ids for example in tokens]
