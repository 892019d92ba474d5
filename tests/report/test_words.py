"""The words, numbers and places of the report."""

from dataclasses import replace
from itertools import pairwise

import pytest
from rich.console import Console

from assay.report import palette, sections, summary_lines, verdict_table, words
from assay.report.charts.base import frame_of
from assay.report.charts.cells import bin_edges, saturation, shown_tasks
from assay.report.charts.curves import Steps, spread
from assay.report.svg import clean
from assay.studies.estimators import ESTIMATORS
from assay.studies.result import Cell, CurvePoint
from tests.report.studies import climbed, estimate, make_study


def test_the_answer_names_every_strategy_once_per_context() -> None:
    said = words.answer(make_study())
    own, other = said.split(" On other tasks, ")
    assert own.startswith("On their own tasks, ")
    assert other.startswith("cot and clarify do more than plain; evaluation does as much as plain")
    for name in ("cot", "clarify", "evaluation", "shuffled", "wrong"):
        assert other.count(name) == own.count(name) == 1


def test_the_answer_speaks_of_desired_queries_first() -> None:
    result = make_study(queries=("bad answers", "held-out"), checkpoints=2)
    desired = tuple(verdict for verdict in result.verdicts if verdict.query_set == "held-out")
    assert result.verdicts[0].query_set == "bad answers"
    assert words.answer(result) == words.answer(replace(result, verdicts=desired))


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.0514, 3, "+0.051"),
        (-0.0514, 2, "−0.05"),
        (0.0001, 2, "0.00"),
        (-0.0001, 2, "0.00"),
        (2e7, 1, "+2.00e+07"),
    ],
)
def test_numbers_carry_a_true_sign_unless_they_round_to_zero(value: float, places: int, text: str) -> None:
    assert words.number(value, places) == text


def test_places_show_two_digits_of_a_typical_half_width() -> None:
    assert words.places_for([estimate(0.5, 0.013), estimate(0.1, 0.02), None]) == 3
    assert words.places_for([estimate(12.0, 3.0)]) == 1
    assert words.places_for([]) == 3


def test_an_interval_on_one_side_of_zero_is_seen_to_be_there() -> None:
    assert words.interval(estimate(0.0804, 0.08), 2) == "[+0.0004, +0.16]"
    assert words.interval(estimate(-0.2, 0.1999), 2) == "[−0.40, −0.0001]"
    assert words.interval(estimate(0.0, 0.001), 2) == "[0.00, 0.00]"


def test_an_estimate_that_says_it_has_no_interval_shows_none() -> None:
    alone = replace(estimate(0.1, 0.0), method="no interval: fewer than two probes or queries in a task")
    assert not words.has_interval(alone)
    assert words.interval(alone) == "[no interval]"


def test_labels_that_read_the_same_are_told_apart() -> None:
    assert words.labels(["a" * 40, "a" * 50, "b"], 5) == ["aaaa… (1)", "aaaa… (2)", "b"]


def test_labels_hold_no_direction_marks_or_line_breaks() -> None:
    assert words.label("a\u202eb\n c\x00") == "ab c\ufffd"


def test_every_estimator_of_the_study_has_a_title() -> None:
    assert set(ESTIMATORS) <= set(words.ESTIMATORS)


def test_each_light_colour_stands_for_one_thing() -> None:
    assert len({colour.light for colour in palette.PALETTE}) == len(palette.PALETTE)
    assert len({colour.name for colour in palette.PALETTE}) == len(palette.PALETTE)


def test_the_control_is_grey_and_strategies_keep_their_order() -> None:
    colours = palette.assign(["plain", "a", "b"], "plain")
    assert colours["plain"] is palette.CONTROL
    assert [colours["a"], colours["b"]] == list(palette.STRATEGIES[:2])


def test_a_frame_holds_every_value_and_cuts_an_interval_that_knows_nothing() -> None:
    low, high = frame_of([estimate(0.1, 0.02), estimate(0.3, 50.0)])
    assert low < 0 < 0.3 < high < 1.0


def test_direct_labels_stand_apart_and_in_order() -> None:
    places = spread([0.5, 0.5, 0.49, 0.0], 0.1, (0.0, 0.6))
    ranked = sorted(places)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(ranked))
    assert max(places) <= 0.6
    assert places[3] == min(places)


