"""The table of rules: one row per rule, with what it needs and what it does. Knows no files.

A row turns what is known of a pool (`Asked`) into a `Choice` by one of the pure functions beside this file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.data.coded import Coded
from assay.errors import ConfigError
from assay.selection.budget import Limit
from assay.selection.choice import Choice
from assay.selection.diverse import LARGEST_COSINE, diverse
from assay.selection.named import Listed
from assay.selection.pruning import prune_combined, prune_correct, prune_incorrect
from assay.selection.ranked import middle, top, trim
from assay.selection.result import Pool
from assay.selection.rounds import ByQuery, balance, columns_of, round_robin

Need = Literal["score", "scores by query", "embeddings", "set correct", "set incorrect"]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is known of n candidates, in the order of the pool; higher is better, NaN where there is no score.

    `scores` are named columns, `ranks` mean percentile ranks within queries for some of the same names (1 for
    the highest). `by_query` holds a score for every query (or for every task of queries, `turns` says which)
    with the columns named by `queries`.
    """

    scores: Mapping[str, Float[np.ndarray, "n"]]
    ranks: Mapping[str, Float[np.ndarray, "n"]] = field(default_factory=dict)
    by_query: ByQuery | None = None
    queries: tuple[str, ...] = ()
    turns: Literal["query", "task"] = "query"
    embeddings: Float[np.ndarray, "n d"] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How a rule is meant where it can be meant in several ways.

    `order` names the column that decides (it may be left out where there is one); `lowest_first` turns the
    order around. `start` is the share of the order that middle passes over. balance goes over candidates'
    tasks or sources (`by`), in proportion to their size or `equally`. `threshold` is the largest cosine of
    diverse. `correct` and `incorrect` name the columns of s_C and s_I. `weights` asks for weights by rank,
    and `beside` names the choices to compare with (None: the usual ones; `beside.overlaps`).
    """

    order: str | None = None
    lowest_first: bool = False
    start: float | None = None
    by: Literal["task", "source"] = "task"
    equally: bool = False
    threshold: float = LARGEST_COSINE
    correct: str = "correct"
    incorrect: str = "incorrect"
    weights: bool = False
    beside: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One question to a rule; `order` is the column that decides, where the rule goes by one."""

    pool: Pool
    columns: Columns
    limit: Limit
    options: Options
    order: str

    @property
    def scores(self) -> Float[np.ndarray, "n"]:
        """The deciding column, higher first."""
        scores = self.columns.scores[self.order]
        return -scores if self.options.lowest_first else scores

    @property
    def name(self) -> str:
        """What the deciding scores are called, turned around where the lowest come first."""
        called = self.order or "score"
        return f"minus {called}" if self.options.lowest_first else called

    def side(self, name: str) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Score and mean percentile rank of a query set."""
        return self.columns.scores[name], self.columns.ranks[name]

    def known(self, name: str) -> str:
        """The name of a column, or nothing where there is none."""
        return name if name in self.columns.scores else ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what it needs, its own options beyond those of every rule, and a sentence to choose by."""

    name: str
    title: str
    needs: tuple[Need, ...]
    options: tuple[str, ...]
    sentence: str
    choose: Callable[[Asked], Choice]

    @property
    def prunes(self) -> bool:
        """Whether it goes by the query sets of influence pruning."""
        return "set correct" in self.needs or "set incorrect" in self.needs

    @property
    def asks_queries(self) -> bool:
        """Whether queries choose, each by a score of its own, so that no one column does."""
        return "scores by query" in self.needs


def _balance(asked: Asked) -> Choice:
    if asked.options.by == "source":
        groups = Coded.of(asked.pool.files)
    else:
        groups = Coded.of("(no task)" if task is None else task for task in asked.pool.tasks)
    if len(groups.names) < 2:
        raise ConfigError(
            f"There is nothing to balance but one {asked.options.by}, {groups[0]}; take the rule top."
        )
    shares: Literal["size", "equal"] = "equal" if asked.options.equally else "size"
    return balance(asked.scores, asked.limit, asked.name, groups, shares, asked.options.by)


