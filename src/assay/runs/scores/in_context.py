"""The passes of in-context influence, shard by shard: how hard candidates are alone and given their prompts,
where the prompts lie, how complex they are, and how hard queries are behind a candidate as a demonstration.

What they will take is said before. Knows nothing of methods.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.data.example import Tokens
from assay.data.joining import comparable
from assay.data.texts import content_key
from assay.incontext.choosing import Chosen, choose, choose_nearest
from assay.incontext.neighbours import NOBODY
from assay.incontext.perplexity import Nll, alone, mean_nll
from assay.incontext.shown import shown_nll
from assay.methods.in_context import ratio
from assay.models.loading import context_length
from assay.models.trajectory import Checkpoint
from assay.progress import Advance
from assay.runs.scores import prompts
from assay.runs.scores.expected import Passes, said, seconds_per_token
from assay.runs.scores.joined import JoinedPool, join_queries
from assay.runs.scores.measuring import Measuring, Missing
from assay.runs.scores.needs import COMPLEXITY, DIFFICULTY, ON_ANCHORS, ON_OWN_QUERIES, PROMPT
from assay.runs.scores.store import QUERIES

TOKEN_BYTES = 12
"""Of a token of the shard in memory: its id and its weight."""
CANDIDATE_BYTES = 50
"""Of a candidate of the pool: two labels, two perplexities, its complexity, whether it can be a query."""

Shards = Sequence[int]


def prepare(run: Measuring, kinds: Sequence[str], missing: Mapping[Checkpoint, Missing]) -> None:
    """Say what the passes in context take over all these checkpoints."""
    prompts.require_models(
        run, {name for mine in missing.values() for names in mine.values() for name in names}
    )
    first = next(iter(missing))
    model, budget = run.session.at(first), run.config.token_budget
    sample = run.pool.read_shard(min(missing[first]))
    seconds = seconds_per_token(sample, budget, lambda batch: mean_nll(model, batch, token_budget=budget))
    tokens = {one.name: float(run.tokens_of(mine)) for one, mine in missing.items()}
    besides = {one.name: _tokens_read(run, mine) - tokens[one.name] for one, mine in missing.items()}
    largest = max(shard.tokens for shard in run.pool.shards)
    size = TOKEN_BYTES * largest * (2 + run.config.clusters) + CANDIDATE_BYTES * run.pool.examples
    run.say(said("In context", Passes(tokens, besides), seconds, size, "a shard and its queries"))


def in_context(run: Measuring, checkpoint: Checkpoint, missing: Missing, label: str) -> None:
    """Bring what is missing into the store, each measure behind those that it is made from."""
    for name, passing in PASSES.items():
        mine = [shard for shard, names in missing.items() if name in names]
        if mine:
            passing(run, checkpoint, mine, label)


def _difficulty(run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str) -> None:
    """Nats per learned token alone and given the prompt, over the same tokens."""
    model, limits, bos = run.session.at(checkpoint), _limits(run), run.session.tokenizer.bos_token_id
    with _stage(run, f"{label}: difficulty", shards) as advance:
        for shard in shards:
            tokens = run.pool.read_shard(shard)
            by_itself = mean_nll(model, [alone(one, bos) for one in tokens], **limits)
            given = mean_nll(model, [comparable(one, bos) for one in tokens], **limits)
            run.write(
                checkpoint,
                DIFFICULTY,
                shard,
                alone=by_itself.nll,
                given=given.nll,
                alone_reason=by_itself.reason,
                given_reason=given.reason,
            )
            advance(run.pool.shards[shard].tokens)


def _complexity(run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str) -> None:
    with _stage(run, f"{label}: complexity", shards) as advance:
        for shard, found in _complexities(run, checkpoint, shards):
            run.write(checkpoint, COMPLEXITY, shard, complexity=np.asarray(found, dtype=np.float64))
            advance(run.pool.shards[shard].tokens)


def _complexities(
    run: Measuring, checkpoint: Checkpoint, shards: Shards
) -> Iterator[tuple[int, Float[np.ndarray, "n"]]]:
    """By the difficulty, by the number of learned tokens, or by a scorer's grades of the prompts."""
    if run.config.complexity == DIFFICULTY:
        for shard in shards:
            known = run.of_shard(checkpoint, DIFFICULTY, shard)
            yield shard, ratio(known["given"], known["alone"])
    elif run.config.complexity == prompts.LENGTH:
        for shard in shards:
            yield shard, np.array([one.completion_tokens for one in run.pool.read_shard(shard)])
    else:
        yield from prompts.graded(run, run.config.complexity, shards)


def _prompts(run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str) -> None:
    prompts.features_file(run.out, checkpoint).unlink(missing_ok=True)
    with _stage(run, f"{label}: prompts", shards) as advance:
        for shard, states in prompts.states(run, checkpoint, shards):
            run.write(checkpoint, PROMPT, shard, states=states)
            advance(run.pool.shards[shard].tokens)


