"""Labels that are shared and texts that have passed, held small."""

import numpy as np
import pytest

from assay.data import seen
from assay.data.coded import Coded, Coder
from assay.data.seen import Seen

LABELS = ["b", None, "a", "b", None, "c"]


def test_coded_labels_are_the_labels_in_their_order() -> None:
    coded = Coded.of(LABELS)
    assert coded == LABELS
    assert coded != LABELS[:-1]
    assert coded.names == ("b", None, "a", "c")
    assert (coded[2], coded[-1]) == ("a", "c")
    assert list(coded[1:4]) == LABELS[1:4]
    assert Coded.of(coded) is coded


def test_labels_coded_in_parts_are_coded_alike() -> None:
    coder = Coder[str | None](len(LABELS))
    coder.put(slice(0, 4), LABELS[:4])
    coder.put(slice(4, 6), LABELS[4:])
    whole, parts = Coded.of(LABELS), coder.coded()
    assert parts.names == whole.names
    np.testing.assert_array_equal(parts.codes, whole.codes)


def test_a_text_is_new_once_however_many_wait_to_be_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "LEAST", 5)
    draw = np.random.default_rng(0)
    names = [f"id {number}" for number in draw.integers(0, 300, 1_000)] + ["\ud800", "\ud800", ""]
    passed: set[str] = set()
    found = Seen()
    for name in names:
        assert found.add(name) == (name not in passed)
        passed.add(name)
