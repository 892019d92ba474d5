"""The page is whole, safe and the same every time, whatever the study holds."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assay.report import write_report
from assay.studies.result import Extreme, Flag, Reference, StudyResult
from tests.report.parsed import Page as _Page
from tests.report.studies import climbed, make_study

_FULL = {
    "strategies": ("cot", "clarify", "wrong"),
    "estimators": ("relinf", "pair_cosine", "minus_probe_loss"),
}
_LEAN = {"estimators": ("relinf",), "queries": ("held-out",), "strategies": ("cot",)}


def _written(result: StudyResult, out: Path) -> tuple[str, _Page]:
    page = write_report(result, out).read_text(encoding="utf-8")
    return page, _Page(page)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four probe sets on two query sets in both contexts, written once for the tests that only look."""
    return write_report(make_study(**_FULL), tmp_path_factory.mktemp("full"))


def test_the_full_page_parses_and_stays_small(full: Path) -> None:
    page = full.read_text(encoding="utf-8")
    parsed = _Page(page)
    assert len(page.encode()) < 1_500_000
    assert {"table", "svg", "details", "h1"} <= set(parsed.tags)


def test_tasks_that_the_charts_leave_out_are_counted_under_them(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat = "5 of 12 tasks are drawn, those with the largest cells; study.json holds all."
    lines = "5 of 12 tasks are drawn, those with the highest influence of plain; study.json holds all."
    monkeypatch.setattr("assay.report.charts.cells.MOST_TASKS", 5)
    _, capped = _written(make_study(**_LEAN), tmp_path)
    assert (capped.text.count(heat), capped.text.count(lines)) == (1, 1)
    assert "tasks are drawn" not in full.read_text(encoding="utf-8")


def test_the_page_holds_no_script_and_loads_nothing(full: Path) -> None:
    page = full.read_text(encoding="utf-8")
    parsed = _Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"} & set(
        parsed.tags
    )
    names = {name for name, _ in parsed.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not {"src", "href", "xlink:href", "style", "srcdoc", "action"} & names
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_rungs_stand_side_by_side_with_what_they_cost(tmp_path: Path) -> None:
    result = climbed(make_study(**_LEAN))
    page, parsed = _written(result, tmp_path)
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections[:3] == ["verdicts", "rungs", "curves"]
    for said in (
        "Two kinds of evidence",
        "20 real steps on <b>8</b> base examples.",
        "wrong has none of 3 seeds",
        "4 minutes",
        "61 seconds",
        "in-task, on held-out, by real steps (nats per query)".capitalize(),
        "rungs disagree",
    ):
        assert said in parsed.text, said
    assert parsed.text.count("better") > make_study(**_LEAN).verdicts[0].sentence.count("better")


def test_a_study_by_real_steps_alone_speaks_of_no_gradients(tmp_path: Path) -> None:
    both = climbed(make_study(**_LEAN))
    steps = both.rungs[1]
    alone = replace(
        both,
        verdicts=steps.verdicts,
        rungs=(steps,),
        curves=(),
        cells=(),
        extremes=(),
        contrasts=(),
        estimator="lookahead",
    )
    page, parsed = _written(alone, tmp_path)
    assert re.findall(r'<section id="(\w+)"', page)[:3] == ["verdicts", "rungs", "caveats"]
    assert "RelInf" not in parsed.text and "First order" not in parsed.text


def test_verdicts_come_before_curves_and_curves_before_caveats(full: Path) -> None:
    page = full.read_text(encoding="utf-8")
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == [
        "verdicts", "contrasts", "curves", "heat", "tasks", "estimators", "caveats", "sets", "references",
        "extremes", "how", "replay",
    ]  # fmt: skip


def test_every_verdict_and_flag_is_said(full: Path) -> None:
    text = _Page(full.read_text(encoding="utf-8")).text
    result = make_study(**_FULL)
    strategies = [verdict for verdict in result.verdicts if verdict.probe_set != "plain"]
    assert all(verdict.sentence in text for verdict in strategies)
    assert all(verdict.settle.sentence in text for verdict in strategies if verdict.settle)
    assert all(flag.sentence in text for verdict in result.verdicts for flag in verdict.flags)
    assert all(flag.sentence in text for flag in result.flags)


def test_an_effect_within_the_margin_is_not_called_absent(full: Path) -> None:
    """`none` is smaller than a share of the control's effect, and may well be known to differ from zero."""
    page = full.read_text(encoding="utf-8")
    assert "next to none" in page
    assert "no effect" not in page


def test_numbers_of_a_card_are_those_of_the_verdict(full: Path) -> None:
    text = _Page(full.read_text(encoding="utf-8")).text
    verdict = next(v for v in make_study(**_FULL).verdicts if v.context == "cross-task" and v.difference)
    value = f"{verdict.difference.value:+.4f}".replace("-", "−")
    low = f"{verdict.difference.low:+.4f}".replace("-", "−")
    assert re.search(rf"{re.escape(value)}\s+\[{re.escape(low)}, ", text)


def test_charts_are_also_standalone_svg_files(full: Path) -> None:
    files = sorted((full.parent / "charts").glob("*.svg"))
    figures = full.read_text(encoding="utf-8").count("<figure>")
    assert len(files) == figures > 30
    for file in files:
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("width")
        assert root.get("viewBox")


def test_ids_in_the_page_are_unique(full: Path) -> None:
    identifiers = [
        value for name, value in _Page(full.read_text(encoding="utf-8")).attributes if name == "id"
    ]
    assert len(identifiers) == len(set(identifiers))


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    result = make_study(**_LEAN)
    first = write_report(result, tmp_path / "a")
    second = write_report(result, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    for chart in (tmp_path / "a" / "charts").iterdir():
        assert chart.read_bytes() == (tmp_path / "b" / "charts" / chart.name).read_bytes()


HOSTILE = (
    "<script>alert(1)</script>",
    "</svg></style></title><img src=x onerror=alert(1)>",
    "\"><b onmouseover='x'>&amp;{{ 7*7 }}${1}",
    "javascript:alert(1)",
    "url(http://evil.example/x.png)",
    "\u202egnp.exe\u202c مرحبا",
    "提示词与回答，没有空格的语言",
    "nul\x00 bell\x07 esc\x1b lone\ud800 nonchar\uffff",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_ever_text(text: str, tmp_path: Path) -> None:
    page, parsed = _written(_full_of(text), tmp_path)
    assert not {"script", "img", "b onmouseover"} & (set(parsed.tags) - {"b"})
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href")]
    assert "url(http" not in re.sub(r"<title>.*?</title>", "", page.split("</style>")[0])
    shown = re.sub("[\x00-\x08\x0e-\x1f\ud800-\udfff\uffff]", "\ufffd", text)
    assert parsed.text.count(shown) >= 8
    for chart in (tmp_path / "charts").iterdir():
        drawing = chart.read_text(encoding="utf-8")
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawing).iter()}
        assert tags <= {"svg", "g", "path", "rect", "line", "text", "tspan", "title", "defs", "clipPath"}


def test_a_very_long_text_is_cut_and_said_so(tmp_path: Path) -> None:
    page, parsed = _written(_full_of("長い" + "x" * 100_000), tmp_path)
    assert len(page) < 3_000_000
    assert "x" * 21_000 not in page
    assert "characters of this text are left out here" in parsed.text


def _full_of(text: str) -> StudyResult:
    """A small study in which every string a person may write is `text`."""
    tasks = (text, text + " 2")
    lean = make_study(**_LEAN, tasks=tasks, checkpoints=2, steps=False)
    swap = {"cot": text, "plain": text + " plain", "held-out": text + " held-out"}

    def renamed(row):
        names = {key: swap[getattr(row, key)] for key in ("probe_set", "query_set") if hasattr(row, key)}
        return replace(row, **names)

    def retold(verdict):
        flags = (Flag(text, text), Flag("length_confound", text))
        return replace(renamed(verdict), sentence=text, flags=flags)

    def recalled(curve):
        points = tuple(replace(point, checkpoint=f"{i} {text}") for i, point in enumerate(curve.points))
        return replace(renamed(curve), points=points)

    return replace(
        lean,
        verdicts=tuple(map(retold, lean.verdicts)),
        curves=tuple(map(recalled, lean.curves)),
        cells=tuple(map(renamed, lean.cells)),
        extremes=(Extreme(text, text, text, text, (text, text), (text, text), 1.0, "in-task"),),
        sets=tuple(replace(row, name=swap[row.name]) for row in lean.sets),
        references=(Reference(text, text, ((text, text, text), ("other", text + " and more", text))),),
        flags=(Flag(text, text),),
        estimator="relinf",
        design=text,
        about={
            text: text,
            "model": text,
            "command": text,
            "config": {text: [text]},
            "versions": {text: text},
        },
    )


EDGES = {
    "one checkpoint": {"checkpoints": 1},
    "one checkpoint without step": {"checkpoints": 1, "steps": False},
    "no steps": {"steps": False},
    "no control": {"control": False},
    "one task": {"tasks": ("all",), "contexts": ("in-task",)},
    "no cross-task": {"contexts": ("in-task",)},
    "undecided everywhere": {"undecided": True},
    "undecided, no control": {"undecided": True, "control": False},
    "no flags": {"flags": False},
    "seven strategies": {"strategies": tuple(f"strategy {i}" for i in range(7)), "checkpoints": 2},
}


@pytest.mark.parametrize("edge", EDGES)
def test_the_page_is_written_at_the_edges(edge: str, tmp_path: Path) -> None:
    result = make_study(**{**_LEAN, "tasks": ("a", "b", "c"), **EDGES[edge]})
    page, parsed = _written(result, tmp_path)
    assert "nan" not in re.findall(r"\bnan\b", page.lower())
    assert result.verdicts[0].sentence in parsed.text
    assert list((tmp_path / "charts").glob("curves-*.svg"))


def test_an_empty_study_says_so(tmp_path: Path) -> None:
    empty = StudyResult((), (), (), (), (), (), (), 0, "relinf", None)
    _, parsed = _written(empty, tmp_path)
    assert "holds no verdict" in parsed.text


def test_values_that_are_not_finite_are_called_unknown(tmp_path: Path) -> None:
    lean = make_study(**_LEAN, tasks=("a", "b"), checkpoints=2)
    hole = replace(lean.verdicts[0].effect, value=float("nan"), low=float("nan"), high=float("inf"))
    holed = replace(
        lean,
        verdicts=(replace(lean.verdicts[0], effect=hole), *lean.verdicts[1:]),
        curves=tuple(
            replace(c, level=hole, points=(replace(c.points[0], estimate=hole), *c.points[1:]))
            for c in lean.curves
        ),
        cells=(replace(lean.cells[0], value=float("nan")), *lean.cells[1:]),
    )
    _, parsed = _written(holed, tmp_path)
    assert "unknown [no interval]" in parsed.text


def test_undesired_sets_say_that_verdicts_are_reversed(tmp_path: Path) -> None:
    lean = {**_LEAN, "queries": ("held-out", "bad answers"), "checkpoints": 2, "tasks": ("a", "b")}
    _, parsed = _written(make_study(**lean), tmp_path)
    assert "verdicts are reversed" in parsed.text
    _, without = _written(make_study(**{**lean, "queries": ("held-out",)}), tmp_path / "without")
    assert "verdicts are reversed so that better" not in without.text
