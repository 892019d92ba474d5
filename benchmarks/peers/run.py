"""assay beside Kronfluence and Bergson on the same model and examples: prints one table.

    python benchmarks/peers/run.py --peers .venv-peers/bin/python --out peers.json

Two fixtures (`write.py`): a random Llama (hidden 512, 8 layers, LoRA r=16) with a vocabulary of 16,000, 256
candidates and 12 queries, and with 128,000, 96 candidates and 12 queries. On each a plain forward and
backward pass, then inner products of all candidates with all queries, and EK-FAC from the factors to the
scores. Every contender is a process of its own, in its own environment; they take turns,
`--repeats` times, and each time is divided by the plain pass of the same round. Importing and reading the
model are outside the clock; eigendecompositions are a column of their own. `distance` is
‖scores − assay's‖F / ‖assay's‖F; under EK-FAC, where each draws labels of its own, the correlation of the
scores stands instead. With `--order arrival` the plain pass takes its batches in the order in which the
rows come, as a trainer without grouping by length does, and assay's inner products are taken twice: in the
same batches and in its own. `--small` only tries everything out.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from write import Size, fixture, write

HERE = Path(__file__).resolve().parent
CONTENDERS = {"assay": "with_assay.py", "Kronfluence": "with_kronfluence.py", "Bergson": "with_bergson.py"}
WORKS = {"dots": "inner products", "given": "inner products, the same batches", "ekfac": "EK-FAC"}
CLOCKS = ("wall", "processor")


@dataclass(frozen=True)
class Entry:
    """A process to be run: who does what."""

    who: str
    work: str

    @property
    def name(self) -> str:
        return f"{self.who}-{self.work}"

    @property
    def script(self) -> Path:
        return HERE / ("plain.py" if self.who == "plain" else CONTENDERS[self.who])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, required=True, help="Python with the other libraries installed")
    parser.add_argument("--folder", type=Path, default=Path("build/peers"), help="fixtures and results")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--vocabulary", type=int, choices=[16_000, 128_000], help="one fixture alone")
    parser.add_argument("--order", choices=["length", "arrival"], default="length", help="of the plain pass")
    parser.add_argument("--small", action="store_true", help="tiny fixtures, to try it out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sizes = [Size(16_000, 256, order=options.order), Size(128_000, 96, order=options.order)]
    if options.small:
        sizes = [Size(500, 24, queries=4, hidden=64, layers=2, order=options.order)]
    about = {
        "threads": options.threads,
        "repeats": options.repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(options.peers),
        "date": date.today().isoformat(),
    }
    found = []
    for size in sizes:
        if options.small or options.vocabulary in (None, size.vocabulary):
            found.append(compared(options, size))
            print(f"{table(found[-1])}\n", flush=True)
            if options.out:
                options.out.write_text(json.dumps({**about, "fixtures": found}, indent=1) + "\n")
    print(json.dumps(about))


def entries_of(order: str) -> list[Entry]:
    """Who does what on a fixture whose plain pass has its batches in this order."""
    if order == "arrival":
        return [Entry("plain", "dots"), Entry("assay", "given"), Entry("assay", "dots")]
    return [Entry("plain", "dots"), *(Entry(who, work) for work in ("dots", "ekfac") for who in CONTENDERS)]


def compared(options: argparse.Namespace, size: Size) -> dict:
    """Every entry's measurements round after round, on one fixture."""
    path = write(options.folder, size)
    entries = entries_of(options.order)
    runs: dict[str, list[dict]] = {entry.name: [] for entry in entries}
    for number in range(options.repeats):
        for entry in entries:
            runs[entry.name].append(measured(options, entry, path))
            print(
                f"round {number + 1}, {entry.name}: {brief(runs[entry.name][-1])}",
                file=sys.stderr,
                flush=True,
            )
    scores = {
        entry.name: np.load(result(path, entry) / "scores.npy") for entry in entries if entry.who != "plain"
    }
    return {
        "fixture": vars(size),
        "rows": [row(entry, runs, scores) for entry in entries],
        "runs": runs,
    }


