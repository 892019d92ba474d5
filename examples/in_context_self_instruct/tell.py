"""What a scoring in context says of a pool: distribution, sign, overlaps, ablations, tasks, and what to read.

    python tell.py --scores RUNS/scores --out result

Chooses a tenth by `wici` with the rule `diverse` into RUNS/scores/selection, as `assay select` does, and
writes `table.md` and `in_context.json`.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import rankdata

import assay
from assay.files import write_json, write_text
from assay.runs.selecting_in_context import correlated
from assay.selection.in_context import QUANTILES, Correlation, Demonstration, highest, spread_of, top_shares
from assay.selection.result import SelectionResult
from assay.streams import stream

BUDGET = "10%"
DRAWS = 1000
FEWEST_OF_A_TASK = 10
LONGER = 5
"""Learned tokens, the end included, from which a completion counts as longer."""
SHORT = 200
"""Characters of a text that is quoted."""
SCORES = ("wici", "ici", "wici_nearest")


def by_tasks(
    said: Callable[[np.ndarray], float], tasks: Sequence[str | None], draws: int = DRAWS
) -> tuple[float, float]:
    """Ends of the 95% interval of a figure over redrawn tasks, whose rows are alike."""
    names = sorted({task or "" for task in tasks})
    members = [np.flatnonzero([(task or "") == name for task in tasks]) for name in names]
    rng = stream("tasks", 0)
    found = [
        said(np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))]))
        for _ in range(draws)
    ]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def spearman_of(first: np.ndarray, second: np.ndarray) -> float:
    known = np.isfinite(first) & np.isfinite(second)
    ours, theirs = rankdata(first[known]), rankdata(second[known])
    if not len(ours) or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return math.nan
    return float(np.corrcoef(ours, theirs)[0, 1])


def beside(first: np.ndarray, second: np.ndarray, tasks: Sequence[str | None]) -> dict[str, Any]:
    """Spearman's correlation over rows and within tasks, with intervals."""
    plain = correlated(first, second)
    low, high = by_tasks(lambda rows: spearman_of(first[rows], second[rows]), tasks)
    within = []
    for name in sorted({task or "" for task in tasks}):
        mine = np.array([(task or "") == name for task in tasks]) & np.isfinite(first) & np.isfinite(second)
        if mine.sum() >= FEWEST_OF_A_TASK:
            within.append(spearman_of(first[mine], second[mine]))
    known = [one for one in within if np.isfinite(one)]
    half = 1.96 * float(np.std(known, ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    middle = float(np.mean(known)) if known else math.nan
    return {
        "over_rows": {"value": plain.value, "low": plain.low, "high": plain.high, "n": plain.n},
        "over_redrawn_tasks": {"low": low, "high": high},
        "within_tasks": {"mean": middle, "low": middle - half, "high": middle + half, "tasks": len(known)},
    }


def explained(scores: np.ndarray, tasks: Sequence[str | None]) -> float:
    """The share of the variance of ranks that lies between tasks."""
    known = np.isfinite(scores)
    ranks = rankdata(scores[known])
    labels = np.array([task or "" for task in tasks])[known]
    between = sum(
        (labels == name).sum() * (ranks[labels == name].mean() - ranks.mean()) ** 2 for name in set(labels)
    )
    return float(between / ((ranks - ranks.mean()) ** 2).sum())


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates before their own queries: both places in the pool, and what became of the query."""

    candidates: np.ndarray
    queries: np.ndarray
    cosine: np.ndarray
    ici: np.ndarray
    before: np.ndarray


def pairs_of(folder: Path, ids: Sequence[str]) -> Pairs:
    table = pq.read_table(folder / "in_context.parquet")
    table = table.filter((pc.field("variant") == "clusters") & pc.field("query_id").is_valid())
    place = {one: at for at, one in enumerate(ids)}
    where = [
        np.array([place[one] for one in table[name].to_pylist()]) for name in ("candidate_id", "query_id")
    ]
    return Pairs(*where, *(table[name].to_numpy() for name in ("cosine", "ici", "ifd")))


def influence(pairs: Pairs, counted: np.ndarray, candidates: int) -> np.ndarray:
    """wICI over some of the pairs alone."""
    kept = counted & np.isfinite(pairs.ici)
    terms = ((1 - pairs.cosine) / 2 * pairs.ici)[kept]
    number = np.bincount(pairs.candidates[kept], minlength=candidates)
    total = np.bincount(pairs.candidates[kept], terms, minlength=candidates)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def of_pairs(pairs: Pairs, tasks: Sequence[str | None], length: np.ndarray) -> dict[str, Any]:
    """What single pairs of demonstration and query say: how often, how much, and how unevenly."""
    names = np.array([task or "" for task in tasks])
    same = names[pairs.candidates] == names[pairs.queries]
    ici, known, often = pairs.ici, np.isfinite(pairs.ici), np.bincount(pairs.queries)
    sizes = np.sort(np.abs(ici[known]))[::-1]
    one_word = length[pairs.queries] == 2

    def some(mine: np.ndarray) -> dict[str, float]:
        return {
            "share": float(mine.mean()),
            "helped": float((ici[known & mine] > 0).mean()),
            "median": float(np.median(ici[known & mine])),
            "share_of_all_change": float(np.abs(ici[known & mine]).sum() / sizes.sum()),
        }

    return {
        "pairs": len(ici),
        "without_influence": int((~known).sum()),
        "quantiles": np.quantile(ici[known], QUANTILES).tolist(),
        "mean": float(ici[known].mean()),
        "share_of_all_change_in_the_largest_hundredth": float(sizes[: len(sizes) // 100].sum() / sizes.sum()),
        "all": some(np.ones(len(ici), dtype=bool)),
        "same_task": some(same),
        "other_task": some(~same),
        "query_of_one_token_and_its_end": some(one_word),
        "longer_query": some(length[pairs.queries] >= LONGER),
        "cosine_quantiles": np.nanquantile(pairs.cosine, QUANTILES).tolist(),
        "query_ifd_quantiles": np.nanquantile(pairs.before, QUANTILES).tolist(),
        "different_queries": int((often > 0).sum()),
        "most_often_asked": int(often.max()),
    }


def tell(scores: Path) -> dict[str, Any]:
    """Every number of the recorded result."""
    result = assay.select(
        scores, rule="diverse", budget=BUDGET, method="wici", out=scores / "selection"
    ).result
    found = result.in_context
    assert found is not None
    tasks = result.pool.tasks
    columns = {name: result.scores[name] for name in SCORES if name in result.scores}
    hard, length = result.scores["ifd"], result.pool.tokens.astype(np.float64)
    pairs = pairs_of(scores, result.pool.ids)
    longer = influence(pairs, length[pairs.queries] >= LONGER, len(result.pool))
    return {
        "candidates": len(result.pool),
        "tasks": len(set(tasks)),
        "scores": {
            name: {
                "candidates": spread_of(values).candidates,
                "mean": spread_of(values).mean,
                "quantiles": list(spread_of(values).quantiles),
                "above_zero": spread_of(values).above_zero,
                "variance_of_ranks_between_tasks": explained(values, tasks),
            }
            for name, values in {**columns, "ifd": hard}.items()
        },
        "difficulty": {
            name: beside(hard, values, tasks)
            for name, values in {**columns, "wici, longer queries": longer}.items()
        },
        "difficulty_of_longer": {
            name: beside(hard, np.where(length >= LONGER, values, np.nan), tasks)
            for name, values in {**columns, "wici, longer queries": longer}.items()
        },
        "length": {name: beside(length, values, tasks) for name, values in columns.items()},
        "weights_change": correlation(correlated(columns["ici"], columns["wici"])),
        "shared_with_difficulty": {
            name: [[one.part, one.shared, one.by_chance] for one in top_shares(values, hard)]
            for name, values in columns.items()
        },
        "ablations": [
            {
                "without": one.without,
                "shared": one.shared,
                "by_chance": one.by_chance,
                "correlation": correlation(one.correlation),
            }
            for one in found.ablations
        ],
        "pairs": of_pairs(pairs, tasks, length),
        "left_out": [list(one) for one in found.left_out],
        "kept": kept_of(result),
        "reading": list(result.reading),
        "most": [read(result, one) for one in found.most],
        "least": [read(result, one) for one in found.least],
    }


def correlation(one: Correlation | None) -> dict[str, Any] | None:
    return None if one is None else {"value": one.value, "low": one.low, "high": one.high, "n": one.n}


def kept_of(result: SelectionResult) -> dict[str, Any]:
    """What the chosen tenth is, beside the highest tenth and the whole pool."""
    top = highest(result.scores["wici"], int(result.kept.sum()))
    tasks = np.array([task or "" for task in result.pool.tasks])
    found = {}
    for name, mine in (("kept", result.kept), ("highest", top), ("pool", np.ones(len(tasks), dtype=bool))):
        counts = np.unique(tasks[mine], return_counts=True)[1]
        found[name] = {
            "candidates": int(mine.sum()),
            "tasks": len(counts),
            "largest_task": int(counts.max()),
            "median_learned_tokens": float(np.median(result.pool.tokens[mine])),
            "median_ifd": float(np.nanmedian(result.scores["ifd"][mine])),
        }
    return found


def read(result: SelectionResult, one: Demonstration) -> dict[str, Any]:
    """A demonstration, cut for reading, and what it did to its queries."""
    at = one.candidate
    return {
        "id": result.pool.ids[at],
        "task": result.pool.tasks[at],
        "wici": float(result.scores["wici"][at]),
        "prompt": result.pool.prompts[at][:SHORT],
        "completion": result.pool.completions[at][:SHORT],
        "queries": [
            {
                "id": query.id,
                "task": query.task,
                "prompt": query.prompt[:SHORT],
                "completion": query.completion[:SHORT],
                "ici": query.influence,
                "weight": query.weight,
                "before": query.before,
                "after": query.after,
            }
            for query in one.taught
        ],
    }


def shown(value: float, signed: bool = True) -> str:
    """Two decimals and a true minus."""
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    return text.replace("-", "−").replace("0.", ".", 1)


def interval(low: float, high: float) -> str:
    return f"[{shown(low)}, {shown(high)}]"


def tables(told: dict[str, Any]) -> str:
    lines = ["Spearman's correlation with difficulty (IFD), and with the number of learned tokens:", ""]
    lines += ["| score | beside | over rows [95%] | [95%] over redrawn tasks | mean within tasks [95%] |"]
    lines += ["|---|---|---|---|---|"]
    said = {
        "difficulty": "difficulty",
        "difficulty_of_longer": f"difficulty, of {LONGER} tokens or more",
        "length": "length",
    }
    for part, what in said.items():
        for name, one in told[part].items():
            rows, tasks, within = one["over_rows"], one["over_redrawn_tasks"], one["within_tasks"]
            lines += [
                f"| `{name}` | {what} | {shown(rows['value'])} {interval(rows['low'], rows['high'])} | "
                f"{interval(tasks['low'], tasks['high'])} | "
                f"{shown(within['mean'])} {interval(within['low'], within['high'])} |"
            ]
    lines += [
        "",
        "Of the highest by influence, the share that is among the hardest, too (by chance the part itself):",
        "",
    ]
    lines += ["| score | 10% | 30% | 50% |", "|---|---|---|---|"]
    for name, parts in told["shared_with_difficulty"].items():
        lines += [f"| `{name}` | " + " | ".join(f"{100 * shared:.0f}%" for _, shared, _ in parts) + " |"]
    lines += [
        "",
        "Distribution:",
        "",
        "| score | 5% | 25% | median | 75% | 95% | above 0 | of rank variance between tasks |",
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, one in told["scores"].items():
        above = "" if name == "ifd" else f"{100 * one['above_zero'] / one['candidates']:.0f}%"
        values = " | ".join(f"{value:.3f}".replace("-", "−") for value in one["quantiles"])
        share = one["variance_of_ranks_between_tasks"]
        lines += [f"| `{name}` | {values} | {above} | {100 * share:.0f}% |"]
    lines += [
        "",
        "The chosen tenth with a part of the method left out:",
        "",
        "| without | shared | by chance | Spearman |",
        "|---|---|---|---|",
    ]
    for one in told["ablations"]:
        rank = one["correlation"]
        said = "" if rank is None else f"{shown(rank['value'])} {interval(rank['low'], rank['high'])}"
        lines += [
            f"| {one['without']} | {100 * one['shared']:.0f}% | {100 * one['by_chance']:.0f}% | {said} |"
        ]
    lines += [
        "",
        "| | candidates | tasks | most of one task | median learned tokens | median IFD |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in told["kept"].items():
        lines += [
            f"| {name} | {one['candidates']:,} | {one['tasks']} | {one['largest_task']} | "
            f"{one['median_learned_tokens']:.0f} | {one['median_ifd']:.2f} |"
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    told = tell(args.scores)
    write_text(args.out / "table.md", tables(told))
    write_json(args.out / "in_context.json", told)


if __name__ == "__main__":
    main()