def _on_own_queries(
    run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str, *, clustered: bool
) -> None:
    """Each candidate before its own queries, which are chosen among the whole pool."""
    measure = ON_OWN_QUERIES[0 if clustered else 1]
    joined, model = _joined(run), run.session.at(checkpoint)
    features, labels = prompts.features_of(run, checkpoint), prompts.labels_of(run)
    by_itself, given, complexity = (
        _of_pool(run, checkpoint, *place)
        for place in ((DIFFICULTY, "alone"), (DIFFICULTY, "given"), (COMPLEXITY, "complexity"))
    )
    asked: dict[str, Any] = {
        "labels": labels,
        "complexity": complexity,
        "count": run.config.clusters,
        "eligible": joined.queries() & np.isfinite(ratio(given, by_itself)),
        "device": next(model.parameters()).device,
    }
    what = "in context" if clustered else "in context of the nearest"
    with _stage(run, f"{label}: {what}", shards) as advance:
        for shard in shards:
            part = run.pool.slices[shard]
            rows = np.arange(part.start, part.stop)
            if clustered:
                ids = [one.id for one in run.pool.read_shard(shard)]
                chosen = choose(
                    features, rows, ids, **asked, neighbours=run.config.neighbours, seed=run.config.seed
                )
            else:
                chosen = choose_nearest(features, rows, **asked)
            found = _shown(run, model, joined, shard, chosen)
            there = np.maximum(chosen.positions, 0)
            nobody = chosen.positions == NOBODY
            run.write(
                checkpoint,
                measure,
                shard,
                queries=chosen.positions,
                cosine=chosen.cosines,
                query_alone=np.where(nobody, np.nan, by_itself[there]),
                query_given=np.where(nobody, np.nan, given[there]),
                shown=found.nll,
                reason=found.reason,
            )
            advance(run.pool.shards[shard].tokens)


def _clustered(run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str) -> None:
    _on_own_queries(run, checkpoint, shards, label, clustered=True)


def _nearest(run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str) -> None:
    _on_own_queries(run, checkpoint, shards, label, clustered=False)


def _shown(run: Measuring, model: Any, joined: JoinedPool, shard: int, chosen: Chosen) -> Nll:
    """How hard the chosen queries are behind each candidate of a shard."""
    followings = joined.followings(chosen.positions[chosen.positions != NOBODY])
    rows = [[followings.get(at) for at in row] for row in chosen.positions.tolist()]
    return shown_nll(model, joined.openings(shard), rows, **_limits(run))


def _on_anchors(run: Measuring, checkpoint: Checkpoint, shards: Shards, label: str) -> None:
    """Each candidate before every query of the user's; none before one that says the same."""
    joined, model, bos = _joined(run), run.session.at(checkpoint), run.session.tokenizer.bos_token_id
    longest = context_length(run.session.model.config)
    examples = run.queries.examples
    followings = join_queries(examples, run.config, run.session.tokenizer, longest)
    if not run.has(checkpoint, ON_ANCHORS, QUERIES):
        given = mean_nll(model, [comparable(one, bos) for one in run.queries.tokens], **_limits(run))
        run.write(checkpoint, ON_ANCHORS, QUERIES, query_given=given.nll)
    keys = [content_key(example) for example in examples]
    same = run.pool.places_of(keys)
    with _stage(run, f"{label}: before queries", shards) as advance:
        for shard in shards:
            openings, part = joined.openings(shard), run.pool.slices[shard]
            rows: list[list[Tokens | None]] = [list(followings) for _ in openings]
            for query, key in enumerate(keys):
                for at in same.get(key, ()):
                    if part.start <= at < part.stop:
                        rows[at - part.start][query] = None
            found = shown_nll(model, openings, rows, **_limits(run))
            run.write(checkpoint, ON_ANCHORS, shard, shown=found.nll, reason=found.reason)
            advance(run.pool.shards[shard].tokens)


PASSES: dict[str, Callable[[Measuring, Checkpoint, Shards, str], None]] = {
    DIFFICULTY: _difficulty,
    COMPLEXITY: _complexity,
    PROMPT: _prompts,
    ON_OWN_QUERIES[0]: _clustered,
    ON_OWN_QUERIES[1]: _nearest,
    ON_ANCHORS: _on_anchors,
}
"""By measure, in an order in which each finds what it needs."""


def _tokens_read(run: Measuring, missing: Missing) -> float:
    """About how many tokens pass through the model; queries are taken to be as long as candidates are."""
    total, asked = 0.0, sum(map(len, run.queries.tokens))
    for shard, names in missing.items():
        pool = run.pool.shards[shard]
        alone, behind = pool.completion_tokens + pool.examples, pool.examples * asked
        each = {
            DIFFICULTY: pool.tokens + alone,
            PROMPT: pool.tokens - pool.completion_tokens,
            **dict.fromkeys(ON_OWN_QUERIES, (1 + run.config.clusters) * pool.tokens),
            ON_ANCHORS: pool.tokens + behind,
        }
        total += sum(each.get(name, 0) for name in names)
    return total


def _joined(run: Measuring) -> JoinedPool:
    assert run.joined is not None, "the pool was not joined"
    return run.joined


def _limits(run: Measuring) -> dict[str, Any]:
    return {"token_budget": run.config.token_budget, "context": context_length(run.session.model.config)}


def _of_pool(run: Measuring, checkpoint: Checkpoint, measure: str, name: str) -> Float[np.ndarray, "n"]:
    parts = [run.of_shard(checkpoint, measure, shard)[name] for shard in range(len(run.pool.shards))]
    return np.concatenate(parts)


def _stage(run: Measuring, label: str, shards: Shards) -> AbstractContextManager[Advance]:
    return run.progress.stage(label, sum(run.pool.shards[shard].tokens for shard in shards), "tokens")
