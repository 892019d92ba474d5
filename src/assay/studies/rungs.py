"""Kinds of evidence on top of each other: which verdict rests on which, and what each added.

A verdict by real steps, where there is one with an interval, takes the place of that by gradients; both are
kept. Knows nothing of how either was measured.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from assay.studies.lookahead_verdicts import decided, stands
from assay.studies.result import Flag, Rung, Verdict

Place = tuple[str, str, str]

CONTRADICTIONS = {frozenset(("better", "worse")), frozenset(("helps", "harms"))}
PHRASES = {
    "better": "better than {control}",
    "worse": "worse than {control}",
    "helps": "helpful",
    "harms": "harmful",
}


def place(verdict: Verdict) -> Place:
    return verdict.probe_set, verdict.query_set, verdict.context


def open_sets(verdicts: Iterable[Verdict], control: str | None) -> list[str]:
    """Strategies with an undecided verdict, those with most of them first; the control is none."""
    counts = Counter(v.probe_set for v in verdicts if v.probe_set != control and not decided(v))
    return [name for name, _ in sorted(counts.items(), key=lambda one: -one[1])]


def strongest(
    gradient: Sequence[Verdict], lookahead: Sequence[Verdict], control: str | None
) -> tuple[Verdict, ...]:
    """The verdicts of a study that climbed: by real steps where these have an interval, else by gradients.

    Where the two say opposite things, the verdict carries the flag `rungs_disagree`.
    """
    below = {place(verdict): verdict for verdict in gradient}
    above = {place(verdict): verdict for verdict in lookahead if stands(verdict)}
    final = [above.get(at, verdict) for at, verdict in below.items()]
    final += [verdict for at, verdict in above.items() if at not in below]
    return tuple(
        replace(verdict, flags=(*verdict.flags, *_disagreement(below.get(place(verdict)), verdict, control)))
        for verdict in final
    )


def _disagreement(lower: Verdict | None, upper: Verdict, control: str | None) -> Iterable[Flag]:
    if lower is None or upper.evidence != "lookahead":
        return
    for ours, theirs in ((upper.vs_control, lower.vs_control), (upper.vs_zero, lower.vs_zero)):
        if ours is not None and theirs is not None and frozenset((ours, theirs)) in CONTRADICTIONS:
            said, was = (PHRASES[word].format(control=control) for word in (ours, theirs))
            yield Flag(
                "rungs_disagree",
                f"Gradients call {upper.probe_set} {was} and real steps call it {said}; the verdict rests on "
                "the steps.",
            )


def added(gradient: Sequence[Verdict], lookahead: Sequence[Verdict], control: str | None) -> str:
    """What real steps changed, in a sentence or two; `control` is not counted among the strategies."""
    below = {place(v): v for v in gradient if v.probe_set != control}
    above = {place(v): v for v in lookahead if v.probe_set != control and stands(v)}
    if not below:
        settled = sum(map(decided, above.values()))
        return f"Decided {settled} of {len(above)} {_verdicts(len(above))}."
    undecided = [at for at, verdict in below.items() if not decided(verdict)]
    if not undecided:
        return "Gradients had left no verdict open."
    reached = [at for at in undecided if at in above]
    settled = sum(decided(above[at]) for at in reached)
    opened = sum(at in above and decided(v) and not decided(above[at]) for at, v in below.items())
    contradicted = sum(
        at in above and any(True for _ in _disagreement(v, above[at], control)) for at, v in below.items()
    )
    said = f"Decided {settled} of the {len(undecided)} {_verdicts(len(undecided))} that gradients left open"
    if len(reached) < len(undecided):
        said += f" ({len(undecided) - len(reached)} of them were not reached)"
    if opened:
        said += f"; left open {opened} that gradients had decided"
    if contradicted:
        said += f"; contradicted {contradicted}"
    return f"{said}."


def gradient_rung(
    verdicts: Sequence[Verdict], control: str | None, checkpoints: int, seconds: float | None
) -> Rung:
    """What gradients alone said."""
    asked = [verdict for verdict in verdicts if verdict.probe_set != control]
    settled = sum(map(decided, asked))
    return Rung(
        "gradient",
        tuple(verdicts),
        what=f"Exact gradient products, no training; checkpoints: {checkpoints}.",
        added=f"Decided {settled} of {len(asked)} {_verdicts(len(asked))}.",
        seconds=seconds,
        arms=0,
    )


def _verdicts(count: int) -> str:
    return "verdict" if count == 1 else "verdicts"
