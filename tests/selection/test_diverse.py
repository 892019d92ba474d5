"""Greedy diversity: blocks and chunks change nothing, and every reason can be checked."""

import numpy as np
import pytest

from assay.errors import ConfigError, NumericsError
from assay.selection import diverse as room
from assay.selection.diverse import diverse
from tests.selection.pools import kept, limit

IDS = tuple(f"c{i}" for i in range(400))


def longhand(scores: np.ndarray, embeddings: np.ndarray, amount: int, threshold: float) -> list[int]:
    chosen: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        a = embeddings[i].astype(float)
        cosines = [
            float(a @ b / np.sqrt((a @ a) * (b @ b))) for b in (embeddings[j].astype(float) for j in chosen)
        ]
        if len(chosen) < amount and max(cosines, default=-1.0) < threshold:
            chosen.append(i)
    return chosen


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("amount", [40, 300])
def test_blocks_keep_what_a_loop_over_pairs_keeps(
    monkeypatch: pytest.MonkeyPatch, amount: int, dtype: type
) -> None:
    monkeypatch.setattr(room, "BLOCK", 16)
    monkeypatch.setattr(room, "CHUNK", 7)
    draw = np.random.default_rng(3)
    scores = draw.integers(0, 50, 400).astype(float)
    embeddings = (draw.normal(size=(400, 4)) * draw.uniform(0.1, 9, (400, 1))).astype(dtype)
    expected = longhand(scores, embeddings, amount, 0.9)
    choice = diverse(scores, embeddings, limit(amount, 400), "s", IDS)
    assert kept(choice.kept) == sorted(expected)
    assert 20 < len(expected) < 300


def test_the_near_duplicate_is_named_with_its_cosine() -> None:
    embeddings = np.array([[1.0, 0], [0.96, 0.28], [0, 2], [-5, 0], [1, 1]])
    choice = diverse(np.array([5.0, 4, 3, 2, np.nan]), embeddings, limit(4, 5), "s", IDS[:5])
    assert kept(choice.kept) == [0, 2, 3]
    assert choice.reasons[1] == "rank 2 of 4 by s, but cosine 0.960 to c0, which is kept"
    assert choice.reasons[4] == "no score by s, so not chosen"
    assert "1 candidate passed over as too much alike" in choice.reading[0]
    assert choice.reading[-1].startswith("The budget of 4 of 5 candidates is not filled (3): all others")


def test_a_cosine_at_the_threshold_is_too_much_and_the_budget_ends_the_search() -> None:
    embeddings = np.array([[1.0, 0], [0.6, 0.8], [0, 1], [0.1, 1]])
    scores = np.array([4.0, 3, 2, 1])
    exact = float(embeddings[1] @ embeddings[0] / np.linalg.norm(embeddings[1]))
    assert not diverse(scores, embeddings, limit(2, 4), "s", IDS[:4], exact).kept[1]
    assert diverse(scores, embeddings, limit(2, 4), "s", IDS[:4], exact + 1e-9).kept[1]
    choice = diverse(scores, embeddings, limit(2, 4), "s", IDS[:4], 0.99)
    assert choice.reasons[2:] == (
        "rank 3 of 4 by s, beyond the budget",
        "rank 4 of 4 by s, beyond the budget",
    )


def test_memory_does_not_grow_with_the_square_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BLOCK", 8)
    monkeypatch.setattr(room, "CHUNK", 8)
    seen = []
    original = room._directions

    def watched(embeddings: np.ndarray, rows: np.ndarray, ids: object) -> np.ndarray:
        seen.append(len(rows))
        return original(embeddings, rows, ids)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_directions", watched)
    draw = np.random.default_rng(0)
    diverse(draw.normal(size=200), draw.normal(size=(200, 16)), limit(200, 200), "s", IDS[:200])
    assert max(seen) == 8


def test_embeddings_without_a_direction_name_the_candidate() -> None:
    for bad, says in ((0.0, "is 0 everywhere"), (np.nan, "is not finite"), (np.inf, "is not finite")):
        embeddings = np.ones((3, 2))
        embeddings[1] = bad
        with pytest.raises(NumericsError, match=f"'c1' {says}"):
            diverse(np.arange(3.0), embeddings, limit(2, 3), "s", IDS[:3])
    with pytest.raises(ConfigError, match="above -1, at most 1"):
        diverse(np.arange(3.0), np.ones((3, 2)), limit(2, 3), "s", IDS[:3], 1.5)
    with pytest.raises(ConfigError, match="embeddings of 2 candidates"):
        diverse(np.arange(3.0), np.ones((2, 2)), limit(2, 3), "s", IDS[:3])
