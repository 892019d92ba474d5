"""Holds every arm against random choice of as many candidates, and `wici` against every other arm.

    export PYTHONPATH=../pruning_world
    python 04_evaluate.py --data RUNS --out RUNS/tenth --result result

Every comparison is within a seed (initial adapter, orders of passes), then over seeds: Student's t, questions
fixed. Random is the mean of its draws. Differences are signed so that positive is better. p is two-sided,
after Holm over the methods of a column; arms that are no methods are not among them. Reads whatever trainings
are done, of seeds in which every arm is.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from compare import difference
from jaxtyping import Float
from scipy import stats
from setting import CLEAN, KINDS, read_rows
from tenth import AFTERWARDS, CHOICES, DRAWS, SEEDS

from assay.files import read_json, write_json, write_text
from assay.validation.errors_of_means import holm

SIGN = {"right": 1.0, "losses": -1.0}
YARDSTICKS = ("full", "random", "balanced", "oracle")
BESIDE = "wici"


def read_trained(folder: Path) -> dict[str, dict[int, dict]]:
    """Trainings by arm and seed, of the seeds that are whole."""
    arms: dict[str, dict[int, dict]] = {}
    for seed in SEEDS:
        for path in sorted(folder.glob(f"*-seed{seed}.json")):
            one = read_json(path)
            arms.setdefault(one["arm"], {})[seed] = one
    whole = [seed for seed in SEEDS if all(seed in found for found in arms.values())]
    return {arm: {seed: found[seed] for seed in whole} for arm, found in arms.items()}


def of_seeds(found: Sequence[Mapping[int, dict]], what: str) -> Float[np.ndarray, "s q"]:
    """`right` (0 or 1) or `losses` (nats) by seed and question; the mean over several draws."""
    seeds = list(found[0])
    return np.mean([[draw[seed][what] for seed in seeds] for draw in found], axis=0)


def kept_kinds(found: Sequence[Mapping[int, dict]], kind_of: Mapping[str, dict]) -> dict:
    """What an arm keeps: shares by kind, all planted ones, tasks that it leaves out; means over seeds."""
    choices = [one["kept"] for draw in found for one in draw.values()]
    kinds = Counter(kind_of[name]["kind"] for kept in choices for name in kept)
    size = sum(kinds.values())
    tasks = {row["task"] for name, row in kind_of.items() if name.startswith("pool-")}
    mine = [Counter(kind_of[name]["task"] for name in kept) for kept in choices]
    return {
        "kept": len(choices[0]),
        "planted": sum(kinds[kind] for kind in KINDS if kind not in CLEAN) / size,
        "kinds": {kind: kinds[kind] / size for kind in KINDS},
        "tasks_left_out": float(np.mean([len(tasks - set(one)) for one in mine])),
        "largest_task": float(np.mean([max(one.values()) / sum(one.values()) for one in mine])),
    }


def beside(
    values: Mapping[str, Mapping[str, np.ndarray]], arms: Sequence[str], other: str, strata: np.ndarray
) -> dict[str, dict]:
    """Every arm minus another, for both measures, with p before and after Holm."""
    found: dict[str, dict] = {arm: {} for arm in arms}
    for what, sign in SIGN.items():
        raw = {}
        for arm in arms:
            gap = sign * (values[arm][what] - values[other][what])
            one = difference(gap, strata)
            test = stats.ttest_1samp(gap.mean(1), 0.0)
            raw[arm] = float(test.pvalue)
            found[arm][what] = {**asdict(one), "sure": one.sure, "p": raw[arm]}
        tested = [arm for arm in arms if arm not in (*YARDSTICKS, *AFTERWARDS)]
        for arm, p in zip(tested, holm([raw[arm] for arm in tested]), strict=True):
            found[arm][what]["holm"] = p
    return found


def evaluate(data: Path, out: Path) -> dict:
    kinds = {row["id"]: row for row in read_rows(data / "kinds.jsonl")}
    test = [kinds[row["id"]] for row in read_rows(data / "test.jsonl")]
    strata = np.array([f"{row['task']} {row['kind']}" for row in test])
    trained = read_trained(out / "trained")
    draws = {arm: [found] for arm, found in trained.items() if not arm.startswith("random-")}
    draws["random"] = [trained[f"random-{number}"] for number in range(1, DRAWS + 1)]
    names = [arm for arm in (*YARDSTICKS, *CHOICES) if arm in draws]
    values = {arm: {what: of_seeds(draws[arm], what) for what in SIGN} for arm in names}
    base = read_json(out / "trained" / "base.json")
    report: dict = {
        "seeds": list(next(iter(trained.values()))),
        "base": {what: float(np.mean(base[what])) for what in SIGN},
        "cpu_seconds": float(
            np.sum([one["cpu_seconds"] for found in trained.values() for one in found.values()])
        ),
        "arms": {},
    }
    over_random = beside(values, [arm for arm in names if arm != "random"], "random", strata)
    others = [arm for arm in names if arm != BESIDE] if BESIDE in names else []
    under = beside(values, others, BESIDE, strata) if others else {}
    for arm in names:
        report["arms"][arm] = {
            **kept_kinds(draws[arm], kinds),
            "completion_tokens": float(
                np.mean([one["completion_tokens"] for found in draws[arm] for one in found.values()])
            ),
            "mean": {what: float(one.mean()) for what, one in values[arm].items()},
            "by_seed": {what: one.mean(1).round(5).tolist() for what, one in values[arm].items()},
            **({"minus_random": over_random[arm]} if arm in over_random else {}),
            **({f"minus_{BESIDE}": under[arm]} if arm in under else {}),
        }
    report["shared"] = shared({arm: draws[arm][0] for arm in CHOICES if arm in draws})
    return report


def shared(found: Mapping[str, Mapping[int, dict]]) -> dict[str, dict[str, float]]:
    """Of two arms that go by scores, the share of what one keeps that the other keeps too."""
    kept = {arm: set(next(iter(one.values()))["kept"]) for arm, one in found.items()}
    return {
        arm: {other: len(mine & theirs) / len(mine) for other, theirs in kept.items()}
        for arm, mine in kept.items()
    }


def called(arm: str) -> str:
    return f"*{arm}*" if arm in YARDSTICKS else f"`{arm}`" + ("†" if arm in AFTERWARDS else "")


def shown(one: Mapping, scale: float, digits: int) -> str:
    """A difference with its interval, bold where Holm leaves p below .05, and p after Holm."""
    value, low, high = (f"{scale * one[key]:+.{digits}f}" for key in ("value", "low", "high"))
    text = f"{value} [{low}, {high}]".replace("-", "−")
    if "holm" not in one:
        return text
    said = "p<.001" if one["holm"] < 0.001 else f"p={min(one['holm'], 1.0):.3f}".replace("0.", ".")
    return f"**{text}**, {said}" if one["holm"] < 0.05 else f"{text}, {said}"


def row_of(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def tables(report: Mapping) -> str:
    base, seeds = report["base"], report["seeds"]
    text = (
        f"{len(seeds)} seeds. Before training {100 * base['right']:.1f}% right, {base['losses']:.2f} nats "
        "per question. 95% intervals over seeds (t), questions fixed; positive is better. p after Holm "
        "over the methods of a column; bold below .05. Arms in italics are no methods; † was thought of "
        "afterwards.\n\n"
    )
    head = ["arm", "kept", "planted among kept", "reasoning", "learned tokens", "tasks left out"]
    head += ["right %", "minus random, points", "loss, nats", "lower than random's by"]
    text += row_of(head) + "|---" * len(head) + "|\n"
    for arm, one in sorted(report["arms"].items(), key=lambda item: -item[1]["mean"]["right"]):
        minus = one.get("minus_random")
        cells = [
            called(arm),
            str(one["kept"]),
            f"{100 * one['planted']:.0f}%",
            f"{100 * one['kinds']['cot']:.0f}%",
        ]
        cells += [f"{one['completion_tokens']:,.0f}", f"{one['tasks_left_out']:.1f}"]
        cells += [f"{100 * one['mean']['right']:.1f}", shown(minus["right"], 100, 1) if minus else ""]
        cells += [f"{one['mean']['losses']:.2f}", shown(minus["losses"], 1, 2) if minus else ""]
        text += row_of(cells)
    rows = {arm: one[f"minus_{BESIDE}"] for arm, one in report["arms"].items() if f"minus_{BESIDE}" in one}
    if rows:
        text += (
            f"\nMinus `{BESIDE}`:\n\n"
            + row_of(["arm", "right, points", "loss, lower by"])
            + "|---" * 3
            + "|\n"
        )
        for arm, one in rows.items():
            text += row_of([called(arm), shown(one["right"], 100, 1), shown(one["losses"], 1, 2)])
    names = list(report["shared"])
    text += "\nOf what an arm keeps, the share that another keeps too (by chance 10%):\n\n"
    text += row_of(["arm", *map(called, names)]) + "|---" * (len(names) + 1) + "|\n"
    for arm, others in report["shared"].items():
        text += row_of([called(arm), *("" if arm == o else f"{100 * others[o]:.0f}%" for o in names)])
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder that 03_retrain.py wrote")
    parser.add_argument("--result", type=Path, required=True)
    args = parser.parse_args()

    report = evaluate(args.data, args.out)
    write_text(args.result / "table.md", tables(report))
    write_json(args.result / "tenth.json", report)


if __name__ == "__main__":
    main()
