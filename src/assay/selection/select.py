"""One selection: a rule asked about a pool, with everything there is to say about its answer.

Knows the table of rules and no files. The same input always gives the same output.
"""

from dataclasses import asdict

import numpy as np
from jaxtyping import Float

from assay.data.texts import counted
from assay.errors import ConfigError
from assay.selection.beside import overlaps, usual_choices
from assay.selection.budget import Budget, Limit
from assay.selection.choice import Choice
from assay.selection.drift import drift_of, drift_sentences
from assay.selection.named import Named
from assay.selection.orders import percent, require_no_infinity
from assay.selection.result import Pool, SelectionResult
from assay.selection.rounds import columns_of
from assay.selection.rules import RULES, Asked, Columns, Options, Rule, rule_named
from assay.selection.weights import HOW, rank_weights

RANK = "rank by {}"
"""How the result's column of mean percentile ranks is called."""


def select(
    pool: Pool,
    columns: Columns,
    rule: str,
    budget: Budget | str | int,
    options: Options | None = None,
) -> SelectionResult:
    """Ask a rule which candidates to keep, and say everything about it that can be said without a model.

    The result's scores are the given columns and, as "rank by NAME", the mean percentile ranks. Raises
    ConfigError for an empty pool, a budget or option that cannot be, and for what the rule needs and was not
    given; NumericsError naming the candidate whose score is infinite.
    """
    options = options or Options()
    row = rule_named(rule)
    _require_options(row, options)
    if not len(pool):
        raise ConfigError("There are no candidates to choose from.")
    limit = (budget if isinstance(budget, Budget) else Budget.parse(budget)).of(pool.tokens)
    _require_columns(pool, columns)
    asked = Asked(pool, columns, limit, options, _deciding(row, columns, options))
    choice = row.choose(asked)
    decided = (options.correct, options.incorrect) if row.name == "combined" else (asked.order,)
    words = usual_choices(columns.scores, decided) if options.beside is None else options.beside
    drift = drift_of(pool, choice.kept)
    weights = rank_weights(choice.preference, choice.kept) if options.weights else None
    return SelectionResult(
        pool=pool,
        kept=choice.kept,
        reasons=choice.reasons,
        rule=row.name,
        reading=(*choice.reading, _tally(choice, pool, limit), *([HOW] if options.weights else [])),
        scores=_with_ranks(columns),
        order=asked.order,
        overlaps=overlaps(choice.kept, pool.tokens, columns.scores, words),
        region=choice.region,
        weights=weights,
        notes=drift_sentences(drift),
        about={
            "budget": str(budget),
            "options": asdict(options),
            **({"turns": columns.turns} if row.asks_queries else {}),
        },
        drift=drift,
    )


def _require_options(row: Rule, options: Options) -> None:
    """Raise ConfigError for an option that is set and that the rule does not have."""
    unset = Options()
    for name in dict.fromkeys(name for other in RULES.values() for name in other.options):
        if name not in row.options and getattr(options, name) != getattr(unset, name):
            having = ", ".join(other.name for other in RULES.values() if name in other.options)
            raise ConfigError(f"{row.name} has no option {name}; it belongs to {having}.")


def _deciding(row: Rule, columns: Columns, options: Options) -> str:
    """The column that a rule goes by (for combined s_C; "" where queries choose), all its needs checked."""
    for need, name in (("set correct", options.correct), ("set incorrect", options.incorrect)):
        if need in row.needs and not (name in columns.scores and name in columns.ranks):
            raise ConfigError(
                f"{row.name} needs scores and ranks of the query set {name!r}, which were not computed; "
                f"there are scores {_listed(columns)}."
            )
    if "set correct" in row.needs:
        return options.correct
    if "set incorrect" in row.needs:
        return options.incorrect
    if "scores by query" in row.needs and columns.by_query is None:
        raise ConfigError(f"{row.name} needs a score for every query, which these methods do not give.")
    if "embeddings" in row.needs and columns.embeddings is None:
        raise ConfigError(f"{row.name} needs embeddings of the candidates, which were not computed.")
    return _named(columns, options.order, "score" in row.needs)


def _named(columns: Columns, order: str | None, needed: bool) -> str:
    """The column that was asked for, or the only one."""
    if order is None:
        if needed and len(columns.scores) != 1:
            raise ConfigError(f"Name the score that decides; there are {_listed(columns)}.")
        return next(iter(columns.scores), "")
    if order not in columns.scores:
        raise ConfigError(f"There is no score {order!r}; there are {_listed(columns)}.")
    return order


def _require_columns(pool: Pool, columns: Columns) -> None:
    """Columns as long as the pool, and nothing infinite in them."""
    for name, values in _with_ranks(columns).items():
        _require_column(values, pool, name)
    for values in () if columns.by_query is None else columns_of(columns.by_query):
        _require_column(values, pool, "scores by query")


def _require_column(values: Float[np.ndarray, "n"], pool: Pool, name: str) -> None:
    if len(values) != len(pool):
        raise ConfigError(
            f"{name} has {len(values):,} values, but the pool has {counted(len(pool), 'candidate')}."
        )
    require_no_infinity(np.asarray(values), pool.ids, name)


def _with_ranks(columns: Columns) -> Named:
    """The scores, and the mean percentile ranks as "rank by NAME"."""
    return Named.of(columns.scores) | Named.of(columns.ranks, RANK)


def _tally(choice: Choice, pool: Pool, limit: Limit) -> str:
    kept, tokens = int(choice.kept.sum()), int(pool.tokens[choice.kept].sum())
    return (
        f"Kept are {kept:,} of {len(pool):,} candidates ({percent(kept, len(pool))}), with {tokens:,} of "
        f"{int(pool.tokens.sum()):,} learned tokens."
    )


def _listed(columns: Columns) -> str:
    return ", ".join(columns.scores) or "none"
