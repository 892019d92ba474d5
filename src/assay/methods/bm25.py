"""BM25: how many rare tokens two texts share, without any model (Robertson and Zaragoza 2009).

Works on token ids, so on every language a tokenizer knows, with or without spaces between words. Candidates
and queries are meant to be whole examples, prompt and completion: what an example is about mostly stands in
its prompt. Tokens that a chat template puts into every example are in all documents; their idf is next to 0.

A large pool is read twice: statistics of its shards are added up first, then any block of it is scored with
their sum. A document's score does not depend on the block it stands in, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

K1, B = 1.5, 0.75

Texts = Sequence[Int[np.ndarray, "t"]]
NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Of some documents: how many hold each of `words` (sorted token ids), and how many tokens they have."""

    words: Int[np.ndarray, "w"]
    holding: Int[np.ndarray, "w"]
    documents: int
    tokens: int

    def __add__(self, other: "Statistics") -> "Statistics":
        """Statistics of both parts of a pool, counted for the same words (else ValueError)."""
        if not np.array_equal(self.words, other.words):
            raise ValueError("statistics of different words cannot be added")
        return Statistics(
            self.words,
            self.holding + other.holding,
            self.documents + other.documents,
            self.tokens + other.tokens,
        )


def words_of(queries: Texts) -> Int[np.ndarray, "w"]:
    """The token ids that any query asks for, sorted."""
    return np.unique(np.concatenate([NOTHING, *queries]).astype(np.int64))


def statistics(documents: Texts, words: Int[np.ndarray, "w"]) -> Statistics:
    """Of one part of the pool; parts are added."""
    holding = np.asarray((_counts(documents, words) > 0).sum(axis=0), dtype=np.int64)
    return Statistics(words, holding, len(documents), sum(map(len, documents)))


def bm25_scores(documents: Texts, queries: Texts, pool: Statistics) -> Float[np.ndarray, "d q"]:
    """Score of some documents of the pool for every query; 0 or more, higher is more alike.

    score(d, q) = Σ_{w in q} idf(w) · f(w, d) (k₁ + 1) / (f(w, d) + k₁ (1 − b + b |d| / mean |d|)), each word
    of a query counted once, with idf(w) = log(1 + (D − n_w + ½) / (n_w + ½)). D (documents), n_w (those that
    hold w) and mean |d| are the pool's.
    """
    counts = _counts(documents, pool.words)
    lengths = np.array([len(document) for document in documents], dtype=np.float64)
    norm = K1 * (1 - B + B * lengths / max(1.0, pool.tokens / max(1, pool.documents)))
    idf = np.log1p((pool.documents - pool.holding + 0.5) / (pool.holding + 0.5))
    row = np.repeat(np.arange(len(documents)), np.diff(counts.indptr))
    weights = counts.copy()
    weights.data = idf[counts.indices] * counts.data * (K1 + 1) / (counts.data + norm[row])
    asked = (_counts(queries, pool.words) > 0).astype(np.float64)
    return np.asarray((weights @ asked.T).toarray())


def bm25(documents: Texts, queries: Texts) -> Float[np.ndarray, "d q"]:
    """Scores of a whole pool at once, as `bm25_scores` gives them."""
    return bm25_scores(documents, queries, statistics(documents, words_of(queries)))


def _counts(texts: Texts, words: Int[np.ndarray, "w"]) -> csr_array:
    """How often each text holds each word (texts, words); words nobody asked for are not counted."""
    columns, times, ends = [NOTHING], [NOTHING], [0]
    for text in texts:
        found, count = np.unique(np.asarray(text, dtype=np.int64), return_counts=True)
        place = np.searchsorted(words, found)
        known = place < len(words)
        known[known] = words[place[known]] == found[known]
        columns.append(place[known])
        times.append(count[known])
        ends.append(ends[-1] + int(known.sum()))
    return csr_array(
        (
            np.concatenate(times).astype(np.float64),
            np.concatenate(columns),
            np.array(ends, dtype=np.int64),
        ),
        shape=(len(texts), len(words)),
    )
