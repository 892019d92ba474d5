"""The whole result: complete, the same every time, and made of plain finite numbers."""

import json
import re
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from assay.errors import AssayError, ConfigError
from assay.studies.analyse import analyse
from assay.studies.estimators import DEFAULT_ESTIMATOR, ESTIMATORS
from assay.studies.measurements import Direction, ExampleSet, Measurements
from tests.studies.simulate import examples, from_gradients

TASKS = [f"t{i}" for i in range(6) for _ in range(4)]
REFERENCES = [f"ref-{i}" for i in range(24)]


def study(tasks: list[str] | None = None) -> Measurements:
    labels = tasks or TASKS
    refs = REFERENCES[: len(labels)]
    return from_gradients(
        [
            replace(examples("plain", labels), ids=tuple(refs)),
            examples("cot", labels, pairs=refs),
            examples("clarify", labels[1:], pairs=refs[1:]),
        ],
        [examples("pos", labels, pairs=refs), examples("neg", labels, pairs=refs, direction="undesired")],
        control="plain",
        exclude=0.05,
    )


@pytest.mark.parametrize("tasks", [TASKS, TASKS[:12]], ids=["jackknife", "bootstrap"])
def test_the_same_measurements_give_the_same_result(tasks: list[str]) -> None:
    assert analyse(study(tasks)) == analyse(study(tasks))


@pytest.mark.parametrize("tasks", [TASKS, TASKS[:12]], ids=["jackknife", "bootstrap"])
def test_a_result_is_strict_json(tasks: list[str]) -> None:
    text = json.dumps(asdict(analyse(study(tasks), about={"model": "tiny"})), allow_nan=False)
    assert json.loads(text)["about"] == {"model": "tiny"}


def test_every_probe_set_is_drawn_on_every_query_set_in_both_contexts_by_every_estimator() -> None:
    result = analyse(study(), design="clarify")
    keys = {(c.probe_set, c.query_set, c.context, c.estimator) for c in result.curves}
    assert len(keys) == len(result.curves) == 3 * 2 * 2 * len(ESTIMATORS)
    assert len(result.verdicts) == 3 * 2 * 2
    assert all(len(c.points) == 3 and c.last == c.points[-1].estimate for c in result.curves)
    assert (result.design, result.estimator) == ("clarify", DEFAULT_ESTIMATOR)
    assert {v.estimator for v in analyse(study(), estimator="median").verdicts} == {"median"}


def test_level_and_trend_are_those_of_the_points() -> None:
    for each in analyse(study()).curves:
        values = [point.estimate.value for point in each.points]
        assert each.level.value == pytest.approx(np.mean(values))
        assert each.trend is not None
        assert each.trend.value == pytest.approx(values[2] - values[0])


def test_the_cells_of_the_diagonal_average_to_the_level_in_task() -> None:
    result = analyse(study(), estimator="relinf")
    curve = next(c for c in result.curves if (c.probe_set, c.query_set) == ("cot", "pos"))
    own = [
        c.value
        for c in result.cells
        if (c.probe_set, c.query_set) == ("cot", "pos") and c.probe_task == c.query_task
    ]
    assert np.mean(own) == pytest.approx(curve.level.value)
    assert len(result.cells) == 3 * 2 * 36


def test_extremes_are_the_ends_of_the_last_checkpoint_and_skip_excluded_pairs() -> None:
    measured = study()
    at = measured.checkpoints[-1]
    measured.excluded["cot", "pos"][0, 0] = True
    at.dot["cot", "pos"][0, 0] = 1e6
    relinf = at.dot["cot", "pos"] / at.query_sqnorm["pos"]
    relinf[measured.excluded["cot", "pos"]] = np.nan
    result = analyse(measured, extremes=2, estimator="ratio_of_sums")
    shown = [e for e in result.extremes if (e.probe_set, e.query_set) == ("cot", "pos")]
    assert [e.value for e in shown[:1] + shown[-1:]] == pytest.approx([np.nanmax(relinf), np.nanmin(relinf)])
    assert len(shown) == 4
    p, q = np.unravel_index(np.nanargmax(relinf), relinf.shape)
    assert (shown[0].probe_id, shown[0].query_id) == (f"cot-{p}", f"pos-{q}")
    assert shown[0].probe_text == (f"cot prompt {p}", f"cot completion {p}")
    assert shown[0].context == ("in-task" if TASKS[p] == TASKS[q] else "cross-task")


def test_references_show_an_example_beside_its_versions() -> None:
    shown = analyse(study()).references
    assert len(shown) == 3
    assert len({reference.task for reference in shown}) == 3
    assert [name for name, _, _ in shown[0].versions] == ["plain", "cot", "clarify"]


