"""Agreement with people is a share with an interval, and what chance would give is taken off."""

import pytest
from scipy.stats import binomtest

from assay.errors import DataError
from assay.judging.agreement import agreement
from assay.judging.judgement import Judgement


def judged(*counts):
    """Judgements and labels with so many pairs (judge, people): both right, judge only, people only, both
    wrong."""
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    pairs = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
    judgements = [Judgement(f"q{place}", right, "") for place, (right, _) in enumerate(pairs)]
    return judgements, {f"q{place}": label for place, (_, label) in enumerate(pairs)}


def test_share_and_interval_are_wilsons():
    found = agreement(*judged(20, 5, 10, 15))
    interval = binomtest(35, 50).proportion_ci(0.95, method="wilson")
    assert found.share == 0.7
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.both_right, found.judge_only, found.people_only, found.both_wrong) == (20, 5, 10, 15)
    assert found.answers == 50


def test_kappa_is_agreement_beyond_chance():
    # Judge right on 25 of 50, people on 30: p_e = .5·.6 + .5·.4 = .5, so κ = (.7 − .5) / .5.
    assert agreement(*judged(20, 5, 10, 15)).kappa == pytest.approx(0.4)
    assert agreement(*judged(5, 0, 0, 5)).kappa == 1
    assert agreement(*judged(0, 5, 5, 0)).kappa == -1
    assert agreement(*judged(4, 4, 4, 4)).kappa == 0


def test_kappa_is_undefined_where_all_say_the_same():
    found = agreement(*judged(7, 0, 0, 0))
    assert found.kappa is None
    assert (found.share, found.high) == (1, 1)
    assert found.low < 0.7


def test_what_one_side_has_not_judged_is_left_out_and_counted():
    judgements, labels = judged(3, 1, 0, 2)
    judgements += [Judgement("no-verdict", None, "", refused=True), Judgement("unlabelled", True, "")]
    judgements += [Judgement("neither", None, "", failed=True)]
    found = agreement(judgements, {**labels, "no-verdict": True, "never asked": False})
    assert (found.answers, found.without_verdict, found.without_label) == (6, 1, 1)


def test_nothing_to_compare_and_ids_that_are_not_one_answer_are_told():
    with pytest.raises(DataError, match="check the ids"):
        agreement([Judgement("a", True, "")], {"b": True})
    with pytest.raises(DataError, match="a is judged twice"):
        agreement([Judgement("a", True, ""), Judgement("a", False, "")], {"a": True})
