"""BM25 against its formula by hand."""

import math

import numpy as np
import pytest

from assay.methods.bm25 import K1, B, bm25


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
