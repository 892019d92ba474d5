"""Tables of finished validations, over all four tasks and by task, with the choice between right and wrong.

    python 02_tables.py RUNS/in RUNS/cross RUNS/cross-sets --out result

`assay validate` asks for the loss of a right and of a wrong answer apart. Held against each other they tell
which of the two a model takes for likelier: a forced choice between two answers, 50% by chance. It is counted
here, with the same effects and intervals as in the reports.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float

from assay.files import write_text
from assay.validation.against import rank as correlation
from assay.validation.effects import Measured, rows_of
from assay.validation.proportions import wilson_share
from assay.validation.result import Direction, Measure, Row

TASKS = ("creak", "strategyqa", "qasc", "gsm8k")
CHOICES = TASKS[:3]
WRONG = "-wrong"
LOSS = Measure("loss", "loss", "nats per query")
RIGHT = Measure("right", "generated answer, checked", "share of right answers")
PICKED = Measure("picked", "right answer likelier than wrong", "share of right answers")
Values = Float[np.ndarray, "seeds queries"]


@dataclass(frozen=True)
class Run:
    """A finished validation: its name, what it said, and every answer."""

    name: str
    said: Mapping
    answers: pa.Table

    def values(self, model: str, arm: str, sets: Sequence[str], column: str) -> Values:
        """A row for every seed; the queries of the sets one after another, in the order of their files."""
        return np.stack(
            [
                np.concatenate([self._column(model, arm, one, seed, column) for one in sets])
                for seed in self.said["seeds"]
            ]
        )

    def _column(self, model: str, arm: str, query_set: str, seed: int, column: str) -> np.ndarray:
        wanted = {"model": model, "arm": arm, "query_set": query_set, "seed": seed}
        mask = np.logical_and.reduce(
            [pc.equal(self.answers[key], value).to_numpy() for key, value in wanted.items()]
        )
        return self.answers.filter(mask)[column].cast(pa.float64()).to_numpy()

    def picked(self, model: str, arm: str, sets: Sequence[str]) -> Values:
        """1 where the right answer has a lower loss than the wrong one."""
        right = self.values(model, arm, sets, "loss")
        return (right < self.values(model, arm, [one + WRONG for one in sets], "loss")).astype(float)

    def effects(self, model: str, measure: Measure, tasks: Sequence[str], wrong: bool = False) -> list[Row]:
        """A row for every arm, against the first."""
        sets = [one + WRONG if wrong else one for one in tasks]
        arms = [one["name"] for one in self.said["arms"] if one["model"] == model]
        values = {
            arm: self.picked(model, arm, sets)
            if measure is PICKED
            else self.values(model, arm, sets, measure.name)
            for arm in arms
        }
        direction: Direction = "undesired" if wrong else "desired"
        return list(rows_of(Measured(model, "+".join(sets), direction, measure, values), self.reference))

    @property
    def reference(self) -> str:
        return self.said["reference"]


def read(folder: Path) -> Run:
    said = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    return Run(folder.name, said, pq.read_table(folder / "answers.parquet"))


def cell(row: Row) -> str:
    """The level of the first arm, the effects of the others; percent and points for shares."""
    share = row.measure != "loss"
    shown = row.level if row.effect is None else row.effect
    scale, digits = (100, 1) if share else (1, 2)
    unit = "%" if share and row.effect is None else ""

    def number(value: float) -> str:
        text = f"{scale * value:+.{digits}f}" if row.effect is not None else f"{scale * value:.{digits}f}"
        return text.replace("-", "−")

    lead = "at " if row.effect is None else ""
    if shown.low is None or shown.high is None:
        return f"{lead}{number(shown.value)}{unit} [none]"
    mark = "**" if row.effect is not None and row.effect.sign else ""
    return f"{lead}{mark}{number(shown.value)}{unit}{mark} [{number(shown.low)}, {number(shown.high)}]"


def table(arms: Sequence[str], columns: Mapping[str, Sequence[str]]) -> str:
    lines = [["arm", *columns], ["---"] * (1 + len(columns))]
    lines += [[f"`{arm}`", *(cells[at] for cells in columns.values())] for at, arm in enumerate(arms)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tables(run: Run, model: str) -> Iterator[str]:
    summaries = [one for one in run.said["arms"] if one["model"] == model]
    arms = [one["name"] for one in summaries]

    def cells(measure: Measure, tasks: Sequence[str], wrong: bool = False) -> list[str]:
        return [cell(row) for row in run.effects(model, measure, tasks, wrong)]

    yield f"## {run.name}, {model}\n"
    yield table(
        arms,
        {
            "steps": [f"{one['steps']:.0f}" for one in summaries],
            "learned tokens": [f"{one['tokens']:,.0f}" for one in summaries],
            "loss": cells(LOSS, TASKS),
            "loss of wrong answers": cells(LOSS, TASKS, wrong=True),
            "right answers (choice tasks)": cells(RIGHT, CHOICES),
            "right above wrong (choice tasks)": cells(PICKED, CHOICES),
        },
    )
    for title, measure, tasks, wrong in (
        ("Loss by task", LOSS, TASKS, False),
        ("Loss of wrong answers by task", LOSS, TASKS, True),
        ("Right generated answers by task", RIGHT, TASKS, False),
        ("Right answer likelier than the wrong one, by task", PICKED, TASKS, False),
    ):
        yield f"### {title}\n"
        yield table(arms, {task: cells(measure, [task], wrong) for task in tasks})


def share(one: Mapping) -> str:
    """A share of verdicts with its interval."""
    if one["value"] is None:
        return "none"
    return f"{one['count']} of {one['of']}: {one['value']:.0%} [{one['low']:.0%}, {one['high']:.0%}]"


def rank(one: Mapping) -> str:
    if one["value"] is None:
        return "not defined"
    inside = "" if one["low"] is None else f" [{one['low']:+.2f}, {one['high']:+.2f}]"
    return f"{one['value']:+.2f}{inside}".replace("-", "−")


def agreement(run: Run) -> Iterator[str]:
    """How far the study agreed, and every verdict beside its outcome."""
    found = run.said["agreements"]
    if not found:
        return
    yield f"## {run.name}: the study beside training\n"
    head = (
        "| model | measure | context | against | query sets | same sign | rank correlation | committed "
        "| of them right |\n"
    )
    yield (
        head
        + "|---|---|---|---|---|---|---|---|---|\n"
        + "".join(
            f"| {one['model']} | {one['measure']} | {one['context']} | {one['against']} "
            f"| {one.get('direction', 'all')} | {share(one['signs'])} | {rank(one['rank'])} "
            f"| {share(one['committed'])} | {share(one['kept'])} |\n"
            for one in found
        )
    )
    yield "On the sets of right answers alone, of which those of wrong answers are nearly the mirror:\n"
    yield "| model | measure | against | same sign | rank correlation |\n|---|---|---|---|---|\n" + "".join(
        f"| {one['model']} | {one['measure']} | {one['against']} | {desired(one['rows'])} |\n"
        for one in found
        if one.get("direction") != "undesired"
    )
    for one in found:
        if one["measure"] != "loss":
            continue
        yield f"### {one['model']}, loss, {one['context']}, against {one['against']}\n"
        yield (
            "| arm | queries | verdict | predicted | true, nats per query |\n|---|---|---|---|---|\n"
            + "".join(
                f"| `{row['arm']}` | {row['query_set']} | {row['verdict']} | {estimate(row, 'predicted', 3)} "
                f"| {estimate(row, 'true', 2)} |\n"
                for row in one["rows"]
            )
        )


def desired(rows: Sequence[Mapping]) -> str:
    """Two cells: signs that agree and rank correlation, over the rows of right answers."""
    kept = [row for row in rows if not row["query_set"].endswith(WRONG)]
    signs = [row["agrees"] for row in kept if row["agrees"] is not None]
    order = correlation([row["predicted"] for row in kept], [row["true"] for row in kept])
    return f"{share(asdict(wilson_share(sum(signs), len(signs))))} | {rank(asdict(order))}"


def estimate(row: Mapping, name: str, digits: int) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    inside = "" if low is None else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"{value:+.{digits}f}{inside}".replace("-", "−")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders that assay validate wrote")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    for folder in args.runs:
        run = read(folder)
        parts = [text for model in run.said["models"] for text in tables(run, model)]
        parts += agreement(run)
        lead = (
            "The first arm's level, the others' differences from it (positive is better; of wrong answers "
            "a likelier one is worse). Nats per query, points of right answers; 95%, t over seeds, queries "
            "fixed; bold where the interval excludes 0, nothing adjusted for the number of tables.\n"
        )
        write_text(args.out / f"{run.name}.md", f"# {run.name}\n\n{lead}\n" + "\n".join(parts))


if __name__ == "__main__":
    main()
