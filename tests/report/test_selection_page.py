"""The page of a selection says what the result says, safely, whatever the pool and the rule."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from assay.report import selection_lines, write_selection_report
from assay.report.charts.histogram import MOST_BARS, edges_of, histogram
from assay.report.charts.limits import limits_of
from assay.report.charts.scatter import Shade
from assay.report.figures.noted import MOST_POINTS, thinned
from assay.report.selections.deciding import others_of, sides_of
from assay.report.selections.examples import groups_of
from assay.report.selections.reasons import kinds_of
from assay.report.selections.told import beside, changed_most, choice_name, largest_change
from assay.selection.result import Overlap, SelectionResult
from assay.selection.rules import RULES, Options
from assay.selection.select import select
from tests.report.parsed import Page
from tests.report.selections import make_columns, make_pool, make_selection

HOSTILE = (
    "<script>alert(1)</script></svg></style><img src=x onerror=alert(1)>\"'&amp;{{ 7*7 }} "
    "\u202egnp.exe\u202c مرحبا nul\x00 esc\x1b lone\ud800 " + "long" * 300
)
ABOUT = {
    "method": "ekfac",
    "command": "assay select --scores runs/scores --rule combined --budget 50%",
    "model": "llama-60m",
    "versions": {"assay": "0.1.0"},
    "fingerprint": "8d1f0c2a77",
}


def _written(result: SelectionResult, folder: Path) -> tuple[str, Page]:
    page = write_selection_report(result, folder).read_text(encoding="utf-8")
    return page, Page(page)


@pytest.fixture(scope="module")
def combined() -> SelectionResult:
    result = make_selection("combined", 400)
    return replace(result, about={**ABOUT, **result.about})


@pytest.fixture(scope="module")
def folder(combined: SelectionResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of combined pruning, written once for the tests that only look."""
    return write_selection_report(combined, tmp_path_factory.mktemp("combined")).parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_says_the_decision_the_reading_and_where_it_comes_from(
    combined: SelectionResult, page: str
) -> None:
    text = Page(page).text
    assert "Kept 200 of 400 examples (50.0%)" in text
    assert "by the rule combined on s_C (correct) and s_I (incorrect) of ekfac." in text
    assert all(sentence in text for sentence in (*combined.reading, *combined.notes))
    assert all(said in text for said in (ABOUT["command"], "llama-60m", "assay 0.1.0", "8d1f0c2a77"))
    assert "has not been measured here" in text


