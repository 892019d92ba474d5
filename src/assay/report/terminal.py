"""The verdicts for a terminal of 80 columns. Prints nothing: returns what rich can draw."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from assay.report import words
from assay.report.sections import caveats, undecided
from assay.studies.result import StudyResult, Verdict

_STYLES = {"good": "green", "bad": "red", "even": "bold"}


def verdict_table(result: StudyResult) -> Table:
    """One row a verdict, at most 80 columns; flags are the numbers that `summary_lines` explains."""
    if words.several_rungs(result):
        return _rungs_table(result)
    verdicts = words.main_verdicts(result)
    numbers = _flag_numbers(result)
    places = words.places_for(v.difference or v.effect for v in verdicts)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    beside = any(v.vs_control for v in verdicts)
    lead = "vs control" if beside else "vs zero"
    table.add_column("strategy", max_width=10, no_wrap=True, overflow="ellipsis")
    table.add_column("on", max_width=8, no_wrap=True, overflow="ellipsis")
    table.add_column("task", no_wrap=True)
    table.add_column(lead, no_wrap=True)
    table.add_column(f"{'difference' if beside else 'effect'} [95%]", no_wrap=True, justify="right")
    table.add_column("by itself" if beside else "when", no_wrap=True)
    table.add_column("flag", overflow="fold", min_width=4)
    control = words.control_of(result)
    for verdict in verdicts:
        table.add_row(*_row(verdict, verdict.probe_set == control, beside, places, numbers))
    return table


def summary_lines(result: StudyResult) -> list[str]:
    """The one-line answer, what would settle the undecided, and a line for each kind of flag."""
    lines = [words.answer(result), *_rung_lines(result)]
    lines += [
        f"{words.label(v.probe_set)}, {v.context}, on {words.label(v.query_set)}: "
        f"{words.label(v.settle.sentence if v.settle else '', 400)}"
        for v in undecided(result)
    ]
    numbers = _flag_numbers(result)
    for caveat in caveats(result):
        mark = f"[{numbers[caveat.code]}] " if caveat.code in numbers else ""
        more = len(caveat.sentences) - 1
        said = words.label(caveat.sentences[0][0], 400) + (f" (And {more} more like it.)" if more else "")
        lines.append(f"{mark}{words.code_label(caveat.code)}: {said}")
    return lines


def _rungs_table(result: StudyResult) -> Table:
    """One row a verdict: what each rung says by itself, and the number of the one that it rests on."""
    verdicts = words.main_verdicts(result)
    numbers, control = _flag_numbers(result), words.control_of(result)
    beside = any(v.vs_control for v in verdicts)
    places = {
        evidence: words.places_for(v.difference or v.effect for v in verdicts if v.evidence == evidence)
        for evidence in words.EVIDENCE
    }
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("strategy", max_width=10, no_wrap=True, overflow="ellipsis")
    table.add_column("on", max_width=8, no_wrap=True, overflow="ellipsis")
    table.add_column("task", no_wrap=True)
    for rung in result.rungs:
        table.add_column(words.EVIDENCE[rung.evidence], no_wrap=True)
    table.add_column(f"{'difference' if beside else 'effect'} [95%]", no_wrap=True, justify="right")
    table.add_column("flag", overflow="fold", min_width=4)
    for verdict in verdicts:
        shown = (verdict.difference if beside else verdict.effect) if verdict.probe_set != control else None
        digits = places[verdict.evidence]
        said = "" if shown is None else f"{words.number(shown.value, digits)} {words.interval(shown, digits)}"
        flags = ",".join(str(number) for number in sorted({numbers[flag.code] for flag in verdict.flags}))
        table.add_row(
            Text(words.label(verdict.probe_set)),
            Text(words.label(verdict.query_set)),
            Text("in" if verdict.context == "in-task" else "cross"),
            *(_of_rung(words.of_rung(rung, verdict), verdict) for rung in result.rungs),
            Text("(control, by itself)", style="dim") if verdict.probe_set == control else Text(said),
            Text(flags),
        )
    return table


def _of_rung(found: Verdict | None, final: Verdict) -> Text:
    """A rung's word, dim where the verdict rests on another."""
    if found is None:
        return Text("–", style="dim")
    word = words.outcome(found)
    rests = found.evidence == final.evidence
    style = _STYLES.get(words.TONES.get(word, ""), "dim") if rests else "dim"
    return Text(f"{words.SYMBOLS[word]} {words.PHRASES.get(word, word)}", style=style)


def _rung_lines(result: StudyResult) -> list[str]:
    """What each rung did, added and cost."""
    lines = [
        f"{words.EVIDENCE[rung.evidence].capitalize()} ({words.duration(rung.seconds)}"
        f"{f', {rung.arms:,} arms' if rung.arms else ''}): "
        + " ".join(words.label(text, 400) for text in (rung.added, rung.what, *rung.notes))
        for rung in result.rungs
    ]
    if words.several_rungs(result):
        lines.append(
            "Where there are real steps the verdict rests on them, and its number is in nats per query."
        )
    return lines


def _flag_numbers(result: StudyResult) -> dict[str, int]:
    """A number for every code that a verdict carries, in order of appearance."""
    codes = dict.fromkeys(flag.code for v in words.main_verdicts(result) for flag in v.flags)
    return {code: index + 1 for index, code in enumerate(codes)}


def _row(
    verdict: Verdict, is_control: bool, beside: bool, places: int, numbers: dict[str, int]
) -> list[RenderableType]:
    """Beside a control the number is the difference from it, and the last word is on the effect by itself."""
    shown = verdict.difference if beside else verdict.effect
    word = words.outcome(verdict)
    style = _STYLES.get(words.TONES.get(word, ""), "dim")
    said = f"{words.SYMBOLS[word]} {words.PHRASES.get(word, word)}"
    flags = ",".join(str(number) for number in sorted({numbers[flag.code] for flag in verdict.flags}))
    return [
        Text(words.label(verdict.probe_set)),
        Text(words.label(verdict.query_set)),
        Text("in" if verdict.context == "in-task" else "cross"),
        Text("(control)", style="dim") if is_control else Text(said, style=style),
        Text("" if shown is None else f"{words.number(shown.value, places)} {words.interval(shown, places)}"),
        Text(
            words.PHRASES.get(verdict.vs_zero, verdict.vs_zero)
            if beside
            else ("" if verdict.when == "undecided" else verdict.when)
        ),
        Text(flags),
    ]
