"""Compares the arms of each model with random choice of the same budget and with the full pool.

    python 04_evaluate.py --data RUNS --models RUNS/small RUNS/tiny --out result

Every comparison is within a seed (initial adapter, orders of passes), then over seeds. Differences are signed
so that positive is better: more right answers, a lower loss. Reads whatever trainings are done.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import numpy as np
from compare import Difference, difference
from jaxtyping import Float
from setting import CLEAN, FORMS, KINDS, PER_TASK, SEEDS, read_rows

from assay.files import read_json, write_json, write_text
from assay.world import DEMO_TASKS

FEWEST = 5
"""Seeds that an arm needs to be reported."""
SIGN = {"right": 1.0, "losses": -1.0}
ORDER = ("full", "random", "length_matched", "correct", "incorrect", "combined", "incorrect_all")
ORDER += ("combined_all", "ppl_mid", "rds", "minus_loss", "oracle")
LONG = {
    "length_matched": "random, lengths as *combined*",
    "incorrect_all": "incorrect, all wrong",
    "combined_all": "combined, all wrong",
}


def read_arms(folder: Path) -> dict[str, dict[int, dict]]:
    """The trainings by arm and seed. A seed counts when all arms of the first run have it; of the others,
    arms with fewer than FEWEST seeds are left out."""
    arms: dict[str, dict[int, dict]] = {}
    for seed in SEEDS:
        for path in sorted(folder.glob(f"*-seed{seed}.json")):
            one = read_json(path)
            arms.setdefault(one["arm"], {})[seed] = one
    first = [name for name in arms if not name.endswith("-12") and "_all-" not in name]
    whole = [seed for seed in SEEDS if all(seed in arms[name] for name in first)]
    arms = {name: {seed: many[seed] for seed in whole if seed in many} for name, many in arms.items()}
    return {name: many for name, many in arms.items() if len(many) >= FEWEST}


def measured(arm: Mapping[int, dict], what: str, seeds: Sequence[int]) -> Float[np.ndarray, "s q"]:
    """`right` (0 or 1) or `losses` (nats) by seed and question."""
    return np.array([arm[seed][what] for seed in seeds], dtype=float)


def dropped(kept: Sequence[Sequence[str]], kind_of: Mapping[str, str]) -> dict[str, float]:
    """Share of every kind of candidate, and of all planted ones, that is dropped; mean over seeds."""
    there = Counter(kind for kind in kind_of.values())
    left = Counter(kind_of[one] for ids in kept for one in ids)
    shares = {kind: 1 - left[kind] / len(kept) / there[kind] for kind in KINDS}
    planted = [kind for kind in KINDS if kind not in CLEAN]
    all_planted = sum(there[kind] for kind in planted)
    return shares | {"planted": sum(shares[kind] * there[kind] for kind in planted) / all_planted}


def evaluate(folder: Path, data: Path) -> dict:
    """All arms of one model; every number of the tables."""
    kinds = {row["id"]: row for row in read_rows(data / "kinds.jsonl")}
    pool = {name: row["kind"] for name, row in kinds.items() if name.startswith("pool-")}
    test = [kinds[row["id"]] for row in read_rows(data / "test.jsonl")]
    strata = np.array([f"{row['task']} {row['kind']}" for row in test])
    forms = np.array([row["kind"] for row in test])
    arms = read_arms(folder / "trained")
    base = read_json(folder / "trained" / "base.json")
    report: dict = {"base": {what: float(np.mean(base[what])) for what in SIGN}, "arms": {}}
    report["said"] = {path.stem: said(read_json(path)) for path in sorted(folder.glob("choices-*.json"))}
    for name, arm in arms.items():
        rule, budget = name.split("-")[:2]
        found = {what: measured(arm, what, list(arm)) for what in SIGN}
        row: dict = {
            "rule": rule,
            "budget": int(budget),
            "run": int(name.split("-")[2]) if name.count("-") == 2 else None,
            "seeds": list(arm),
            "kept": len(next(iter(arm.values()))["kept"]),
            "steps": next(iter(arm.values()))["steps"],
            "completion_tokens": float(np.mean([one["completion_tokens"] for one in arm.values()])),
            "cpu_seconds": float(np.sum([one["cpu_seconds"] for one in arm.values()])),
            "dropped": dropped([one["kept"] for one in arm.values()], pool),
            "mean": {what: float(one.mean()) for what, one in found.items()},
            "mean_by_form": {
                form: {what: float(one[:, forms == form].mean()) for what, one in found.items()}
                for form in FORMS
            },
            "by_seed": {what: one.mean(1).round(5).tolist() for what, one in found.items()},
            "minus": {},
        }
        others = {"full": "full-100", "random": f"random-{budget}", "matched": f"length_matched-{budget}-11"}
        for other, its_name in others.items():
            if its_name == name or its_name not in arms:
                continue
            shared = [seed for seed in arm if seed in arms[its_name]]
            row["minus"][other] = {
                what: asdict_of(
                    difference(
                        sign * (measured(arm, what, shared) - measured(arms[its_name], what, shared)), strata
                    )
                )
                for what, sign in SIGN.items()
            }
        report["arms"][name] = row
    return report


def said(choices: Mapping) -> dict[str, list[str]]:
    """What scoring and selecting said, without who is kept."""
    return {name: one["reading"] if isinstance(one, dict) else one for name, one in choices.items()}


def asdict_of(one: Difference) -> dict:
    return {**asdict(one), "sure": one.sure}


def shown(one: Mapping, scale: float = 1.0, digits: int = 2) -> str:
    """A difference with its interval over seeds, bold where both intervals leave out 0."""
    value, low, high = (f"{scale * one[key]:+.{digits}f}" for key in ("value", "low", "high"))
    text = f"{value} [{low}, {high}]".replace("-", "−")
    return f"**{text}**" if one["sure"] else text


def row_of(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def seeds_of(report: Mapping) -> str:
    """As in: 8 seeds; 6 of combined (run 12)."""
    most = max(len(row["seeds"]) for row in report["arms"].values())
    rows = [row for row in report["arms"].values() if len(row["seeds"]) < most]
    fewer = [f"{len(row['seeds'])} of {called(row)} at {row['budget']}%" for row in rows]
    return "; ".join([f"{most} seeds", *fewer]) + "."


def place(row: Mapping) -> tuple:
    return -row["budget"], ORDER.index(row["rule"]), row["run"] or 0


def called(row: Mapping) -> str:
    name = LONG.get(row["rule"], row["rule"])
    return f"{name} (run 12)" if row["run"] == 12 else name


def table(report: Mapping) -> str:
    """One model: what every arm drops, and how it does."""
    head = ["kept", "arm", "learned tokens", "planted dropped", "right %", "minus random", "minus full"]
    head += ["loss, nats", "lower than random's by", "lower than full's by"]
    text = row_of(head) + "|---" * len(head) + "|\n"
    order = sorted(report["arms"].values(), key=place)
    for row in order:
        minus = row["minus"]
        cells = [f"{row['budget']}%", called(row), f"{row['completion_tokens']:,.0f}"]
        cells += [f"{100 * row['dropped']['planted']:.0f}%", f"{100 * row['mean']['right']:.1f}"]
        cells += [shown(minus[o]["right"], 100, 1) if o in minus else "" for o in ("random", "full")]
        cells += [f"{row['mean']['losses']:.2f}"]
        cells += [shown(minus[o]["losses"]) if o in minus else "" for o in ("random", "full")]
        text += row_of(cells)
    return text


def signs(reports: Mapping[str, Mapping]) -> str:
    """Beside random: the same arm by every model and every scored run."""
    columns = [(model, run) for run in (11, 12) for model in reports]
    text = ""
    for what, title, scale, digits in (
        ("right", "Right answers, points more than random of the same budget", 100, 1),
        ("losses", "Loss, nats per question lower than random's of the same budget", 1, 2),
    ):
        text += f"\n{title}:\n\n"
        text += row_of(["kept", "arm", *(f"{model}, run {run}" for model, run in columns)])
        text += "|---" * (len(columns) + 2) + "|\n"
        seen = dict.fromkeys(
            (row["budget"], row["rule"]) for report in reports.values() for row in report["arms"].values()
        )
        for budget, rule in sorted(seen, key=lambda one: (-one[0], ORDER.index(one[1]))):
            cells = []
            for model, run in columns:
                name = next(
                    (
                        key
                        for key, row in reports[model]["arms"].items()
                        if (row["budget"], row["rule"]) == (budget, rule)
                        and (row["run"] or 11) == run
                        and "random" in row["minus"]
                    ),
                    None,
                )
                found = None if name is None else reports[model]["arms"][name]["minus"]["random"][what]
                cells.append("" if found is None else shown(found, scale, digits))
            if any(cells):
                text += row_of([f"{budget}%", LONG.get(rule, rule), *cells])
    return text


def overlaps(models: Sequence[Path]) -> list[dict]:
    """How many candidates two choices by the same rule both drop, and how many they would by chance."""
    found = []
    files = [path for folder in models for path in sorted(folder.glob("choices-*.json"))]
    for one, other in combinations(files, 2):
        pair = [f"{path.parent.name}, run {path.stem.split('-')[1]}" for path in (one, other)]
        ours, theirs = read_json(one), read_json(other)
        for name in ours:
            if not isinstance(ours[name], dict):
                continue
            kept = [set(choice[name]["kept"]) for choice in (ours, theirs)]
            size = PER_TASK * len(DEMO_TASKS)
            gone = [size - len(ids) for ids in kept]
            both = size - len(kept[0] | kept[1])
            found.append({"arm": name, "pair": pair, "both": both, "by_chance": gone[0] * gone[1] / size})
    return found


def table_of_overlaps(found: Sequence[Mapping]) -> str:
    pairs = list(dict.fromkeys(" and ".join(one["pair"]) for one in found))
    cells = {(one["arm"], " and ".join(one["pair"])): one for one in found}
    text = row_of(["arm", *pairs, "by chance"]) + "|---" * (len(pairs) + 2) + "|\n"
    for arm in dict.fromkeys(one["arm"] for one in found):
        by_chance = cells[arm, pairs[0]]["by_chance"]
        text += row_of([arm, *(str(cells[arm, pair]["both"]) for pair in pairs), f"{by_chance:.0f}"])
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="folders of 02 and 03")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    reports = {folder.name: evaluate(folder, args.data) for folder in args.models}
    text = (
        "95% intervals over seeds (t), questions fixed; bold where that over seeds "
        "and questions leaves out 0, too. Positive is better.\n"
    )
    for model, report in reports.items():
        base = report["base"]
        text += f"\n## {model}\n\n{seeds_of(report)} Before training: {100 * base['right']:.1f}% right, "
        text += f"{base['losses']:.2f} nats per question.\n\n{table(report)}"
    text += "\n## Beside random, by model and scored run\n" + signs(reports)
    shared = overlaps(args.models)
    text += "\n## Candidates that two choices both drop\n\n" + table_of_overlaps(shared)
    write_text(args.out / "table.md", text)
    write_json(args.out / "pruning.json", {"models": reports, "overlaps": shared})


if __name__ == "__main__":
    main()
