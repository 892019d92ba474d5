"""Does the rule `diverse` thin out near-duplicates? Counts the planted pairs that it leaves whole.

    python 06_duplicates.py --data RUNS --scores RUNS/scores-11 RUNS/scores-12 --out result

A pair is a plain candidate and the one that says it again; it is left whole where both are kept. Candidates
come in 20 random orders (means), and in that of a score, which is how the rule is used. Beside it stands what
a random choice of as many candidates leaves whole on average.
"""

import argparse
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
from setting import read_rows

from assay.files import write_text
from assay.runs.scored import Found, Scored, read_scored
from assay.selection.result import Pool
from assay.selection.rules import Columns, Options
from assay.selection.select import select
from assay.streams import stream

FEATURES = ("embedding", "rds")
THRESHOLDS = (0.9, 0.95, 0.98)
BUDGETS = ("20%", "50%", "100%")
ORDERS = 20
BY_SCORE = "ekfac"


def twins(kinds: list[dict]) -> list[tuple[int, int]]:
    """Positions of each plain candidate that is said again, and of what says it again."""
    plain = {(one["task"], one["problem"]): at for at, one in enumerate(kinds) if one["kind"] == "direct"}
    return [
        (plain[one["task"], one["problem"]], at) for at, one in enumerate(kinds) if one["kind"] == "duplicate"
    ]


def by_chance(kept: int, candidates: int) -> float:
    """The probability that a random choice of so many candidates holds both of a pair."""
    return kept * (kept - 1) / (candidates * (candidates - 1))


def alikeness(features: np.ndarray, pairs: list[tuple[int, int]]) -> dict:
    """Cosines of the pairs, and of every other candidate with the nearest of all."""
    cosines = features @ features.T
    np.fill_diagonal(cosines, -1)
    paired = {at for pair in pairs for at in pair}
    nearest = [cosines[at].max() for at in range(len(cosines)) if at not in paired]
    of_pairs = [cosines[pair] for pair in pairs]
    return {
        "pairs": np.quantile(of_pairs, (0.1, 0.5, 0.9)).round(3).tolist(),
        "others with their nearest": np.quantile(nearest, (0.1, 0.5, 0.9)).round(3).tolist(),
        "pairs that are nearest": int(sum(cosines[again].argmax() == first for first, again in pairs)),
    }


def thinned(
    pool: Pool,
    features: np.ndarray,
    orders: Mapping[str, np.ndarray],
    pairs: list[tuple[int, int]],
    budget: str,
    threshold: float,
) -> dict[str, float]:
    """Means over orders: candidates kept, pairs left whole, and what chance leaves whole of as many kept."""
    kept, whole, chance = [], [], []
    for name, scores in orders.items():
        columns = Columns({name: scores}, embeddings=features)
        mask = select(pool, columns, "diverse", budget, Options(threshold=threshold)).kept
        kept.append(int(mask.sum()))
        whole.append(sum(bool(mask[first] and mask[again]) for first, again in pairs))
        chance.append(len(pairs) * by_chance(kept[-1], len(pool)))
    means = (float(np.mean(values)) for values in (kept, whole, chance))
    return dict(zip(("kept", "whole", "by chance"), means, strict=True))


def score_of(scored: Scored, name: str) -> np.ndarray:
    (query_set,) = scored.query_sets(name)
    return scored.scores[Found(name, query_set, None)]


def folder_of(scores: Path, name: str) -> Path:
    return scores / name if (scores / name).is_dir() else scores / "all"


def measured(scores: Path, kinds: list[dict]) -> list[dict]:
    """A row for each kind of features, threshold, order and budget."""
    pairs = twins(kinds)
    by_score = read_scored(folder_of(scores, BY_SCORE))
    pool = by_score.pool
    assert list(pool.ids) == [one["id"] for one in kinds]
    drawn = {
        f"random {number}": stream("scores_world", "duplicates", number).random(len(pool))
        for number in range(ORDERS)
    }
    orders = {"random": drawn, BY_SCORE: {BY_SCORE: score_of(by_score, BY_SCORE)}}
    rows = []
    for feature in FEATURES:
        found = read_scored(folder_of(scores, feature)).embeddings((feature,))
        assert found is not None
        features = np.asarray(found, dtype=np.float64)
        print(scores.name, feature, alikeness(features, pairs))
        for threshold, order, budget in product(THRESHOLDS, orders, BUDGETS):
            about = {"scores": scores.name, "features": feature, "threshold": threshold}
            told = thinned(pool, features, orders[order], pairs, budget, threshold)
            rows.append({**about, "order": order, "budget": budget, **told})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that 01_make.py wrote")
    parser.add_argument(
        "--scores", type=Path, nargs="+", required=True, help="folders that 04_score.py wrote"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    kinds = read_rows(args.data / "kinds.jsonl")
    rows = [row for scores in args.scores for row in measured(scores, kinds)]
    lines = [
        "| scores | features | threshold | order | budget | kept | pairs left whole | by chance |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        *about, kept, whole, chance = row.values()
        lines.append(f"| {' | '.join(map(str, about))} | {kept:.0f} | {whole:.1f} | {chance:.1f} |")
    write_text(args.out / "duplicates.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
