"""BM25 against its formula by hand, against a dense computation, and in parts against the whole."""

import math

import numpy as np
import pytest

from assay.methods.bm25 import K1, B, bm25, bm25_scores, statistics, words_of


def texts(count: int, seed: int, vocabulary: int = 300) -> list[np.ndarray]:
    """Token ids with a few common ones, as in a language."""
    rng = np.random.default_rng(seed)
    return [
        (vocabulary * rng.random(rng.integers(1, 60)) ** 3).astype(rng.choice([np.int64, np.int32]))
        for _ in range(count)
    ]


def dense(documents: list[np.ndarray], queries: list[np.ndarray]) -> np.ndarray:
    """The formula over a table of all documents and words."""
    vocabulary = 1 + max(int(text.max()) for text in (*documents, *queries))
    counts = np.array([np.bincount(text, minlength=vocabulary) for text in documents], dtype=float)
    asked = np.array([np.bincount(text, minlength=vocabulary) > 0 for text in queries], dtype=float)
    lengths, holding = counts.sum(1), (counts > 0).sum(0)
    idf = np.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
    norm = K1 * (1 - B + B * lengths / lengths.mean())
    return (idf * counts * (K1 + 1) / (counts + norm[:, None])) @ asked.T


def test_the_formula_by_hand():
    documents = [np.array([1, 1, 2]), np.array([2, 3, 3, 3, 4]), np.array([5])]
    scores = bm25(documents, [np.array([1, 1, 3]), np.array([9])])
    mean = (3 + 5 + 1) / 3

    def part(times, length, holding):
        idf = math.log(1 + (3 - holding + 0.5) / (holding + 0.5))
        return idf * times * (K1 + 1) / (times + K1 * (1 - B + B * length / mean))

    assert scores[0, 0] == pytest.approx(part(2, 3, 1))
    assert scores[1, 0] == pytest.approx(part(3, 5, 1))
    assert scores[2, 0] == 0
    assert scores[:, 1].tolist() == [0, 0, 0]


def test_scores_are_those_of_a_dense_table_of_counts():
    documents, queries = texts(200, 0), texts(12, 1)
    found = bm25(documents, queries)
    assert found.shape == (200, 12)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, dense(documents, queries), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [1, 7, 64, 200])
def test_a_pool_read_in_parts_scores_as_the_whole_to_the_bit(block):
    documents, queries = texts(200, 0), texts(12, 1)
    words = words_of(queries)
    parts = [documents[start : start + block] for start in range(0, 200, block)]
    first, *rest = [statistics(part, words) for part in parts]
    pool = sum(rest, first)
    scores = np.concatenate([bm25_scores(part, queries, pool) for part in parts])
    assert np.array_equal(scores, bm25(documents, queries))


def test_a_document_of_the_pool_scores_by_the_pools_statistics():
    documents, queries = texts(50, 2), texts(3, 3)
    pool = statistics(documents, words_of(queries))
    alone = bm25_scores(documents[:1], queries, pool)
    assert np.array_equal(alone, bm25(documents, queries)[:1])
    assert not np.allclose(alone, bm25(documents[:1], queries))


def test_what_no_query_asks_for_is_not_counted():
    pool = statistics([np.array([7, 8, 9, 9])], np.array([8, 9, 11]))
    assert pool.holding.tolist() == [1, 1, 0]
    assert (pool.documents, pool.tokens) == (1, 4)


def test_nothing_to_ask_or_to_score_gives_empty_tables():
    assert bm25([], texts(2, 0)).shape == (0, 2)
    assert bm25(texts(3, 0), []).shape == (3, 0)
    assert not bm25([np.empty(0, dtype=np.int64)], texts(2, 0)).any()


def test_statistics_for_other_words_are_not_added():
    with pytest.raises(ValueError, match="different words"):
        statistics([], np.array([1])) + statistics([], np.array([2]))
