"""Every estimator equals its formula, written out as loops over pairs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import mean, median

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.studies.contributions import weighted_median
from assay.studies.estimators import ESTIMATORS, estimator_named
from assay.studies.exhibits import pair_values
from assay.studies.layout import CONTEXTS, lay_out
from assay.studies.measurements import Measurements
from assay.studies.replicates import Replicates
from assay.studies.result import Context
from tests.studies.simulate import examples, from_gradients

PROBE_TASKS = ["b", "a", "c", "a", "b", "c", "c", "d", "d", "a"]
QUERY_TASKS = ["c", "c", "a", "b", "d", "a", "b"]


def study(**options: object) -> Measurements:
    generator = np.random.default_rng(5)
    return from_gradients(
        [examples("cot", PROBE_TASKS, tokens=list(generator.integers(3, 20, 10)))],
        [examples("eval", QUERY_TASKS, tokens=list(generator.integers(3, 20, 7)))],
        **{"exclude": 0.15, "seed": 2, **options},  # type: ignore[arg-type]
    )


def naive(measured: Measurements, name: str, context: Context, checkpoint: int) -> float:
    """The estimator by plain loops over pairs, tasks and queries."""
    at = measured.checkpoints[checkpoint]
    probes, queries = measured.probe_sets["cot"], measured.query_sets["eval"]
    dot, excluded = at.dot["cot", "eval"], measured.excluded["cot", "eval"]
    zz, qq, loss = at.probe_sqnorm["cot"], at.query_sqnorm["eval"], at.probe_loss["cot"]
    nz, nq = probes.tokens, queries.tokens
    pair: dict[str, Callable[[int, int], float]] = {
        "relinf": lambda p, q: dot[p, q] / qq[q],
        "pair_cosine": lambda p, q: dot[p, q] / math.sqrt(zz[p] * qq[q]),
        "relinf_per_token": lambda p, q: dot[p, q] * nq[q] / (nz[p] * qq[q]),
        "dot": lambda p, q: dot[p, q],
        "dot_per_probe_token": lambda p, q: dot[p, q] / nz[p],
    }
    values, above, below, middles, weights = [], [], [], [], []
    for i in sorted(set(probes.tasks)):
        for j in sorted(set(queries.tasks)):
            if (i == j) != (context == "in-task"):
                continue
            rows = [p for p in range(len(probes)) if probes.tasks[p] == i]
            columns = [q for q in range(len(queries)) if queries.tasks[q] == j]
            inside = [(p, q) for p in rows for q in columns if not excluded[p, q]]
            if not inside:
                continue
            if name in pair:
                values.append(mean(pair[name](p, q) for p, q in inside))
            elif name == "minus_probe_loss":
                values.append(-mean(loss[p] / nz[p] for p in rows))
            elif name == "ratio_of_sums":
                above.append(mean(dot[p, q] for p, q in inside))
                below.append(mean(qq[q] for _, q in inside))
            elif name == "cosine_of_means":
                zg, qg = (
                    at.probe_gram["cot"][np.ix_(rows, rows)],
                    at.query_gram["eval"][np.ix_(columns, columns)],
                )
                values.append(mean(dot[p, q] for p, q in inside) / math.sqrt(zg.mean() * qg.mean()))
            else:
                of_query = {
                    q: mean(dot[p, q] / qq[q] for p, r in inside if r == q) for q in {r for _, r in inside}
                }
                middles += list(of_query.values())
                weights += [1 / len(of_query)] * len(of_query)
    if name == "ratio_of_sums":
        return sum(above) / sum(below)
    if name == "median":
        shares = [round(60 * weight) for weight in weights]  # 1, 2 or 3 queries in a cell: exact repetitions
        return median(value for value, n in zip(middles, shares, strict=True) for _ in range(n))
    return mean(values)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_an_estimator_equals_its_formula_in_plain_loops(name: str, context: Context) -> None:
    measured = study()
    replicates = Replicates(measured, lay_out(measured))
    draws = replicates.draws(name, "cot", "eval", replicates.mask(context, ["cot"], ["eval"]))
    expected = [naive(measured, name, context, c) for c in range(3)]
    np.testing.assert_allclose(draws.values, expected, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name, row in ESTIMATORS.items() if row.pair])
def test_the_value_of_a_pair_is_what_an_estimator_averages(name: str) -> None:
    measured = study(exclude=0.0)
    last = measured.checkpoints[-1]
    pairs = pair_values(name, last, measured.probe_sets["cot"], measured.query_sets["eval"])
    layout = lay_out(measured)
    table = Replicates(measured, layout).tables(name, "cot", "eval")[-1]
    for i, task in enumerate(layout.tasks):
        rows = [p for p, label in enumerate(PROBE_TASKS) if label == task]
        columns = [q for q, label in enumerate(QUERY_TASKS) if label == task]
        assert table[i, i] == pytest.approx(pairs[np.ix_(rows, columns)].mean())


def test_products_of_task_means_give_the_same_cosine_of_means() -> None:
    by_example = study(exclude=0.0)
    order = sorted(set(PROBE_TASKS))

    def of_means(grams: Mapping[str, np.ndarray], tasks: list[str]) -> dict[str, np.ndarray]:
        share = np.array([[task == each for task in tasks] for each in order], dtype=float)
        share /= share.sum(1, keepdims=True)
        return {name: share @ gram @ share.T for name, gram in grams.items()}

    checkpoints = tuple(
        replace(
            at,
            probe_gram=of_means(at.probe_gram, PROBE_TASKS),
            query_gram=of_means(at.query_gram, QUERY_TASKS),
            gram_of_task_means=True,
        )
        for at in by_example.checkpoints
    )
    drawn = []
    for each in (by_example, replace(by_example, checkpoints=checkpoints)):
        replicates = Replicates(each, lay_out(each))
        mask = replicates.mask("cross-task", ["cot"], ["eval"])
        drawn.append(replicates.draws("cosine_of_means", "cot", "eval", mask).values)
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-12)


def test_a_small_set_beside_a_large_one_keeps_the_order_of_its_examples() -> None:
    """Products of task means stand in sorted order, those of examples in the order of the file."""
    measured = from_gradients([examples("cot", ["b", "a"])], [examples("eval", ["a", "b"])])
    beside = tuple(replace(at, gram_of_task_means=True) for at in measured.checkpoints)
    tables = [
        Replicates(each, lay_out(each)).tables("cosine_of_means", "cot", "eval")
        for each in (measured, replace(measured, checkpoints=beside))
    ]
    np.testing.assert_array_equal(tables[0], tables[1])


def test_every_task_counts_the_same_however_many_probes_it_has() -> None:
    measured = from_gradients([examples("cot", ["a"] * 9 + ["b"])], [examples("eval", ["a", "b"])])
    replicates = Replicates(measured, lay_out(measured))
    mask = replicates.mask("in-task", ["cot"], ["eval"])
    at = measured.checkpoints[0]
    relinf = at.dot["cot", "eval"] / at.query_sqnorm["eval"]
    expected = (relinf[:9, 0].mean() + relinf[9, 1]) / 2
    assert replicates.draws("relinf", "cot", "eval", mask).values[0] == pytest.approx(expected)


def test_an_excluded_pair_has_no_influence_on_anything() -> None:
    measured, spoilt = study(), study()
    hidden = measured.excluded["cot", "eval"]
    assert hidden.any()
    for at in spoilt.checkpoints:
        at.dot["cot", "eval"][hidden] = 1e9
    for name in ESTIMATORS:
        tables = [Replicates(m, lay_out(m)).tables(name, "cot", "eval") for m in (measured, spoilt)]
        np.testing.assert_array_equal(tables[0], tables[1])


def test_a_query_whose_gradient_vanished_takes_no_part() -> None:
    measured = study(exclude=0.0)
    for at in measured.checkpoints:
        at.dot["cot", "eval"][:, 2] = 0.0
        at.query_sqnorm["eval"][2] = 0.0
    without = study(exclude=0.0)
    without.excluded["cot", "eval"][:, 2] = True
    for name in ("relinf", "ratio_of_sums", "median", "relinf_per_token"):
        tables = [Replicates(m, lay_out(m)).tables(name, "cot", "eval") for m in (measured, without)]
        np.testing.assert_allclose(tables[0], tables[1])


def test_a_weighted_median_equals_the_median_of_repeated_values() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        values, counts = generator.normal(size=7), generator.integers(0, 4, 7)
        counts[0] += 1
        assert weighted_median(values, counts.astype(float)) == pytest.approx(
            np.median(np.repeat(values, counts))
        )


def test_an_unknown_estimator_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="choose one of relinf, ratio_of_sums"):
        estimator_named("magic")


def test_no_verdict_rests_on_the_baseline() -> None:
    """Minus a loss is below 0 whatever the data does: every strategy would be called harmful."""
    with pytest.raises(ConfigError, match="no verdict can rest on it"):
        estimator_named("minus_probe_loss")
