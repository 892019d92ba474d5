"""A finished scoring in the terminal: the highest and lowest candidates of every method."""

import shlex

from rich.table import Table
from rich.text import Text

from assay.methods.table import method_named
from assay.runs.scores.aggregates import Aggregate
from assay.runs.scores.config import CORRECT, INCORRECT
from assay.runs.scores.needs import ON_OWN_QUERIES
from assay.runs.scores.run import Scores
from assay.selection.orders import best_first

SHOWN = 3
"""Candidates shown from either end."""


def scores_told(done: Scores) -> Table:
    """A line for each method and query set: how many candidates have a score, and who is at either end."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("method", "left"), ("queries", "left"), ("scored", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    table.add_column("highest")
    table.add_column("lowest")
    several = {one.method for one in done.aggregates if one.checkpoint == "all"}
    for one in done.aggregates:
        if one.query_task is None and (one.method not in several or one.checkpoint == "all"):
            scored, highest, lowest = _ends(done, one)
            table.add_row(one.method, one.query_set or "none", f"{scored:,}", _names(highest), _names(lowest))
    return table


def next_command(done: Scores) -> str:
    """A selection by the first method, as it can be typed: by its first query set, by right and wrong answers
    where the sets are those, or as the publication of in-context influence selects."""
    method = done.aggregates[0].method
    sets = list(dict.fromkeys(one.query_set for one in done.aggregates if one.method == method))
    by = ["--query-set", str(sets[0])] if len(sets) > 1 else []
    where = ["--scores", str(done.folder), "--method", method]
    if method_named(method).measure in ON_OWN_QUERIES:
        return shlex.join(["assay", "select", *where, "--rule", "diverse", "--budget", "10%"])
    rule = ["--rule", "combined"] if set(sets) == {CORRECT, INCORRECT} else [*by, "--rule", "top"]
    return shlex.join(["assay", "select", *where, *rule, "--budget", "50%"])


def _ends(done: Scores, one: Aggregate) -> tuple[int, list[str], list[str]]:
    """How many candidates have a score, and the ids of the highest and of the lowest, the outermost first."""
    order = best_first(one.scores)
    ids = done.candidates.names()
    names = [ids[int(at)] for at in (*order[:SHOWN], *order[::-1][:SHOWN])]
    half = len(names) // 2
    return len(order), names[:half], names[half:]


def _names(ids: list[str]) -> Text:
    return Text(_printable(", ".join(ids)))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)
