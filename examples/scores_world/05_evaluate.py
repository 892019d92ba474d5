"""Holds every method's scores against the trainings and against what was planted.

    python 05_evaluate.py --data RUNS --subsets RUNS/subsets --scores RUNS/scores-11 --again RUNS/scores-12 \
        --out result
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from setting import Setting, read_rows, read_setting

from assay.data.texts import counted
from assay.files import read_json, write_json, write_text
from assay.methods.table import METHODS
from assay.validation.auc import auc
from assay.validation.lds import Interval, Lds, Retrained, lds, lds_difference, noise_ceiling

ODD_ARE_HIGH = ("self_influence", "self_ekfac", "ppl_top")
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


def folder_of(scores: Path, name: str) -> Path:
    return scores / name if (scores / name).is_dir() else scores / "all"


def found_by(setting: Setting, name: str, column: np.ndarray, kinds: np.ndarray) -> dict[str, Interval]:
    """AUC of planted candidates against others, for each pair of groups that the setting names."""
    suspicion = column if name in ODD_ARE_HIGH else -column
    found = {}
    for what, (planted, clean) in setting.groups.items():
        mine = np.isin(kinds, [*planted, *clean])
        found[what] = auc(suspicion[mine], np.isin(kinds[mine], planted))
    return found


def shown(one: Interval, sign: str = "") -> str:
    return f"{one.value:{sign}.2f} [{one.low:{sign}.2f}, {one.high:{sign}.2f}]".replace("-", "−")


def plain(one: Interval) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def row_of(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subsets", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--again", type=Path, required=True, help="the same by a run of another seed")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    pool, queries = read_rows(args.data / "pool.jsonl"), read_rows(args.data / "queries.jsonl")
    ids, tasks, asked = [r["id"] for r in pool], [r["task"] for r in pool], [r["id"] for r in queries]
    kind_of = {row["id"]: row["kind"] for row in read_rows(args.data / "kinds.jsonl")}
    kinds = np.array([kind_of[one] for one in ids])
    setting = read_setting(args.data)
    truth = read_truth(args.data, args.subsets, setting.seeds)
    trainings = int((~np.isnan(truth.decreases[:, :, 0])).sum())
    twice = int((~np.isnan(truth.decreases[:, :, 0])).all(1).sum())

    found: dict[str, Lds] = {}
    again: dict[str, Lds] = {}
    for name in METHODS:
        for scores, into in ((args.scores, found), (args.again, again)):
            into[name] = lds(read_scores(folder_of(scores, name), name, ids, asked), truth)
    free = [name for name, row in METHODS.items() if row.measure not in BY_GRADIENTS]
    best = max(free, key=lambda name: found[name].estimate.value)
    ceiling = noise_ceiling(truth)

    report: dict = {
        "subsets": len(truth.members),
        "subsets_with_two_seeds": twice,
        "trainings": trainings,
        "queries": len(asked),
        "ceiling": plain(ceiling),
        "best_without_gradients": best,
        "methods": {},
    }
    lds_rows, auc_rows, own_rows = [], [], []
    whats = list(setting.groups)
    for name in sorted(METHODS, key=lambda one: -found[one].estimate.value):
        seconds = read_json(folder_of(args.scores, name) / "seconds.json")["cpu_seconds"]
        difference = lds_difference(found[name], found[best])
        between = lds_difference(found[name], again[name])
        folder = folder_of(args.scores, name)
        defects = found_by(setting, name, read_column(folder, name, ids), kinds)
        own = found_by(setting, name, read_column(folder, name, ids, tasks), kinds)
        report["methods"][name] = {
            "lds": plain(found[name].estimate),
            "beside_best_without_gradients": plain(difference),
            "lds_of_other_run": plain(again[name].estimate),
            "this_run_minus_other": plain(between),
            "queries_left_out": found[name].left_out,
            "pairs_without_score": found[name].undefined,
            "auc": {what: plain(one) for what, one in defects.items()},
            "auc_by_own_task": {what: plain(one) for what, one in own.items()},
            "cpu_seconds": seconds,
        }
        beside = "" if name == best else shown(difference, "+")
        lds_rows.append(
            [f"`{name}`", shown(found[name].estimate), beside, shown(again[name].estimate), f"{seconds:.0f}"]
        )
        auc_rows.append([f"`{name}`", *(shown(defects[what]) for what in whats)])
        if METHODS[name].per_query:
            own_rows.append([f"`{name}`", *(shown(own[what]) for what in whats)])

    text = (
        f"{counted(len(truth.members), 'subset')}, {twice} of them trained with two seeds; "
        f"{len(asked)} queries. Ceiling by the noise of training: {shown(ceiling)}. "
        f"Best without gradients: `{best}`.\n\n"
    )
    text += row_of(["method", "LDS", f"minus `{best}`", "LDS, scored in another run", "CPU seconds"])
    text += "|---|---|---|---|---:|\n" + "".join(map(row_of, lds_rows))
    for title, rows in (
        ("AUC of finding what was planted, by the mean over all queries", auc_rows),
        ("The same by the queries of the candidate's own task", own_rows),
    ):
        text += f"\n{title}:\n\n" + row_of(["method", *whats]) + "|---" * (len(whats) + 1) + "|\n"
        text += "".join(map(row_of, rows))
    write_text(args.out / "table.md", text)
    write_json(args.out / "lds.json", report)


if __name__ == "__main__":
    main()
