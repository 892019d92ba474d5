"""BM25: how many rare tokens two texts share, without any model (Robertson and Zaragoza 2009).

Works on token ids, so on every language a tokenizer knows, with or without spaces between words.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

K1, B = 1.5, 0.75


def bm25(
    documents: Sequence[Int[np.ndarray, "t"]], queries: Sequence[Int[np.ndarray, "t"]]
) -> Float[np.ndarray, "d q"]:
    """Score of every document for every query; 0 or more, higher is more alike.

    score(d, q) = Σ_{w in q} idf(w) · f(w, d) (k₁ + 1) / (f(w, d) + k₁ (1 − b + b |d| / mean |d|)), each word
    of a query counted once, with idf(w) = log(1 + (D − n_w + ½) / (n_w + ½)).
    """
    words = sorted({int(word) for query in queries for word in query})
    column = {word: place for place, word in enumerate(words)}
    counts = np.zeros((len(documents), len(words)))
    for row, document in enumerate(documents):
        for word in document:
            place = column.get(int(word))
            if place is not None:
                counts[row, place] += 1
    lengths = np.array([len(document) for document in documents], dtype=float)
    holding = (counts > 0).sum(axis=0)
    idf = np.log1p((len(documents) - holding + 0.5) / (holding + 0.5))
    norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean())))
    weights = idf * counts * (K1 + 1) / (counts + norm[:, None])
    asked = np.zeros((len(words), len(queries)))
    for place, query in enumerate(queries):
        asked[[column[int(word)] for word in set(query.tolist())], place] = 1
    return np.asarray(weights @ asked)