def _round_robin(asked: Asked) -> Choice:
    columns = asked.columns
    assert columns.by_query is not None
    scores = columns.by_query
    if asked.options.lowest_first:
        scores = Listed.of(columns_of(scores), np.negative)
    return round_robin(scores, asked.limit, asked.name, columns.queries, columns.turns)


def _diverse(asked: Asked) -> Choice:
    embeddings = asked.columns.embeddings
    assert embeddings is not None
    return diverse(asked.scores, embeddings, asked.limit, asked.name, asked.pool.ids, asked.options.threshold)


def _correct(asked: Asked) -> Choice:
    name = asked.options.correct
    return prune_correct(*asked.side(name), asked.limit, name, asked.known(asked.options.incorrect))


def _incorrect(asked: Asked) -> Choice:
    name = asked.options.incorrect
    return prune_incorrect(*asked.side(name), asked.limit, name, asked.known(asked.options.correct))


def _combined(asked: Asked) -> Choice:
    names = (asked.options.correct, asked.options.incorrect)
    return prune_combined(asked.side(names[0]), asked.side(names[1]), asked.limit, names)


_ROWS = (
    Rule(
        "top",
        "The best",
        ("score",),
        ("order", "lowest_first"),
        "Keeps the highest scores until the budget is full.",
        lambda asked: top(asked.scores, asked.limit, asked.name),
    ),
    Rule(
        "trim",
        "All but the worst",
        ("score",),
        ("order", "lowest_first"),
        "Drops the lowest scores until the rest is within the budget; what has no score is kept.",
        lambda asked: trim(asked.scores, asked.limit, asked.name),
    ),
    Rule(
        "middle",
        "A band",
        ("score",),
        ("order", "lowest_first", "start"),
        "Keeps a band of the order, in the middle or from a share of it on (--start).",
        lambda asked: middle(asked.scores, asked.limit, asked.name, asked.options.start),
    ),
    Rule(
        "round_robin",
        "In turn",
        ("scores by query",),
        ("order", "lowest_first"),
        "Each query in turn takes its best candidate that is left, or each task of queries (--turns).",
        _round_robin,
    ),
    Rule(
        "balance",
        "Balanced",
        ("score",),
        ("order", "lowest_first", "by", "equally"),
        "Shares the budget between tasks or sources, by size or equally, and keeps the best of each.",
        _balance,
    ),
    Rule(
        "diverse",
        "Diverse",
        ("score", "embeddings"),
        ("order", "lowest_first", "threshold"),
        "From the best down, keeps what is not too much like what is kept already (--threshold).",
        _diverse,
    ),
    Rule(
        "correct",
        "Correct pruning",
        ("set correct",),
        ("correct", "incorrect"),
        "Drops what helps least towards right answers: low in score and in mean rank.",
        _correct,
    ),
    Rule(
        "incorrect",
        "Incorrect pruning",
        ("set incorrect",),
        ("correct", "incorrect"),
        "Drops what helps most towards wrong answers: high in score and in mean rank.",
        _incorrect,
    ),
    Rule(
        "combined",
        "Combined pruning",
        ("set correct", "set incorrect"),
        ("correct", "incorrect"),
        "Drops alternately by correct and by incorrect pruning.",
        _combined,
    ),
)

RULES: dict[str, Rule] = {row.name: row for row in _ROWS}


def rule_named(name: str) -> Rule:
    """The row called `name`; ConfigError names the nearest ones there are."""
    if name not in RULES:
        near = get_close_matches(name.lower().replace("-", "_"), RULES, n=3, cutoff=0.5)
        choice = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(RULES)}."
        raise ConfigError(f"There is no rule {name!r}; {choice}")
    return RULES[name]
