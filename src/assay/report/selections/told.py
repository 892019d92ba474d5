"""A selection in sentences: the headline, its changes, and all of it for a terminal. Knows no HTML."""

from collections.abc import Iterable, Mapping, Sequence

from assay.report.selections.deciding import choosing, sides_of
from assay.report.selections.demonstrations import in_context_lines
from assay.report.words import count, label, listed, path_label
from assay.selection.result import Drift, Overlap, SelectionResult, Share

_CHOICES = {
    "random": "a random choice",
    "longest": "the longest completions",
    "shortest": "the shortest completions",
}


def percent(part: float, whole: float = 1.0) -> str:
    """A share with one decimal; of nothing, none."""
    return f"{100 * part / whole:.1f}%" if whole else "–"


def headline(result: SelectionResult) -> str:
    """The decision in one sentence, with the method that scored where the columns do not name it."""
    n, kept = len(result.pool), int(result.kept.sum())
    tokens, all_tokens = int(result.pool.tokens[result.kept].sum()), int(result.pool.tokens.sum())
    return (
        f"Kept {kept:,} of {count(n, 'example')} ({percent(kept, n)}) with {tokens:,} of "
        f"{count(all_tokens, 'learned token')} ({percent(tokens, all_tokens)}), by the rule "
        f"{label(result.rule)}{_decided_by(result)}."
    )


def _decided_by(result: SelectionResult) -> str:
    names = [
        f"{side.symbols[0]} ({label(side.name, 40)})" if side.low is not None else label(side.name, 40)
        for side in sides_of(result)
    ]
    options = result.about.get("options")
    turned = isinstance(options, Mapping) and options.get("lowest_first")
    method = result.about.get("method")
    by = f" of {label(method, 40)}" if isinstance(method, str) and result.region is not None else ""
    on = f" on {listed(names)}{by}{', lowest first' if turned else ''}" if names else ""
    return f"{on}, in which {who} take turns" if (who := choosing(result)) else on


def choice_name(overlap: Overlap) -> str:
    """Another choice as it is said: “the longest completions”, “the highest loss”."""
    return _CHOICES.get(overlap.name) or f"the {label(overlap.name, 60)}"


def changed_most(shares: Iterable[Share]) -> list[Share]:
    """Largest change of its share first; those that change alike in their own order."""
    return sorted(shares, key=lambda share: -abs(share.share_after - share.share_before))


def largest_change(drift: Drift) -> str:
    """The task or source whose share changed most, in a sentence; empty where the mix is as before."""
    found = [("task", share) for share in drift.tasks] + [("source", share) for share in drift.sources]
    if not found:
        return ""
    noun, share = max(found, key=lambda one: abs(one[1].share_after - one[1].share_before))
    before, after = percent(share.share_before), percent(share.share_after)
    if before == after:
        return ""
    name = "" if share.name is None else (path_label if noun == "source" else label)(share.name, 60)
    who = f"{noun} {name}" if share.name is not None else "examples without a task"
    return f"The mix changed most for {who}: from {before} of the pool to {after} of what is kept."


def beside(overlaps: Sequence[Overlap], most: int = 3) -> str:
    """What other choices would share, in a sentence: of scores the `most` that chance explains least."""
    plain = [one for one in overlaps if one.name in _CHOICES]
    scored = [one for one in overlaps if one.name not in _CHOICES]
    telling = sorted(scored, key=lambda one: -abs(one.shared - one.by_chance))[:most]
    said = [f"{choice_name(one)} {percent(one.shared)}{_chance(one)}" for one in (*plain, *telling)]
    more = len(scored) - len(telling)
    rest = f"; {more:,} more choices are in the report" if more else ""
    return f"Of what is kept, choices of the same size would keep: {', '.join(said)}{rest}."


def _chance(overlap: Overlap) -> str:
    return "" if overlap.name == "random" else f" (by chance {percent(overlap.by_chance)})"


def selection_lines(result: SelectionResult) -> list[str]:
    """What the page says, short, for a terminal: decision, reading, changes, overlaps, notes. No markup."""
    said = [headline(result)]
    said += [label(one, 600) for one in result.reading if not one.startswith("Kept are ")]
    if result.drift is not None and (change := largest_change(result.drift)):
        said.append(change)
    if result.overlaps and not result.kept.all():
        said.append(beside(result.overlaps))
    said += in_context_lines(result)
    return [*said, *(label(one, 600) for one in result.notes)]
