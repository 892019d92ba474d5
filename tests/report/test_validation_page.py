"""The page of a validation says what the result says, safely, whatever was trained and measured."""

import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assay.report import validation_lines, write_validation_report
from assay.report.charts.against import Point, against, places_of_names
from assay.report.charts.base import CUT
from assay.report.charts.levels import Level as LevelDrawn
from assay.report.charts.levels import levels
from assay.report.figures.validation import draw_validation, mark_of
from assay.report.palette import STRATEGIES
from assay.report.validations import chance
from assay.report.validations.shown import (
    Shown,
    effect_text,
    level_text,
    of_effect,
    outcome,
    p_text,
    share_text,
    shown,
)
from assay.report.validations.tables import MOST_ANSWERS, answer_groups, interactions, overviews, reading
from assay.report.validations.told import foretold, headline, leading
from assay.report.words import number
from assay.validation.against import CAVEAT
from assay.validation.result import Beside, Effect, InteractionRow, Level, Share, ValidationResult
from tests.report.parsed import Page
from tests.report.validations import EXACT, FORETOLD, LOSS, make_answers, make_validation

HOSTILE = (
    "<script>alert(1)</script></svg></style><img src=x onerror=alert(1)>\"'&amp;{{ 7*7 }} "
    "\u202egnp.exe\u202c مرحبا nul\x00 esc\x1b lone\ud800 " + "long" * 300
)


def _effect(value: float, low: float | None, high: float | None, p_holm: float | None = None) -> Effect:
    return Effect(
        value, low, high, 0.1, 0.01, "t", "seeds", 3, 9, (value,) * 3, 0, p_holm, 4 if p_holm else 0
    )


@pytest.fixture(scope="module")
def result() -> ValidationResult:
    return make_validation()


