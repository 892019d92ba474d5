"""Columns of numbers on disk hold what was put into them, and leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest

from assay.runs.numbers import NumberFile


def test_columns_and_blocks_are_the_numbers_that_were_put(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(7, 3))
    values[2, 1] = np.nan
    with NumberFile(tmp_path, 7, 3) as numbers:
        numbers.put_block(slice(0, 4), values[:4])
        np.testing.assert_array_equal(numbers.block(slice(4, 7)), np.zeros((3, 3)))
        numbers.put_block(slice(4, 7), values[4:])
        for at in range(3):
            np.testing.assert_array_equal(numbers.column(at), values[:, at])
        np.testing.assert_array_equal(numbers.block(slice(1, 6)), values[1:6])
        assert numbers.add() == 3
        numbers.put(3, slice(2, 5), values[:3, 0])
        np.testing.assert_array_equal(numbers.column(3, slice(1, 6)), [0, *values[:3, 0], 0])
        with pytest.raises(ValueError, match="2 values for 3 rows"):
            numbers.put(3, slice(2, 5), values[:2, 0])
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
