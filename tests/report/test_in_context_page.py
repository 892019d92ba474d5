"""What a page says of in-context influence: its sign, overlaps, ablations and demonstrations, as they are."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assay.report import selection_lines, write_selection_report
from assay.report.selections.demonstrations import pairs_sentence, signs, spread_sentence
from assay.selection.in_context import (
    Ablation,
    Correlation,
    Demonstration,
    Difficulty,
    Influence,
    Taught,
    highest,
    shared_part,
    spread_of,
    top_shares,
)
from assay.selection.result import SelectionResult
from assay.selection.rules import Columns, Options
from assay.selection.select import select
from tests.report.parsed import Page
from tests.report.selections import make_pool

HOSTILE = "<script>alert(1)</script>\u202e{{ 7*7 }}\x00" + "long" * 100
QUERY = Taught("ex-00009", "algebra", "What is 9?", "It is 9.", 0.25, 0.125, 1.5, 1.25, "")
LOST = replace(QUERY, influence=float("nan"), after=float("nan"), reason="too long")


def _influence(values: np.ndarray, taught: tuple[Taught, ...] = (QUERY,), value: float = -0.4) -> Influence:
    known = Correlation(value, value - 0.1, value + 0.1, len(values), "Fisher's z")
    hard = np.arange(len(values), dtype=float)
    return Influence(
        name="wici",
        spread=spread_of(values),
        difficulties=(Difficulty("ifd", known, top_shares(values, hard)),),
        difficulty=hard,
        most=(Demonstration(3, taught),),
        least=(Demonstration(4, ()),),
        ablations=(Ablation("ici", "weights", known, 0.5, 0.25),),
        whole="what was kept",
        pairs=600,
        left_out=(("too long", 7),),
        carried=(9, 12),
    )


def _result(order: str = "wici", text: str | None = None, **influence) -> SelectionResult:
    pool = make_pool(120, text)
    draw = np.random.default_rng(3)
    columns = Columns({name: draw.normal(size=120) for name in ("wici", "loss")})
    result = select(pool, columns, "top", "25%", Options(order=order))
    return replace(result, in_context=_influence(columns.scores["wici"], **influence))


def test_the_page_says_the_sign_the_overlaps_the_ablations_and_who_was_helped(tmp_path: Path) -> None:
    result = _result()
    page = write_selection_report(result, tmp_path).read_text(encoding="utf-8")
    text = " ".join(Page(page).text.split())
    said = "Harder examples teach less here: Spearman's correlation of ifd and wici is −0.40 [−0.50, −0.30]"
    assert said in text
    assert "Of 600 pairs of demonstration and query 7 have no influence" in text
    assert "7 (too long)" in text
    assert "Of the 12 highest by wici 9 owe more than half of their score to a single query" in text
    assert re.search(r"Weights *ici shared 50.0%, by chance 25.0% 50.0% *25.0% *−0.40 \[−0.50, −0.30\]", text)
    assert re.search(r"What is 9\? *ex-00009 · algebra *It is 9\. *1\.5 *1\.25 *0\.25 *0\.125", text)
    assert re.search(r"10% *ifd shared ([\d.]+)%, by chance 10.0% \1% *10.0%", text)
    assert not re.search(r"\bnan\b", page.lower())
    assert said[:31] in " ".join(selection_lines(result))


def test_influence_is_drawn_once_and_beside_difficulty(tmp_path: Path) -> None:
    def charts(order: str) -> set[str]:
        write_selection_report(_result(order), tmp_path / order)
        return {path.stem for path in (tmp_path / order / "charts").iterdir()}

    assert charts("wici") == {"scores-1-wici", "other-1-loss", "lengths", "difficulty"}
    assert charts("loss") == {"scores-1-loss", "in-context", "lengths", "difficulty"}


def test_without_influence_there_is_no_section(tmp_path: Path) -> None:
    page = write_selection_report(replace(_result(), in_context=None), tmp_path).read_text(encoding="utf-8")
    assert 'id="context"' not in page and "demonstration" not in Page(page).text


def test_hostile_queries_are_only_ever_text_and_failed_pairs_say_why(tmp_path: Path) -> None:
    bad = replace(QUERY, id=HOSTILE, task=HOSTILE, prompt=HOSTILE, completion=HOSTILE)
    result = _result(text=HOSTILE, taught=(bad, replace(LOST, reason=HOSTILE)))
    page = write_selection_report(result, tmp_path).read_text(encoding="utf-8")
    parsed = Page(page)
    assert "script" not in parsed.tags and "{{ 7*7 }}" in parsed.text
    assert not re.search("[\x00\u202e]", re.sub(r'<div class="passage".*?</div>', "", page, flags=re.S))
    assert not any(re.search("[\x00\u202e\n]", line) for line in selection_lines(result))


@pytest.mark.parametrize(
    ("value", "lead"),
    [(0.4, "Harder examples teach more here"), (0.05, "Whether harder examples teach more")],
)
def test_the_sign_is_said_only_where_the_interval_leaves_out_nothing(value: float, lead: str) -> None:
    (said,) = signs(_influence(np.arange(50.0), value=value))
    assert said.startswith(lead)


def test_no_correlation_is_said_in_words() -> None:
    found = _influence(np.arange(50.0))
    unknown = replace(found.difficulties[0], correlation=Correlation(None, None, None, 1, "equal"))
    assert signs(replace(found, difficulties=(unknown,))) == [
        "Whether hard examples teach more or less cannot be said by ifd: equal."
    ]


def test_scores_that_are_not_there_are_counted_out() -> None:
    spread = spread_of(np.array([1.0, -1.0, np.nan, 3.0]))
    assert (spread.candidates, spread.above_zero, spread.mean) == (3, 2, 1.0)
    assert spread_sentence("wici", spread, 4).startswith("3 of 4 examples have a wici: median 1,")
    assert spread_sentence("wici", spread_of(np.full(2, np.nan)), 2) == "No example has a wici."
    assert pairs_sentence(3, ()) == "All 3 pairs of demonstration and query have an influence."
    assert pairs_sentence(0, ()) == ""


def test_overlaps_are_of_those_that_have_both_scores() -> None:
    first = np.array([9.0, 8.0, 7.0, 6.0, np.nan, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    second = np.where(np.arange(11) < 4, np.arange(11), -1.0)
    found = top_shares(first, second)
    assert [(one.shared, one.by_chance) for one in found] == [(0.0, 0.1), (2 / 3, 0.3), (1.0, 0.5)]
    assert top_shares(np.full(3, np.nan), np.zeros(3)) == ()


def test_a_shared_part_is_of_the_first_set() -> None:
    assert highest(np.array([1.0, np.nan, 3.0, 2.0]), 2).tolist() == [False, False, True, True]
    few, many = np.array([True, False, False, False]), np.array([True, True, False, True])
    assert shared_part(few, many) == (1.0, 0.75)
    assert shared_part(many, few) == (1 / 3, 0.25)