def test_sections_stand_in_the_order_of_reading(page: str) -> None:
    assert re.findall(r'<section id="(\w+)"', page) == [
        "done", "scores", "region", "reasons", "drift", "overlaps", "read", "caveats", "replay",
    ]  # fmt: skip


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
        "corner-s-c", "corner-s-i", "lengths", "other-1-loss", "region", "scores-1-correct",
        "scores-2-incorrect",
    ]  # fmt: skip
    assert page.count("<figure>") == len(files)
    for file in files:
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
        assert root.get("viewBox") and root.get("width")
    identifiers = [value for name, value in Page(page).attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_the_same_result_gives_the_same_bytes(
    combined: SelectionResult, folder: Path, tmp_path: Path
) -> None:
    again = write_selection_report(combined, tmp_path).parent
    for file in [folder / "report.html", *(folder / "charts").iterdir()]:
        assert file.read_bytes() == (again / file.relative_to(folder)).read_bytes()


def test_the_plane_counts_its_shade_and_draws_every_point(
    combined: SelectionResult, folder: Path, page: str
) -> None:
    region, scores, kept = combined.region, combined.scores, combined.kept
    assert region is not None and region.low_x is not None and region.high_y is not None
    shade = (scores["correct"] <= region.low_x) | (scores["incorrect"] >= region.high_y)
    said = f"{shade.sum()} examples in the shade, {(shade & kept).sum()} of them kept."
    assert said in Page(page).text
    assert shade.sum() > (~kept).sum()
    assert sum(_dots((folder / "charts" / "region.svg").read_text(encoding="utf-8"))) == len(kept)


def test_the_edges_of_a_shade_belong_to_it_and_nan_lies_nowhere() -> None:
    x, y = np.array([1.0, 1.0, 2.0, np.nan]), np.array([5.0, 4.0, 9.0, 9.0])
    assert Shade(right=1.0).holds(x, y).tolist() == [True, True, False, False]
    assert Shade(left=1.0, bottom=5.0).holds(x, y).tolist() == [True, False, True, False]
    assert Shade(top=4.0).holds(x, y).tolist() == [False, True, False, False]


def test_points_are_thinned_alike_every_time_and_in_their_order() -> None:
    rows = np.arange(0, 10 * MOST_POINTS, 2)
    some = thinned(rows)
    assert len(some) == MOST_POINTS == len(set(some.tolist()))
    assert (np.diff(some) > 0).all() and set(some.tolist()) <= set(rows.tolist())
    assert (thinned(rows) == some).all()
    assert 0.4 < some.mean() / rows.max() < 0.6
    assert (thinned(rows[:7]) == rows[:7]).all()


def _dots(drawing: str) -> list[int]:
    """How many points each path of dots holds."""
    found = re.findall(r'<path[^>]* d="([^"]*)"[^>]*stroke-linecap="round"', drawing)
    return [path.count("Z") for path in found]


def test_hostile_text_is_only_ever_text(tmp_path: Path) -> None:
    pool = make_pool(30, HOSTILE)
    names = ("c " + HOSTILE, "i " + HOSTILE, "loss " + HOSTILE)
    asked = Options(correct=names[0], incorrect=names[1])
    result = select(pool, make_columns(pool, names), "combined", "50%", asked)
    result = replace(
        result, notes=(HOSTILE,), about={"model": HOSTILE, "command": HOSTILE, HOSTILE: HOSTILE}, rule=HOSTILE
    )
    page, parsed = _written(result, tmp_path)
    assert not {"script", "img"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href")]
    assert "{{ 7*7 }}" in parsed.text and "49" not in parsed.text.split("{{", 1)[1][:10]
    assert re.sub("[\x00\x1b\ud800]", "\ufffd", HOSTILE)[:600] in parsed.text
    assert not re.search("[\x00\x1b\ud800]", page)
    assert len(page.encode()) < 500_000
    for chart in (tmp_path / "charts").iterdir():
        assert len(chart.name) < 80
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(chart).iter()}
        assert tags <= {"svg", "g", "path", "rect", "line", "text", "tspan", "title", "defs", "clipPath"}
    assert not any(re.search("[\x00\x1b\u202e\n]", line) for line in selection_lines(result))


def test_candidates_without_a_score_are_said_to_have_none(tmp_path: Path) -> None:
    pool = replace(make_pool(40), tasks=(None,) * 40)
    columns = make_columns(pool)
    scores = {
        name: np.where(np.arange(40) % 4 == 0, np.nan, values) for name, values in columns.scores.items()
    }
    scores["never"] = np.full(40, np.nan)
    result = select(pool, replace(columns, scores=scores), "trim", "70%", Options(order="loss"))
    page, parsed = _written(result, tmp_path)
    assert "Without a score (10 examples)" in parsed.text
    assert parsed.text.count("no score") > 5
    assert "Not drawn: 10 examples without a score." in parsed.text
    assert "By task" not in parsed.text and "By source" in parsed.text
    assert not re.search(r"\bnan\b", page.lower())


def test_of_a_long_source_the_name_of_the_file_is_seen(tmp_path: Path) -> None:
    result = make_selection("top", 12)
    pool = result.pool
    assert result.drift is not None
    far = {name: "/data/" + "folder/" * 60 + name for name in set(pool.files)}
    sources = tuple(replace(share, name=far[str(share.name)]) for share in result.drift.sources)
    moved = replace(
        result,
        pool=replace(pool, files=tuple(far[name] for name in pool.files)),
        drift=replace(result.drift, sources=sources),
    )
    _, parsed = _written(moved, tmp_path)
    assert re.search(r"…[\w/]*/hard.jsonl, row \d", parsed.text)
    assert re.search(r"…[\w/]*/easy.jsonl\s*\d", parsed.text)


def test_three_candidates_are_enough_for_a_page(tmp_path: Path) -> None:
    page, parsed = _written(make_selection("combined", 3, "1"), tmp_path)
    assert "Kept 1 of 3 examples (33.3%)" in parsed.text
    assert "All by s_C, correct, highest first 3 examples" in " ".join(parsed.text.split())
    assert not re.search(r"\bnan\b", page.lower())


def test_fifty_thousand_candidates_make_a_small_page_that_says_what_it_leaves_out(tmp_path: Path) -> None:
    n = 50_000
    small = make_selection("combined", 500)
    again = np.arange(n) % 500
    pool = small.pool
    many = replace(
        small,
        pool=replace(
            pool,
            **{name: tuple(getattr(pool, name)[i] for i in again) for name in ("files", "tasks", "prompts")},
            ids=tuple(f"ex-{i}" for i in range(n)),
            rows=np.arange(1, n + 1),
            tokens=pool.tokens[again],
            completions=("word " * 2_000,) * n,
        ),
        kept=small.kept[again],
        reasons=tuple(small.reasons[i] for i in again),
        scores={name: values[again] for name, values in small.scores.items()},
    )
    page, parsed = _written(many, tmp_path)
    assert len(page.encode()) < 800_000
    said = f"Drawn are {MOST_POINTS:,} of 25,000 kept and {MOST_POINTS:,} of 25,000 dropped"
    assert parsed.text.count(said) == 3
    assert _dots((tmp_path / "charts" / "region.svg").read_text(encoding="utf-8")) == [MOST_POINTS] * 2
    assert "characters of this text are left out here" in parsed.text


def test_a_rule_without_region_shows_no_plane_and_a_full_budget_no_overlaps(tmp_path: Path) -> None:
    result = make_selection("top", 30, "100%", weights=True)
    page, parsed = _written(result, tmp_path)
    assert re.findall(r'<section id="(\w+)"', page) == [
        "done", "scores", "reasons", "drift", "read", "caveats", "replay",
    ]  # fmt: skip
    assert "Nothing was dropped." in parsed.text
    assert "weight" in parsed.text


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_examples_reasons_and_lines(rule: str) -> None:
    result = make_selection(rule, 120, "40%")
    kinds, rest = kinds_of(result)
    assert sum(kind.candidates for kind in kinds) + sum(one.candidates for one in rest) == 120
    assert [kind.kept for kind in kinds] == sorted(kind.kept for kind in kinds)
    dropped = sum(kind.tokens for kind in kinds if not kind.kept)
    assert dropped == result.pool.tokens[~result.kept].sum() or any(not one.kept for one in rest)
    assert any("around" in group.title.lower() or "dropped" in group.title for group in groups_of(result))
    lines = selection_lines(result)
    assert lines[0].startswith(f"Kept {result.kept.sum()} of 120 examples")
    assert lines[1] == result.reading[0]
    assert lines[-1] == result.notes[-1]


def test_both_ends_and_the_two_sides_of_the_line_are_shown() -> None:
    result = make_selection("top", 100, "30%")
    order = np.argsort(-result.scores["correct"], kind="stable").tolist()
    highest, lowest, around = groups_of(result)
    assert list(highest.candidates) == order[:5]
    assert list(lowest.candidates) == order[:-6:-1]
    assert list(around.candidates) == order[27:33]
    assert result.kept[list(around.candidates)].tolist() == [True] * 3 + [False] * 3


def test_a_band_has_two_lines() -> None:
    titles = [group.title for group in groups_of(make_selection("middle", 100, "30%"))]
    assert titles[2:] == ["Around the upper line drawn by correct", "Around the lower line drawn by correct"]


def test_around_a_threshold_of_pruning_stand_the_nearest_of_both_decisions() -> None:
    result = make_selection("correct", 100)
    side = sides_of(result)[0]
    assert side.score_at is not None
    around = list(groups_of(result)[2].candidates)
    distance = np.abs(result.scores["correct"] - side.score_at)
    for keep in (True, False):
        mine = np.flatnonzero(result.kept == keep)
        nearest = set(mine[np.argsort(distance[mine], kind="stable")[:3]].tolist())
        assert nearest == {i for i in around if result.kept[i] == keep}


def test_where_the_rule_went_against_the_order_those_candidates_are_shown() -> None:
    result = make_selection("balance", 100, "30%", lowest_first=True, equally=True)
    passed, taken = groups_of(result)[2:]
    scores = result.scores["correct"]
    assert (passed.title, taken.title) == (
        "Lowest by correct that were dropped",
        "Highest by correct that were kept",
    )
    assert scores[passed.candidates[0]] == scores[~result.kept].min()
    assert scores[taken.candidates[0]] == scores[result.kept].max()


def test_reasons_are_one_but_for_their_numbers() -> None:
    result = make_selection("top", 6, "2")
    kinds, _ = kinds_of(result)
    assert [(kind.said, kind.candidates) for kind in kinds] == [
        ("rank 3 to 6 of 6 by correct, beyond the budget", 4),
        ("rank 1 to 2 of 6 by correct", 2),
    ]


def test_numbers_within_names_and_ids_do_not_join_reasons() -> None:
    result = make_selection("top", 6, "2")
    said = (
        "rank 1 of 9 by q-1", "rank 2 of 9 by q-2",
        "rank 1 of 9 by a.2.jsonl", "rank 3,000 of 9 by a.2.jsonl",
        "rank 1 of 9 by x, but cosine 0.91 to id 7 of\n3, which is kept",
        "rank -2e-05 of 9 by x, but cosine 0.95 to b, which is kept",
    )  # fmt: skip
    kinds, _ = kinds_of(replace(result, kept=np.zeros(6, dtype=bool), reasons=said))
    assert [kind.said for kind in kinds] == [
        "rank 1 to 3,000 of 9 by a.2.jsonl",
        "rank -2e-05 to 1 of 9 by x, but cosine 0.91 to 0.95 to another, which is kept",
        "rank 1 of 9 by q-1",
        "rank 2 of 9 by q-2",
    ]


def test_kinds_beyond_the_most_are_counted() -> None:
    result = make_selection("round_robin", 60)
    kinds, rest = kinds_of(result, most=1)
    assert [kind.kept for kind in kinds] == [False, True]
    assert sum(one.candidates for one in rest) + sum(kind.candidates for kind in kinds) == 60


def test_limits_leave_long_tails_out_and_thresholds_in() -> None:
    values = np.concatenate([np.linspace(-1, 1, 1000), [500.0, -900.0]])
    limits = limits_of(values)
    assert -3.5 < limits.low < -1 and 1 < limits.high < 3.5
    assert (limits.below, limits.above, limits.least, limits.most) == (1, 1, -900.0, 500.0)
    wide = limits_of(values, [40.0, None])
    assert wide.high > 40
    assert limits_of(np.full(5, 3.0)).low < 3.0 < limits_of(np.full(5, 3.0)).high
    assert not limits_of(np.linspace(0, 1, 50)).cuts


def test_bars_hold_every_value_and_whole_numbers_stand_amid_theirs() -> None:
    draw = np.random.default_rng(0)
    for values in (draw.standard_t(1.2, 5000), draw.integers(1, 9, 5000).astype(float), np.zeros(1)):
        limits = limits_of(values)
        edges = edges_of(values, limits)
        assert len(edges) <= MOST_BARS + 2
        kept = values > np.median(values)
        tables = histogram(values, kept, limits, [], "t", "score", 300, 200)["datasets"]
        tall = {name: sum(bar["high"] - bar["low"] for bar in tables[name]) for name in ("kept", "dropped")}
        assert tall == {"kept": kept.sum(), "dropped": (~kept).sum()}
    assert edges_of(np.arange(1.0, 7.0), limits_of(np.arange(1.0, 7.0)))[:2].tolist() == [0.5, 1.5]


def test_deciding_columns_are_those_of_the_rule_and_ranks_are_no_others() -> None:
    names = {rule: [side.name for side in sides_of(make_selection(rule, 50))] for rule in RULES}
    assert names["combined"] == ["correct", "incorrect"]
    assert (names["correct"], names["incorrect"], names["top"]) == (["correct"], ["incorrect"], ["correct"])
    assert others_of(make_selection("incorrect", 50)) == ["correct", "loss"]


def test_what_changed_most_is_listed_first() -> None:
    result = make_selection("top", 200, "20%")
    assert result.drift is not None
    found = [abs(one.share_after - one.share_before) for one in changed_most(result.drift.tasks)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_lines_for_a_terminal_hold_the_largest_change_and_the_overlaps() -> None:
    result = make_selection("top", 200, "20%", order="loss")
    assert result.drift is not None
    shares = [*result.drift.tasks, *result.drift.sources]
    most = max(shares, key=lambda share: abs(share.share_after - share.share_before))
    lines = selection_lines(result)
    assert largest_change(result.drift) in lines
    assert f"{100 * most.share_after:.1f}% of what is kept" in largest_change(result.drift)
    longest = next(one for one in result.overlaps if one.name == "longest")
    overlapping = next(line for line in lines if line.startswith("Of what is kept, choices"))
    assert f"the longest completions {100 * longest.shared:.1f}% (by chance 20.0%)" in overlapping
    assert sum("learned tokens (" in line or line.startswith("Kept are") for line in lines) == 1
    assert choice_name(Overlap("highest minus loss", 0.5, 0.5)) == "the highest minus loss"
    many = [Overlap("random", 0.5, 0.5), *(Overlap(f"highest s{i}", 0.5 - i / 20, 0.5) for i in range(6))]
    assert beside(many) == (
        "Of what is kept, choices of the same size would keep: a random choice 50.0%, the highest s5 25.0% "
        "(by chance 50.0%), the highest s4 30.0% (by chance 50.0%), the highest s3 35.0% (by chance 50.0%); "
        "3 more choices are in the report."
    )
    turned = make_selection("top", 20, lowest_first=True)
    assert "on correct, lowest first." in selection_lines(turned)[0]