@pytest.fixture(scope="module")
def folder(result: ValidationResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the paper's nine arms, written once for the tests that only look."""
    return write_validation_report(result, tmp_path_factory.mktemp("validation")).parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(page: str) -> str:
    return " ".join(Page(page).text.split())


def test_the_headline_gives_the_effects_with_intervals_and_the_signs_foretold(
    result: ValidationResult, text: str
) -> None:
    said = headline(result)
    assert said in text
    assert said.startswith("Beside base, on good by answer loss (nats per query): ")
    row = next(
        row for row in result.rows if (row.arm, row.measure, row.query_set) == ("base+cot", "loss", "good")
    )
    assert row.effect is not None and row.effect.low is not None and row.effect.low > 0
    assert f"base+cot {effect_text(row.effect, LOSS)}" in said
    assert "base+eval −" in said.split("better;")[1]
    kept = next(one for one in result.agreements if one.measure == "loss").kept
    assert kept.of == 2
    assert (
        f"Cross-task, against base, on desired sets: {share_text(kept)} of the study’s committed verdicts"
        in said
    )


def test_every_effect_level_p_and_seed_stands_on_the_page(result: ValidationResult, text: str) -> None:
    for table in overviews(result):
        assert len(table.rows) == 9 and len(table.tests) == 16
        for arm, column, one in table.tests:
            assert arm != "base"
            seeds = ", ".join(number(each, one.places) for each in one.per_seed)
            assert seeds in text and one.p_holm in text
            assert column.measure in (LOSS, EXACT)
    for row in result.rows:
        measure = {"loss": LOSS, "exact": EXACT}[row.measure]
        assert f"at {level_text(row.level, measure)}" in text


def test_sections_stand_in_the_order_of_reading(page: str) -> None:
    assert re.findall(r'<section id="(\w+)"', page) == [
        "effects", "foretold", "interactions", "chance", "read", "arms", "caveats", "replay",
    ]  # fmt: skip


def test_undesired_sets_are_marked_and_come_last(result: ValidationResult, text: str) -> None:
    turned = replace(result, query_sets=result.query_sets[::-1])
    assert [table.query_set.name for table in overviews(turned)] == ["good", "bad"]
    assert {row.query_set for row in leading(turned)} == {"good"}
    assert "On bad (undesired)" in text and "On good (undesired)" not in text
    assert "making a response likelier is harm, so signs are turned there" in text


def test_what_was_redrawn_and_the_multiplicity_are_said(result: ValidationResult, text: str) -> None:
    assert all(note in text for note in result.notes)
    assert "t over seeds" in text and "Trainings are redrawn, the queries are these very ones" in text
    assert [one.resampled for one in chance.tested(result)] == ["seeds", "nothing"]
    first = chance.tested(result)[0]
    assert (first.seeds, first.queries) == ("3", "80")
    assert chance.multiplicity(result) in text
    assert "over the 8, 13 and 14 tests" in chance.multiplicity(result)
    assert chance.levels(result) == ["t over seeds (seeds)"]
    assert CAVEAT in text


def test_one_seed_is_said_to_speak_of_queries_alone(tmp_path: Path) -> None:
    one = make_validation(seeds=1)
    text = Page(write_validation_report(one, tmp_path).read_text(encoding="utf-8")).text
    assert "training again with another seed may differ" in headline(one)
    assert "One seed." in text and "exact McNemar over queries" in text
    assert "nothing is said of another seed" in text
    assert "another seed may differ" not in headline(make_validation())


def test_several_base_models_stand_in_one_table(tmp_path: Path) -> None:
    both = make_validation("in-task", models=("small", "larger"))
    table = overviews(both)[0]
    assert [(column.measure.name, column.model) for column in table.columns] == [
        ("loss", "small"), ("loss", "larger"), ("exact", "small"), ("exact", "larger"),
    ]  # fmt: skip
    text = Page(write_validation_report(both, tmp_path).read_text(encoding="utf-8")).text
    assert "Beside base of small" in headline(both) and "Beside base of larger" in headline(both)
    assert text.count("Base model") >= 2
    assert "foretold" not in text and not both.agreements and not both.interactions


def test_an_effect_only_leans_where_holm_does_not_follow() -> None:
    assert outcome(_effect(0.2, 0.1, 0.3, 0.03), 0.95) == "better"
    assert outcome(_effect(0.2, 0.1, 0.3, 0.05), 0.95) == "leans better"
    assert outcome(_effect(-0.2, -0.3, -0.1, 0.2), 0.95) == "leans worse"
    assert outcome(_effect(-0.2, -0.3, -0.1, 0.07), 0.9) == "worse"
    assert outcome(_effect(-0.2, -0.3, -0.1), 0.95) == "worse"
    assert outcome(_effect(0.2, -0.1, 0.5, 0.001), 0.95) == "undecided"
    assert outcome(_effect(0.2, None, None), 0.95) == "not tested"


def test_leaning_effects_are_told_apart_in_the_headline(result: ValidationResult) -> None:
    def weakened(effect: Effect | None) -> Effect | None:
        return None if effect is None else replace(effect, p_holm=0.5)

    weak = replace(result, rows=tuple(replace(row, effect=weakened(row.effect)) for row in result.rows))
    assert "by its own interval only (not after Holm)" in headline(weak)
    assert "by its own interval only" not in headline(result)


def test_shares_are_read_as_percent_and_points_and_losses_as_they_are() -> None:
    assert level_text(Level(0.412, 0.38, 0.444, "seeds", "t"), EXACT) == "41.2% [38.0%, 44.4%]"
    assert level_text(Level(12.3456, None, None, "nothing", "none"), LOSS) == "12.35"
    assert level_text(Level(2.6, 2.4, 1234.5, "seeds", "t"), LOSS) == "2.600 [2.400, 1,234.500]"
    assert effect_text(_effect(0.041, 0.01, 0.072), EXACT) == "+4.1 [+1.0, +7.2]"
    assert effect_text(_effect(-0.041, -0.072, -0.01), LOSS) == "−0.041 [−0.072, −0.010]"
    assert effect_text(_effect(0.5, None, None), LOSS) == "+0.500 [no spread between seeds]"
    assert effect_text(_effect(0.5, None, None), EXACT) == "+50.0 [no spread between seeds]"
    one = replace(_effect(0.5, None, None), seeds=1)
    assert effect_text(one, EXACT) == "+50.0 [no spread between queries]"
    assert effect_text(replace(one, queries=1), LOSS) == "+0.500 [no interval]"
    assert (p_text(None), p_text(0.0004), p_text(0.0312), p_text(0.5)) == ("–", "< 0.001", "0.031", "0.50")
    assert share_text(Share(8, 9, 8 / 9, 0.565, 0.98)) == "8 of 9, 89% [56%, 98%]"
    assert share_text(Share(0, 0, None, None, None)) == "0 of 0"


def test_together_is_more_than_each_only_where_every_interval_says_so() -> None:
    def row(*signs: int, kind: str = "together") -> InteractionRow:
        beyond = tuple(_effect(sign, sign - 0.5, sign + 0.5) for sign in signs)
        return InteractionRow("m", "q", "desired", "loss", kind, "a", ("b", "c")[: len(signs)], beyond, None)  # type: ignore[arg-type]

    assert reading(row(1, 1)) == ("more than each", "good", "▲")
    assert reading(row(1, 0)) == ("undecided", "open", "?")
    assert reading(row(1, -1)) == ("less than one part", "bad", "▼")
    assert reading(row(-1, -1)) == ("less than each", "bad", "▼")
    assert reading(row(1, kind="staged"))[0] == "more than mixed"


def test_interactions_stand_with_both_differences_and_the_sum(result: ValidationResult, text: str) -> None:
    found = interactions(result)
    assert [query_set.name for query_set, _ in found] == ["good", "bad"]
    assert [row.measure.name for row in found[0][1]] == ["loss"] * 5 + ["exact"] * 5
    first = found[0][1][0]
    assert (first.arm, [name for name, _ in first.beyond]) == ("base -> clarify", ["base+clarify"])
    assert first.additivity is None
    together = next(row for row in found[0][1] if row.arm == "base+cot+clarify")
    assert [name for name, _ in together.beyond] == ["base+cot", "base+clarify"]
    assert together.additivity is not None
    assert f"{together.additivity.shown.value:+.{together.additivity.places}f}".replace("-", "−") in text


def test_signs_are_compared_where_training_is_clear(result: ValidationResult, folder: Path) -> None:
    rows = [row for one in result.agreements for row in one.rows]
    for row in rows:
        assert mark_of(replace(row, clear=False)) == mark_of(replace(row, agrees=None)) == "unclear"
        assert mark_of(replace(row, clear=True, agrees=True)) == "agrees"
        assert mark_of(replace(row, clear=True, agrees=False)) == "differs"
    loss = next(one for one in result.agreements if one.measure == "loss")
    marks = {(row.strategy, row.query_set): mark_of(row) for row in loss.rows}
    assert (marks["cot", "good"], marks["eval", "good"]) == ("agrees", "differs")
    drawing = (folder / "charts" / "foretold-cross-task-base-loss.svg").read_text(encoding="utf-8")
    titles = re.findall(r"<title>([^<]*predicted [+−][^<]*)</title>", drawing)
    assert len(titles) == len(loss.rows)


def test_names_stand_where_there_is_room_and_never_upon_each_other() -> None:
    def at(x: float, y: float, name: str = "strategy") -> Point:
        return Point(name, Shown(x, x, x), Shown(y, y, y), STRATEGIES[0], "agrees")

    frame = (0.0, 100.0)
    assert places_of_names([at(10, 50)], frame, frame, 400, 300) == ["left"]
    assert places_of_names([at(95, 50)], frame, frame, 400, 300) == ["right"]
    assert places_of_names([at(10, 50), at(22, 50)], frame, frame, 400, 300) == ["", "left"]
    assert places_of_names([at(50, 50), at(50, 50.5)], frame, frame, 400, 300) == ["left", "right"]
    assert places_of_names([at(50, 50)], frame, frame, 60, 300) == [""]


def test_the_page_holds_no_script_and_loads_nothing(page: str) -> None:
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "image", "use"} & set(
        parsed.tags
    )
    names = {name for name, _ in parsed.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not {"src", "href", "xlink:href", "style", "srcdoc", "action"} & names
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_charts_are_also_standalone_svg_files(folder: Path, page: str) -> None:
    files = sorted((folder / "charts").glob("*.svg"))
    assert [file.stem for file in files] == [
        *(f"effects-{name}-{measure}" for name in ("bad", "good") for measure in ("exact", "loss")),
        *(f"foretold-cross-task-base-{name}" for name in
          ("exact-undesired", "exact", "loss-undesired", "loss")),
    ]  # fmt: skip
    assert page.count("<figure>") == len(files)
    for file in files:
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
        assert root.get("viewBox") and root.get("width")
    identifiers = [value for name, value in Page(page).attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_the_same_result_gives_the_same_bytes(result: ValidationResult, folder: Path, tmp_path: Path) -> None:
    again = write_validation_report(result, tmp_path).parent
    for file in [folder / "report.html", *(folder / "charts").iterdir()]:
        assert file.read_bytes() == (again / file.relative_to(folder)).read_bytes()


def test_hostile_text_is_only_ever_text(tmp_path: Path) -> None:
    made = make_validation(text=HOSTILE, judge={HOSTILE: HOSTILE, "asked": 12})
    hostile = {arm.name: arm.name + HOSTILE for arm in made.arms}
    result = replace(
        made,
        reference=hostile["base"],
        arms=tuple(replace(arm, name=hostile[arm.name]) for arm in made.arms),
        rows=tuple(replace(row, arm=hostile[row.arm]) for row in made.rows),
        measures=(replace(LOSS, title=HOSTILE), EXACT),
    )
    page = write_validation_report(result, tmp_path).read_text(encoding="utf-8")
    parsed = Page(page)
    assert not {"script", "img"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href")]
    assert "{{ 7*7 }}" in parsed.text and "49" not in parsed.text.split("{{", 1)[1][:10]
    assert re.sub("[\x00\x1b\ud800]", "\ufffd", HOSTILE)[:500] in parsed.text
    assert not re.search("[\x00\x1b\ud800]", page)
    assert len(page.encode()) < 800_000
    for chart in (tmp_path / "charts").iterdir():
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(chart).iter()}
        assert tags <= {"svg", "g", "path", "rect", "line", "text", "tspan", "title", "defs", "clipPath"}
    assert not any(re.search("[\x00\x1b\u202e\n]", line) for line in validation_lines(result))


def test_answers_that_changed_come_first_and_long_lists_are_cut(tmp_path: Path) -> None:
    answers = make_answers("base+cot", "llama-60m", "good", "", copies=MOST_ANSWERS + 2)
    result = make_validation(answers=answers)
    groups = answer_groups(result)
    assert [group.title for group in groups] == [
        "Not right before, right after", "Right before, not right after",
        "As right as before, or not checked",
    ]  # fmt: skip
    assert all(one.right_after and not one.right_before for one in groups[0].answers)
    assert [(len(group.answers), group.total) for group in groups] == [
        (MOST_ANSWERS, 10), (MOST_ANSWERS, 10), (MOST_ANSWERS, 30),
    ]  # fmt: skip
    text = Page(write_validation_report(result, tmp_path).read_text(encoding="utf-8")).text
    assert f"{MOST_ANSWERS} answers of 10" in " ".join(text.split())
    assert "before 0" in text and "after 0" in text


def test_what_is_not_there_is_left_out_or_said(tmp_path: Path) -> None:
    full = make_validation()
    bare = replace(full, interactions=(), agreements=(), answers=(), notes=(), settings={}, judge={})
    page = write_validation_report(bare, tmp_path / "bare").read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', page) == ["effects", "chance", "arms", "caveats"]
    some = tuple(row for row in full.rows if (row.arm, row.measure) != ("base+eval", "exact"))
    text = Page(
        write_validation_report(replace(full, rows=some), tmp_path / "some").read_text(encoding="utf-8")
    ).text
    assert text.count("not measured") == 2
    nothing = replace(bare, rows=())
    text = Page(write_validation_report(nothing, tmp_path / "none").read_text(encoding="utf-8")).text
    assert "There is nothing to say" in text and "Nothing was measured." in text


def test_effects_without_interval_are_said_to_have_none(tmp_path: Path) -> None:
    full = make_validation()

    def silenced(row: Beside) -> Beside:
        return replace(
            row, true_low=None, true_high=None, predicted_low=None, predicted_high=None, clear=False
        )

    rows = tuple(
        replace(
            row,
            effect=row.effect and replace(row.effect, low=None, high=None, p=None, p_holm=None, family=0),
            level=replace(row.level, low=None, high=None),
        )
        for row in full.rows
    )
    agreements = tuple(
        replace(one, rows=tuple(silenced(row) for row in one.rows), rank=replace(one.rank, value=None))
        for one in full.agreements
    )
    page = write_validation_report(
        replace(full, rows=rows, agreements=agreements, interactions=()), tmp_path
    ).read_text(encoding="utf-8")
    text = Page(page).text
    assert text.count("[no spread between seeds]") > 30 and "not defined" in text
    assert "undecided" not in headline(replace(full, rows=rows))
    assert "No p-value is corrected" in text
    assert not re.search(r"\bnan\b|None", text)


def test_an_effect_with_equal_seeds_is_told_in_the_decimals_of_the_others(
    result: ValidationResult, tmp_path: Path
) -> None:
    wide, alike = _effect(0.47, 0.21, 0.73), _effect(0.5, None, None)
    kept = [
        next(row for row in result.rows if (row.arm, row.query_set, row.measure) == (arm, "good", "exact"))
        for arm in ("base", "base+cot", "base -> clarify")
    ]
    rows = tuple(replace(row, effect=one) for row, one in zip(kept, (None, wide, alike), strict=True))
    some = replace(result, rows=rows, agreements=(), interactions=())
    assert headline(some) == (
        "Beside base, on good by exact match (points): base+cot +47 [+21, +73] is better; "
        "base -> clarify +50 is not tested (no spread between seeds)."
    )
    page = write_validation_report(some, tmp_path).read_text(encoding="utf-8")
    text = " ".join(Page(page).text.split())
    assert "+50 [no spread between seeds]" in text and "+50.0" not in text
    only = replace(some, rows=(rows[0], rows[2]))
    assert "base -> clarify +50.0 is not tested" in headline(only)


def test_intervals_that_leave_the_frame_end_in_an_arrow_head_and_the_caption_says_so(
    result: ValidationResult, tmp_path: Path
) -> None:
    kept = [row for row in result.rows if (row.query_set, row.measure) == ("good", "loss")][:4]
    ends = (None, _effect(0.2, 0.1, 0.3), _effect(0.3, -9.0, 9.6), _effect(0.1, 0.0, 9.0))
    rows = tuple(replace(row, effect=one) for row, one in zip(kept, ends, strict=True))
    loss = result.agreements[0]
    held = tuple(replace(row, true_high=row.true + 9.0) for row in loss.rows)
    cut = replace(result, rows=rows, agreements=(replace(loss, rows=held),), interactions=())
    drawn = draw_validation(cut)
    (effects,) = drawn.effects[0][1]
    estimates = [Shown(0.2, 0.1, 0.3), Shown(0.3, -9.0, 9.6), Shown(0.1, 0.0, 9.0)]
    entries = [LevelDrawn(str(i), each, STRATEGIES[i], False) for i, each in enumerate(estimates)]
    tables = levels(entries, "", "", 400)["datasets"]
    assert [[row["t"] for row in tables[f"beyond_{side}"]] for side in ("left", "right")] == [
        ["1"],
        ["1", "2"],
    ]
    points = [Point(str(i), each, each, STRATEGIES[0], "agrees") for i, each in enumerate(estimates)]
    tables = against(points, ("", ""), "", "", 400, 300)["datasets"]
    assert [len(tables[f"beyond_{side}"]) for side in ("left", "right", "down", "up")] == [1, 2, 1, 2]
    assert drawn.agreements[0] is not None and effects.note == drawn.agreements[0].note == CUT
    assert all(not one.note for one in draw_validation(replace(cut, rows=rows[:2], agreements=())).all())
    page = write_validation_report(cut, tmp_path).read_text(encoding="utf-8")
    assert page.count(CUT) == 2


def test_no_line_ends_within_an_arrow(page: str) -> None:
    cells = [*re.findall(r"<bdi>([^/]*?)</bdi>", page.replace("</span>", "")), page.split("</h1>")[1][:900]]
    arrows = [cell for cell in cells if "-&gt;" in cell]
    assert len(arrows) > 8
    assert all(cell.count("-&gt;") == cell.count('<span class="arrow">-&gt;') for cell in arrows)


def test_each_arm_has_its_colour_and_the_reference_is_grey(result: ValidationResult) -> None:
    figures = draw_validation(result)
    assert [name for name, _ in figures.effects] == ["good", "bad"]
    drawing = figures.effects[0][1][0].drawing
    assert drawing.count("<title>") == 1 + 8
    assert STRATEGIES[0].light in drawing


def test_an_effect_is_shown_in_the_unit_of_its_measure() -> None:
    assert of_effect(_effect(0.02, -0.01, 0.05), EXACT) == Shown(2.0, -1.0, 5.0, "t")
    assert of_effect(_effect(0.02, -0.01, 0.05), LOSS) == Shown(0.02, -0.01, 0.05, "t")
    assert math.isnan(shown(1.0, None, 2.0).low)


def test_lines_for_a_terminal_hold_every_query_set_and_measure(result: ValidationResult) -> None:
    lines = validation_lines(result)
    assert lines[0] == headline(result)
    assert [line.split(":")[0] for line in lines[1:4]] == [
        "Beside base, on good by exact match (points)",
        "Beside base, on bad by answer loss (nats per query)",
        "Beside base, on bad by exact match (points)",
    ]
    loss, exact, undesired, last = result.agreements
    assert [one.direction for one in result.agreements] == ["desired"] * 2 + ["undesired"] * 2
    assert foretold(result, loss) in lines[0] and foretold(result, undesired) not in lines[0]
    assert lines[4:7] == [
        foretold(result, one, measure) for one, measure in ((exact, EXACT), (undesired, LOSS), (last, EXACT))
    ]
    assert lines[5].startswith("Cross-task, against base, on undesired sets, by answer loss: ")
    assert lines[7:] == list(result.notes)


def test_agreement_stands_apart_for_desired_and_undesired_sets(result: ValidationResult, text: str) -> None:
    for one in result.agreements:
        assert f"Cross-task, against base, on {one.direction} sets" in text
        assert one.rank.n == len(FORETOLD)
    alone = replace(result, query_sets=result.query_sets[:1], agreements=result.agreements[:2])
    assert "Cross-task, against base: " in headline(alone)