def test_the_heat_scale_ends_where_most_cross_task_cells_do() -> None:
    cells = [Cell("p", "q", str(i), str(j), 5.0 if i == j else 0.02) for i in range(9) for j in range(9)]
    assert saturation(cells) == 0.02
    edges = bin_edges(0.02)
    assert edges[0] == -edges[-1] == -0.02
    assert len(edges) == len(palette.DIVERGING) - 1


def test_of_many_tasks_those_with_the_largest_cells_are_shown() -> None:
    cells = [Cell("p", "q", f"{i:03d}", f"{i:03d}", float(i)) for i in range(100)]
    assert shown_tasks(cells) == [f"{i:03d}" for i in range(60, 100)]


def test_checkpoints_without_steps_stand_by_name() -> None:
    points = [CurvePoint(f"checkpoint-{name}", None, None, estimate(0.0, 1.0)) for name in ("a", "b")]
    assert list(Steps.of(points).positions.values()) == ["a", "b"]
    assert Steps.of([replace(p, step=i) for i, p in enumerate(points)]).steps == [0, 1]


def test_only_the_words_a_strategy_added_are_marked() -> None:
    pieces = sections.marked("Add 2 and 3. Give the reason.", "Add 2 and 3.")
    assert pieces == [("Add 2 and 3.", False), (" Give the reason.", True)]
    assert (
        "".join(piece for piece, _ in sections.marked("把词排序。先说理由。", "把词排序。"))
        == "把词排序。先说理由。"
    )


def test_the_margin_band_is_the_share_of_the_controls_effect() -> None:
    result = make_study(queries=("held-out",), checkpoints=2)
    group = sections.card_groups(result, palette.assign(words.probe_sets_of(result), "plain"))[0]
    card = group.cards[0]
    lane = card.lanes[2]
    per_unit = (lane.at - card.zero) / lane.estimate.value
    control = card.verdict.control_effect
    assert control is not None and card.margin is not None
    assert card.margin[1] == pytest.approx(2 * 0.2 * abs(control.value) * per_unit, abs=0.05)


def test_the_controls_own_verdict_is_no_card() -> None:
    result = make_study()
    groups = sections.card_groups(result, palette.assign(words.probe_sets_of(result), "plain"))
    assert {card.verdict.probe_set for group in groups for card in group.cards} == {
        "cot", "clarify", "evaluation", "shuffled", "wrong",
    }  # fmt: skip


def test_a_drawing_loses_everything_that_could_act() -> None:
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="x()">'
        '<script>x()</script><a xlink:href="javascript:x()"><rect width="1"/></a>'
        "<foreignObject><b/></foreignObject>"
        '<rect width="2" fill="url(http://e.example)" style="x:y" onclick="x()" aria-label="&lt;b&gt; two"/>'
        "</svg>"
    )
    assert clean(drawing, "n", "a title") == (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img"><title>a title</title>'
        '<rect width="2" fill="none"><title>&lt;b&gt; two</title></rect></svg>'
    )


@pytest.mark.parametrize("control", [True, False])
def test_the_verdict_table_fits_eighty_columns(control: bool) -> None:
    result = make_study(control=control, strategies=("a strategy with a long name", "cot"))
    console = Console(width=80, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(verdict_table(result))
    lines = capture.get().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert len(lines) == 1 + len(result.verdicts)
    assert any("▲ better" in line for line in lines) is control


def test_the_table_of_two_rungs_fits_and_shows_both_words() -> None:
    result = climbed(make_study(strategies=("a strategy with a long name", "cot")))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(verdict_table(result))
    lines = capture.get().splitlines()
    assert max(len(line) for line in lines) <= 80 and len(lines) == 1 + len(result.verdicts)
    assert "gradients" in lines[0] and "real steps" in lines[0]
    turned = next(line for line in lines if line.startswith("a strateg"))
    assert "▼ worse" in turned
    untouched = next(line for line in lines if line.startswith("cot"))
    assert " – " in untouched
    assert any("Real steps (4 minutes, 117 arms)" in line for line in summary_lines(result))


def test_the_table_shows_user_text_as_text() -> None:
    result = make_study(strategies=("[red]x[/red]",))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(verdict_table(result))
    assert "[red]x[/r" in capture.get()


def test_summary_lines_explain_the_numbers_of_the_table() -> None:
    lines = summary_lines(make_study())
    assert lines[0] == words.answer(make_study())
    assert any(line.startswith("[1] length confound: cot completions") for line in lines)
    assert any("No number of probes would settle it" in line for line in lines)
