"""The verdicts for a terminal of 80 columns. Prints nothing: returns what rich can draw."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from assay.report import words
from assay.report.sections import caveats
from assay.study.result import StudyResult, Verdict

_STYLES = {"good": "green", "bad": "red", "even": "bold"}


def verdict_table(result: StudyResult) -> Table:
    """One row a verdict, at most 80 columns; flags are the numbers that `summary_lines` explains."""
    verdicts = words.main_verdicts(result)
    numbers = _flag_numbers(result)
    places = words.places_for(v.effect for v in verdicts)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    lead = "vs control" if any(v.vs_control for v in verdicts) else "vs zero"
    table.add_column("strategy", max_width=10, no_wrap=True, overflow="ellipsis")
    table.add_column("on", max_width=8, no_wrap=True, overflow="ellipsis")
    table.add_column("task", no_wrap=True)
    table.add_column(lead, no_wrap=True)
    table.add_column("effect [95%]", no_wrap=True, justify="right")
    table.add_column("when", no_wrap=True)
    table.add_column("flag", overflow="fold", min_width=4)
    for verdict in verdicts:
        table.add_row(*_row(verdict, places, numbers))
    return table


def summary_lines(result: StudyResult) -> list[str]:
    """The one-line answer, what would settle the undecided, and the flags by number."""
    lines = [words.answer(result)]
    lines += [
        f"{words.label(v.probe_set)}, {v.context}, on {words.label(v.query_set)}: "
        f"{words.label(v.settle.sentence, 400)}"
        for v in words.main_verdicts(result)
        if v.settle is not None
    ]
    numbers = _flag_numbers(result)
    for caveat in caveats(result):
        code = words.code_label(caveat.flag.code)
        mark = f"[{numbers[caveat.flag.code]}] " if caveat.flag.code in numbers else ""
        lines.append(f"{mark}{code}: {words.label(caveat.flag.sentence, 400)}")
    return lines


def _flag_numbers(result: StudyResult) -> dict[str, int]:
    """A number for every code that a verdict carries, in order of appearance."""
    codes = dict.fromkeys(flag.code for v in words.main_verdicts(result) for flag in v.flags)
    return {code: index + 1 for index, code in enumerate(codes)}


def _row(verdict: Verdict, places: int, numbers: dict[str, int]) -> list[RenderableType]:
    word = words.outcome(verdict)
    style = _STYLES.get(words.TONES.get(word, ""), "dim")
    flags = ",".join(str(number) for number in sorted({numbers[flag.code] for flag in verdict.flags}))
    return [
        Text(words.label(verdict.probe_set)),
        Text(words.label(verdict.query_set)),
        Text("in" if verdict.context == "in-task" else "cross"),
        Text(f"{words.SYMBOLS[word]} {words.PHRASES.get(word, word)}", style=style),
        Text(f"{words.number(verdict.effect.value, places)} {words.interval(verdict.effect, places)}"),
        Text("" if verdict.when == "undecided" else verdict.when),
        Text(flags),
    ]
