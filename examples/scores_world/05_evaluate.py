"""Holds every method's scores against the trainings and against what was planted.

    python 05_evaluate.py --data RUNS --subsets RUNS/subsets --scores RUNS/scores-11 --again RUNS/scores-12 \
        --base RUNS/scores-base --out result
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from setting import Setting, read_rows, read_setting

from assay.data.texts import counted
from assay.files import read_json, write_json, write_text
from assay.methods.table import METHODS
from assay.validation.auc import auc
from assay.validation.lds import Interval, Lds, Retrained, lds, lds_difference, noise_ceiling

ODD_ARE_HIGH = ("self_influence", "self_ekfac", "ppl_top", "ifd", "complexity")
"""Of these the highest are what to look at; of all others the lowest."""
BY_GRADIENTS = ("gradient", "adam", "adam_exact", "ekfac", "kfac", "diagonal")


def read_truth(data: Path, subsets: Path, seeds: Sequence[int]) -> Retrained:
    """What the trainings that are done did to the queries; subsets that no seed has trained are left out."""
    place = {row["id"]: at for at, row in enumerate(read_rows(data / "pool.jsonl"))}
    tasks = [row["task"] for row in read_rows(data / "queries.jsonl")]
    before = np.array(read_json(subsets / "base.json")["losses"])
    done = [read_json(path) for path in sorted(subsets.glob("*-*.json"))]
    numbers = sorted({one["subset"] for one in done})
    members = np.zeros((len(numbers), len(place)), dtype=bool)
    decreases = np.full((len(numbers), len(seeds), len(tasks)), np.nan)
    for one in done:
        row = numbers.index(one["subset"])
        members[row, [place[name] for name in one["members"]]] = True
        decreases[row, list(seeds).index(one["seed"])] = before - np.array(one["losses"])
    return Retrained(members, decreases, tasks)


def read_scores(folder: Path, name: str, ids: list[str], queries: list[str]) -> np.ndarray:
    """(n, q) scores in the order of pool and queries; (n,) of a method that asks no query."""
    if not METHODS[name].per_query:
        return read_column(folder, name, ids)
    table = pq.read_table(
        folder / "scores.parquet",
        columns=["candidate_id", "query_id", "score"],
        filters=[("method", "=", name)],
    )
    shape = len(ids), len(queries)
    assert table["candidate_id"].to_pylist()[:: len(queries)] == ids
    assert table["query_id"].to_pylist() == queries * len(ids)
    return table["score"].to_numpy().reshape(shape)


def read_column(folder: Path, name: str, ids: list[str], tasks: list[str] | None = None) -> np.ndarray:
    """One number per candidate: over all queries, or over those of its own task."""
    columns = ["candidate_id", "query_task", "checkpoint", "score"]
    table = pq.read_table(folder / "aggregates.parquet", columns=columns, filters=[("method", "=", name)])
    last = METHODS[name].checkpoints == "all"
    found = {
        (row["candidate_id"], row["query_task"]): row["score"]
        for row in table.to_pylist()
        if not last or row["checkpoint"] == "all"
    }
    wanted = tasks if tasks is not None and METHODS[name].per_query else [None] * len(ids)
    return np.array([found[one, task] for one, task in zip(ids, wanted, strict=True)], dtype=float)


def seconds_of(folder: Path) -> float | None:
    """CPU seconds of a method; None where several were scored together."""
    timed = read_json(folder / "seconds.json")
    return timed["cpu_seconds"] if len(timed["methods"]) == 1 else None


def by_task(found: Lds, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
    """LDS over the queries of each task, with intervals by the same redraws."""
    said = {}
    for task in sorted({*tasks}):
        mine = np.array([one == task for one in tasks]) & ~np.isnan(found.per_query)
        drawn, weights = found.drawn[:, mine], found.weights[:, mine]
        low, high = np.quantile((drawn * weights).sum(1) / weights.sum(1), [0.025, 0.975])
        said[task] = plain(Interval(float(found.per_query[mine].mean()), float(low), float(high)))
    return said


def yardsticks(pool: Sequence[dict], queries: Sequence[dict]) -> dict[str, np.ndarray]:
    """(n, q) scores that anyone can see: 1 for what both have in common, else 0."""

    def equal(of: Callable[[dict], str]) -> np.ndarray:
        asked = np.array([of(row) for row in queries])
        return np.array([of(row) == asked for row in pool], dtype=float)

    return {
        "same task": equal(lambda row: row["task"]),
        "same completion": equal(lambda row: row["messages"][-1]["content"]),
    }


def folders_of(scores: Path) -> dict[str, Path]:
    """Where each method was scored, the folder of its own before one that it shares."""
    done = {path.parent: read_json(path)["methods"] for path in sorted(scores.glob("*/seconds.json"))}
    done.pop(scores / "warm-up", None)
    shared_first = sorted(done, key=lambda folder: -len(done[folder]))
    return {name: folder for folder in shared_first for name in done[folder]}


def found_by(setting: Setting, name: str, column: np.ndarray, kinds: np.ndarray) -> dict[str, Interval]:
    """AUC of planted candidates against others, for each pair of groups that the setting names."""
    suspicion = column if name in ODD_ARE_HIGH else -column
    found = {}
    for what, (planted, clean) in setting.groups.items():
        mine = np.isin(kinds, [*planted, *clean])
        found[what] = auc(suspicion[mine], np.isin(kinds[mine], planted))
    return found


def of_other_run(this: Lds, other: Lds) -> dict[str, dict[str, float]]:
    return {
        "lds_of_other_run": plain(other.estimate),
        "this_run_minus_other": plain(lds_difference(this, other)),
    }


def plain(one: Interval) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def shown(one: dict[str, float], sign: str = "") -> str:
    return f"{one['value']:{sign}.2f} [{one['low']:{sign}.2f}, {one['high']:{sign}.2f}]".replace("-", "−")


def rows_of(rows: list[list[str]]) -> str:
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def tables(report: dict) -> str:
    """What `lds.json` holds, to read; methods and yardsticks by falling LDS."""
    methods, best = report["methods"], report["best_without_gradients"]
    every = {f"`{name}`": one for name, one in methods.items()}
    every |= {f"*{what}*": one for what, one in report["yardsticks"].items()}
    every = dict(sorted(every.items(), key=lambda item: -item[1]["lds"]["value"]))
    others = {"minus `graddot`": "beside_graddot", f"minus `{best}`": "beside_best_without_gradients"}
    others |= {f"minus *{what}*": f"beside_{what.replace(' ', '_')}" for what in report["yardsticks"]}

    text = (
        f"{counted(report['subsets'], 'subset')}, {report['subsets_with_two_seeds']} of them trained with "
        f"two seeds; {report['queries']} queries. Ceiling by the noise of training: "
        f"{shown(report['ceiling'])}. Best method without gradients: `{best}`. In italics scores that are 1 "
        "where candidate and query have the same, else 0.\n\n"
    )
    ways = {"LDS, scored in another run": "lds_of_other_run", "LDS, scored by the base model": "lds_of_base"}
    ways = {title: key for title, key in ways.items() if any(key in one for one in every.values())}
    columns = ["method", "LDS", *others, *ways, "CPU seconds"]
    rows = [columns, ["---"] * (len(columns) - 1) + ["---:"]]
    for title, one in every.items():
        beside = [shown(one[key], "+") if one.get(key) else "" for key in others.values()]
        again = [shown(one[key]) if key in one else "" for key in ways.values()]
        time = f"{one['cpu_seconds']:.0f}" if one.get("cpu_seconds") is not None else ""
        rows.append([title, shown(one["lds"]), *beside, *again, time])
    text += rows_of(rows)

    columns = list(next(iter(every.values()))["lds_by_task"])
    rows = [["method", *columns], ["---"] * (len(columns) + 1)]
    rows += [[title, *map(shown, one["lds_by_task"].values())] for title, one in every.items()]
    text += "\nLDS of the queries of each task:\n\n" + rows_of(rows)

    for title, key in (
        ("AUC of finding what was planted, by the mean over all queries", "auc"),
        ("The same by the queries of the candidate's own task", "auc_by_own_task"),
    ):
        scored = {name: one[key] for name, one in every.items() if one.get(key)}
        columns = list(next(iter(scored.values())))
        rows = [["method", *columns], ["---"] * (len(columns) + 1)]
        rows += [[name, *(shown(one[what]) for what in columns)] for name, one in scored.items()]
        text += f"\n{title}:\n\n" + rows_of(rows)
    return text


def evaluate(data: Path, subsets: Path, scores: Path, other_scores: Path, base_scores: Path | None) -> dict:
    """Everything that `lds.json` says."""
    pool, queries = read_rows(data / "pool.jsonl"), read_rows(data / "queries.jsonl")
    ids, tasks, asked = [r["id"] for r in pool], [r["task"] for r in pool], [r["id"] for r in queries]
    kind_of = {row["id"]: row["kind"] for row in read_rows(data / "kinds.jsonl")}
    kinds = np.array([kind_of[one] for one in ids])
    setting = read_setting(data)
    truth = read_truth(data, subsets, setting.seeds)
    trainings = int((~np.isnan(truth.decreases[:, :, 0])).sum())
    twice = int((~np.isnan(truth.decreases[:, :, 0])).all(1).sum())

    found: dict[str, Lds] = {}
    again: dict[str, Lds] = {}
    here, there = folders_of(scores), folders_of(other_scores)
    untrained = {} if base_scores is None else folders_of(base_scores)
    names = [name for name in METHODS if name in here]
    for name in names:
        for source, into in ((here, found), (there, again)):
            if name in source:
                into[name] = lds(read_scores(source[name], name, ids, asked), truth)
    by_base = {name: lds(read_scores(folder, name, ids, asked), truth) for name, folder in untrained.items()}
    asked_of = [row["task"] for row in queries]
    plainly = {what: lds(one, truth) for what, one in yardsticks(pool, queries).items()}
    free = [name for name in names if METHODS[name].measure not in BY_GRADIENTS]
    best = max(free, key=lambda name: found[name].estimate.value)
    ceiling = noise_ceiling(truth)

    report: dict = {
        "subsets": len(truth.members),
        "subsets_with_two_seeds": twice,
        "trainings": trainings,
        "queries": len(asked),
        "ceiling": plain(ceiling),
        "best_without_gradients": best,
        "yardsticks": {
            what: {"lds": plain(one.estimate), "lds_by_task": by_task(one, asked_of)}
            for what, one in plainly.items()
        },
        "methods": {},
    }
    compared = {"graddot": found["graddot"], "best_without_gradients": found[best], **plainly}
    for name in sorted(names, key=lambda one: -found[one].estimate.value):
        folder = here[name]
        defects = found_by(setting, name, read_column(folder, name, ids), kinds)
        own = found_by(setting, name, read_column(folder, name, ids, tasks), kinds)
        report["methods"][name] = {
            "lds": plain(found[name].estimate),
            **{
                f"beside_{what.replace(' ', '_')}": plain(lds_difference(found[name], other))
                for what, other in compared.items()
                if other is not found[name]
            },
            "lds_by_task": by_task(found[name], asked_of),
            **({"lds_of_base": plain(by_base[name].estimate)} if name in by_base else {}),
            **(of_other_run(found[name], again[name]) if name in again else {}),
            "queries_left_out": found[name].left_out,
            "pairs_without_score": found[name].undefined,
            "auc": {what: plain(one) for what, one in defects.items()},
            "auc_by_own_task": {what: plain(one) for what, one in own.items()}
            if METHODS[name].per_query
            else {},
            "cpu_seconds": seconds_of(folder),
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subsets", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--again", type=Path, required=True, help="the same by a run of another seed")
    parser.add_argument("--base", type=Path, help="the same by the base model, of methods that need no run")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    report = evaluate(args.data, args.subsets, args.scores, args.again, args.base)
    write_text(args.out / "table.md", tables(report))
    write_json(args.out / "lds.json", report)


if __name__ == "__main__":
    main()