def measured(options: argparse.Namespace, entry: Entry, path: Path) -> dict:
    """Run one process and read what it measured."""
    python = sys.executable if entry.who in ("plain", "assay") else str(options.peers.absolute())
    environment = {**os.environ, **fixture.MALLOC, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    environment |= {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [python, str(entry.script), str(path), entry.work, str(result(path, entry))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return json.loads((result(path, entry) / "measured.json").read_text())


def result(path: Path, entry: Entry) -> Path:
    return path / "results" / entry.name


def brief(run: dict) -> str:
    stages = ", ".join(f"{name} {seconds['wall']:.1f}" for name, seconds in run["stages"].items())
    return f"{stages} s; {run['peak_bytes'] / 2**20:.0f} MB"


def row(entry: Entry, runs: dict[str, list[dict]], scores: dict[str, np.ndarray]) -> dict:
    """One line of the table: medians over rounds, ratios to the plain pass of the same round."""
    mine = runs[entry.name]
    found: dict = {
        "who": entry.who,
        "what": "forward and backward" if entry.who == "plain" else WORKS[entry.work],
    }
    for clock in CLOCKS:
        passes = [run["stages"]["pass"][clock] for run in runs["plain-dots"]]
        spent = [seconds(run, clock) for run in mine]
        ratios = [one / plain for one, plain in zip(spent, passes, strict=True)]
        found[clock] = {
            "seconds": round(statistics.median(spent), 2),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    if "eigen" in mine[0]["stages"]:
        found["eigen_seconds"] = round(statistics.median(run["stages"]["eigen"]["wall"] for run in mine), 1)
    found["peak_megabytes"] = round(statistics.median(run["peak_bytes"] for run in mine) / 2**20)
    if entry.who in CONTENDERS and entry.who != "assay":
        ours, theirs = scores[f"assay-{entry.work}"], scores[entry.name]
        if entry.work == "dots":
            found["distance"] = float(np.linalg.norm(theirs - ours) / np.linalg.norm(ours))
        else:
            found["correlation"] = float(np.corrcoef(theirs.ravel(), ours.ravel())[0, 1])
    return found


def seconds(run: dict, clock: str) -> float:
    """All stages but the eigendecompositions."""
    return sum(each[clock] for name, each in run["stages"].items() if name != "eigen")


def table(found: dict) -> str:
    size = found["fixture"]
    head = [
        "what",
        "who",
        "wall, s",
        "/ plain",
        "processor, s",
        "/ plain",
        "eigen, s",
        "peak, MB",
        "beside assay",
    ]
    of = f"{size['candidates']} candidates, {size['queries']} queries"
    title = f"vocabulary {size['vocabulary']:,}, {of}, batches by {size['order']}\n"
    lines = [title, line(head), line(["---"] * len(head))]
    for each in found["rows"]:
        beside = f"distance {each['distance']:.0e}" if "distance" in each else ""
        if "correlation" in each:
            beside = f"correlation {each['correlation']:.3f}"
        clocks = [f"{each[clock]['seconds']} | {spread(each[clock])}" for clock in CLOCKS]
        memory = f"{each['peak_megabytes']:,}"
        lines.append(
            line([each["what"], each["who"], *clocks, str(each.get("eigen_seconds", "")), memory, beside])
        )
    return "\n".join(lines)


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(found: dict) -> str:
    """The median of the ratios, and all of them."""
    return f"{found['ratio']:.2f} ({', '.join(f'{ratio:.2f}' for ratio in found['ratios'])})"


def versions(peers: Path) -> dict[str, str]:
    """Of what runs here and there."""
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({n: m.version(n) for n in ('torch', 'transformers', 'kronfluence', 'bergson')}))"
    )
    return json.loads(
        subprocess.run([str(peers), "-c", code], capture_output=True, text=True, check=True).stdout
    )


if __name__ == "__main__":
    main()
