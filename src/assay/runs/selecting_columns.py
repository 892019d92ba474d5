"""The columns of a scoring that a rule goes by, chosen by the settings of a selection. Writes nothing."""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial

from assay.errors import ConfigError
from assay.runs.scored import Found, Scored
from assay.runs.scored_columns import FoundColumns
from assay.runs.scores.config import CORRECT, INCORRECT
from assay.runs.selecting_config import SelectConfig
from assay.selection.named import Listed, Named
from assay.selection.rules import Columns, Rule

BESIDE = ("minus_loss", "ifd")
"""What passes by gradients and in context score unasked, to compare with; decides where named or alone."""


def method_of(scored: Scored, rule: Rule, wanted: str | None) -> str:
    """The method that decides: as named, or the only one that may.

    Raises ConfigError where that is none or several, or one that asks no queries where the rule needs them.
    """
    needs_queries = rule.prunes or rule.asks_queries
    fit = [name for name in scored.methods if not needs_queries or scored.query_sets(name) != (None,)]
    if wanted is not None and wanted not in scored.methods:
        raise ConfigError(
            f"--method {wanted}: there are no such scores; there are {', '.join(scored.methods)}."
        )
    if not fit:
        raise ConfigError(f"{rule.name} goes by scores of queries, and no method that asks any was scored.")
    if wanted is not None and wanted not in fit:
        raise ConfigError(
            f"--method {wanted}: it asks no queries, and {rule.name} goes by scores of queries; take "
            f"{' or '.join(fit)}."
        )
    asked = [name for name in fit if name not in BESIDE] or fit
    if wanted is None and len(asked) > 1:
        raise ConfigError(f"Several methods were scored; name one with --method: {', '.join(fit)}.")
    return wanted or asked[0]


def columns_of(scored: Scored, config: SelectConfig, rule: Rule, method: str) -> tuple[Columns, str | None]:
    """What the rule goes by, and the name of the deciding column (None where two sides decide).

    Raises ConfigError where the scoring does not have it.
    """
    if rule.prunes:
        return _sides(scored, rule, method), None
    query_set = _query_set(scored, method, config.query_set)
    columns, name = _deciding(scored, config, method, query_set)
    if rule.asks_queries:
        columns = _with_turns(scored, config, method, str(query_set), columns)
    if "embeddings" in rule.needs:
        columns = dataclasses.replace(columns, embeddings=scored.embeddings())
        if columns.embeddings is None:
            raise ConfigError(
                f"{rule.name} compares candidates by their hidden states, which were not computed; run the "
                "same `assay score` again with --method embedding beside."
            )
    return columns, name


def _sides(scored: Scored, rule: Rule, method: str) -> Columns:
    """The columns of pruning: scores and mean percentile ranks on the sets of right and of wrong answers."""
    sets = scored.query_sets(method)
    needed = {"set correct": CORRECT, "set incorrect": INCORRECT}
    missing = [name for need, name in needed.items() if need in rule.needs and name not in sets]
    if missing:
        said = f"query set{'s' if len(missing) > 1 else ''} {' and '.join(map(repr, missing))}"
        raise ConfigError(
            f"{rule.name} goes by the {said}, but {method} has {_listed(sets)}; `assay score --questions` "
            "makes them."
        )
    found = {name: Found(method, name, None) for name in (CORRECT, INCORRECT) if name in sets}
    return Columns(
        scores=_named(scored.scores, found) | _others(scored, method),
        ranks=_named(scored.percentiles, found),
    )


def _query_set(scored: Scored, method: str, wanted: str | None) -> str | None:
    """The query set as named, or the only one; None where the method asks no queries."""
    sets = scored.query_sets(method)
    if wanted is None and len(sets) > 1:
        raise ConfigError(f"{method} has several query sets; name one with --query-set: {_listed(sets)}.")
    if wanted is not None and wanted not in sets:
        has = "asks no queries" if sets == (None,) else f"has {_listed(sets)}"
        raise ConfigError(f"--query-set {wanted}: {method} {has}.")
    return wanted or sets[0]


def _deciding(
    scored: Scored, config: SelectConfig, method: str, query_set: str | None
) -> tuple[Columns, str]:
    """The deciding column under the method's name, and every other method's beside it."""
    found = Found(method, query_set, config.task)
    if found not in scored.scores:
        tasks = scored.by_task(method, query_set)
        has = f"has {_listed(tasks)}" if tasks else "has no tasks" if query_set else "asks no queries"
        raise ConfigError(f"--task {config.task}: {method} {has}.")
    sets = [query_set] if query_set is not None and len(scored.query_sets(method)) > 1 else []
    on = [*sets, *([config.task] if config.task is not None else [])]
    name = f"{method} on {', '.join(on)}" if on else method
    return Columns(_named(scored.scores, {name: found}) | _others(scored, method)), name


def _with_turns(
    scored: Scored, config: SelectConfig, method: str, query_set: str, columns: Columns
) -> Columns:
    """With the scores by which every query, or every task of them, chooses in its turn."""
    pairs = scored.by_query(method, query_set)
    if config.turns == "query":
        return dataclasses.replace(columns, by_query=pairs.scores, queries=pairs.ids)
    without = pairs.tasks.count(None)
    if without:
        raise ConfigError(
            f"--turns task: {without:,} of {len(pairs.tasks):,} queries of {query_set} have no task and "
            "would have no turn; label them, or take --turns query."
        )
    found = scored.by_task(method, query_set)
    scores = Listed([partial(scored.scores.__getitem__, one) for one in found.values()])
    return dataclasses.replace(columns, by_query=scores, queries=tuple(found), turns="task")


def _others(scored: Scored, method: str) -> Named:
    """Whole-set columns of the other methods, for comparison."""
    others = {}
    for name in scored.methods:
        sets = scored.query_sets(name)
        if name != method and len(sets) == 1:
            others[name] = Found(name, sets[0], None)
    return _named(scored.scores, others)


def _named(columns: FoundColumns, found: Mapping[str, Found]) -> Named:
    """These columns by name, read when they are asked for."""
    return Named({name: partial(columns.__getitem__, one) for name, one in found.items()})


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names if name)) or "none"