def test_sets_are_summed_up_with_their_role() -> None:
    measured = study()
    sets = {each.name: each for each in analyse(measured).sets}
    assert {name: each.role for name, each in sets.items()} == {
        "plain": "control",
        "cot": "probe",
        "clarify": "probe",
        "pos": "query",
        "neg": "query",
    }
    assert (sets["neg"].direction, sets["clarify"].examples, sets["cot"].tasks) == ("undesired", 23, 6)
    expected = measured.checkpoints[-1].probe_loss["cot"] / 4
    assert sets["cot"].mean_loss_per_token == pytest.approx(expected.mean())


def test_excluded_pairs_are_counted() -> None:
    measured = study()
    assert analyse(measured).excluded_pairs == sum(int(each.sum()) for each in measured.excluded.values())


def test_without_products_within_sets_the_one_estimator_that_needs_them_is_left_out() -> None:
    measured = study()
    bare = replace(
        measured, checkpoints=tuple(replace(at, probe_gram={}, query_gram={}) for at in measured.checkpoints)
    )
    assert "cosine_of_means" not in {c.estimator for c in analyse(bare).curves}
    with pytest.raises(ConfigError, match="needs the products within each set"):
        analyse(bare, estimator="cosine_of_means")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "magic"}, "choose one of"),
        ({"margin": -0.1}, "margin"),
        ({"confidence": 1.5}, "confidence"),
        ({"resamples": 3}, "resamples"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        analyse(study(), **options)  # type: ignore[arg-type]


def test_a_control_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="'nobody' is not among the probe sets"):
        analyse(replace(study(), control="nobody"))


def test_a_probe_set_and_a_query_set_may_share_a_name() -> None:
    """As in the paper's own designs, where Pos is a probe set and a query set."""
    pos = examples("pos", TASKS, pairs=REFERENCES)
    neg = examples("neg", TASKS, pairs=REFERENCES, direction="undesired")
    result = analyse(from_gradients([pos, neg], [pos, neg], control="pos"))
    assert [(s.name, s.role) for s in result.sets] == [
        ("pos", "control"),
        ("neg", "probe"),
        ("pos", "query"),
        ("neg", "query"),
    ]
    assert {(v.probe_set, v.query_set) for v in result.verdicts} == set(product(("pos", "neg"), repeat=2))


def test_the_manual_explains_every_estimator_and_every_caveat() -> None:
    root = Path(__file__).parents[2]
    manual = (root / "docs" / "statistics.md").read_text(encoding="utf-8")
    sources = [
        (root / "src/assay/studies" / name).read_text(encoding="utf-8") for name in ("flags.py", "usable.py")
    ]
    codes = {code for source in sources for code in re.findall(r'Flag\(\s*"(\w+)"', source)}
    assert len(codes) > 10
    assert {name for name in {*ESTIMATORS, *codes} if f"`{name}`" not in manual} == set()


@pytest.mark.parametrize("seed", range(24))
def test_however_ragged_a_study_is_it_ends_in_strict_json_or_in_a_sentence(seed: int) -> None:
    """Uneven tasks, missing labels and pairs, many exclusions, queries whose gradient vanished."""
    draw = np.random.default_rng(seed)

    def ragged(name: str, direction: Direction = "desired") -> ExampleSet:
        count, tasks = int(draw.integers(1, 14)), int(draw.integers(1, 8))
        labels = [None if draw.random() < 0.05 else f"t{draw.integers(tasks)}" for _ in range(count)]
        pairs = [None if draw.random() < 0.3 else f"r{draw.integers(8)}" for _ in range(count)]
        tokens = [int(each) for each in draw.integers(1, 30, count)]
        return examples(name, labels, tokens=tokens, pairs=pairs, direction=direction)

    measured = from_gradients(
        [ragged("plain"), ragged("cot")],
        [ragged("pos"), ragged("neg", "undesired")],
        control="plain" if seed % 3 else None,
        checkpoints=1 + seed % 4,
        seed=seed,
        exclude=(0.0, 0.1, 0.6)[seed % 3],
    )
    for at in measured.checkpoints[::2]:
        at.query_sqnorm["pos"][0] = 0.0
        for probe_set in measured.probe_sets:
            at.dot[probe_set, "pos"][:, 0] = 0.0
    estimator = list(ESTIMATORS)[seed % len(ESTIMATORS)]
    try:
        result = analyse(measured, estimator=estimator, resamples=100)
    except AssayError as error:
        assert str(error).endswith(".")
    else:
        json.dumps(asdict(result), allow_nan=False)
        assert all(verdict.sentence.endswith(".") for verdict in result.verdicts)
