"""What is not finite is refused by name; what says nothing is set aside with a reason."""

from dataclasses import replace

import numpy as np
import pytest

from assay.errors import NumericsError
from assay.studies.analyse import analyse
from assay.studies.measurements import Measurements
from assay.studies.usable import usable
from tests.studies.simulate import examples, from_gradients, from_influences

TASKS = [f"t{i}" for i in range(5) for _ in range(3)]


def study() -> Measurements:
    return from_gradients([examples("cot", TASKS)], [examples("eval", TASKS)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("field", "key", "place", "named"),
    [
        ("dot", ("cot", "eval"), (2, 5), "cot-2 with eval-5"),
        ("probe_sqnorm", "cot", 3, "cot-3"),
        ("query_sqnorm", "eval", 4, "eval-4"),
        ("probe_loss", "cot", 7, "cot-7"),
        ("query_loss", "eval", 8, "eval-8"),
        ("query_gram", "eval", (9, 9), "eval-9"),
    ],
)
def test_what_is_not_finite_is_refused_by_the_ids_of_its_examples(
    value: float, field: str, key: object, place: object, named: str
) -> None:
    measured = study()
    getattr(measured.checkpoints[1], field)[key][place] = value
    with pytest.raises(NumericsError, match=f"At checkpoint-100 .* not finite for {named}"):
        analyse(measured)


def test_a_long_list_of_bad_examples_is_cut_with_a_count() -> None:
    measured = study()
    measured.checkpoints[0].probe_loss["cot"][:] = np.nan
    with pytest.raises(NumericsError, match="cot-0, cot-1, cot-2 and 12 more"):
        analyse(measured)


def test_the_untrained_state_is_set_aside_where_there_are_others() -> None:
    plane = np.ones((5, 5))
    measured = from_influences({("cot", "eval"): [plane, 2 * plane, 4 * plane]}, tasks=5, steps=[0, 50, 100])
    kept, flags = usable(measured)
    assert [at.step for at in kept.checkpoints] == [50, 100]
    assert [flag.code for flag in flags] == ["untrained_checkpoint"]
    assert analyse(measured).curves[0].level.value == pytest.approx(3.0)


def test_the_untrained_state_alone_is_studied_with_a_caveat() -> None:
    measured = from_influences({("cot", "eval"): [np.eye(5)]}, tasks=5, steps=[0])
    kept, flags = usable(measured)
    assert len(kept.checkpoints) == 1
    assert [flag.code for flag in flags] == ["untrained_checkpoint"]


def test_a_checkpoint_without_gradients_is_set_aside_and_a_run_of_them_refused() -> None:
    plane = np.ones((5, 5))
    measured = from_influences({("cot", "eval"): [plane, 0 * plane]}, tasks=5)
    kept, flags = usable(measured)
    assert [at.name for at in kept.checkpoints] == ["checkpoint-50"]
    assert flags[0].code == "zero_gradient" and "checkpoint-100" in flags[0].sentence
    with pytest.raises(NumericsError, match="all-zero gradients"):
        usable(replace(measured, checkpoints=measured.checkpoints[1:]))


def test_a_vanished_query_is_counted_by_its_id() -> None:
    measured = study()
    measured.checkpoints[2].query_sqnorm["eval"][3] = 0.0
    measured.checkpoints[2].dot["cot", "eval"][:, 3] = 0.0
    flags = analyse(measured).flags
    assert any(flag.code == "zero_gradient" and "eval-3" in flag.sentence for flag in flags)


def test_a_context_that_has_lost_all_its_queries_is_an_error_that_names_the_checkpoint() -> None:
    measured = from_gradients([examples("cot", ["a", "a", "b"])], [examples("eval", ["a", "a", "c"])])
    for at in measured.checkpoints:
        at.query_sqnorm["eval"][:2] = 0.0
        at.dot["cot", "eval"][:, :2] = 0.0
    with pytest.raises(NumericsError, match="At checkpoint-50 no query of eval"):
        analyse(measured)
