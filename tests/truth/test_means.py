"""Products of task means are those of true gradients, for the first so many examples of every task."""

import copy

import numpy as np
import pytest

from assay.gradients.engine import Engine
from assay.truth import means
from assay.truth.means import task_grams
from tests.gradients.models import autograd_gradients, examples, family, with_lora

TASKS = ["sort", "add", "sort", "swap", "add", "swap", "sort", "add", "swap", "sort"]


@pytest.mark.parametrize("budget", [8192, 30])
def test_products_of_task_means_equal_a_float64_autograd_loop(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(means, "TOKEN_BUDGET", budget)
    model = with_lora(family("llama"), "llama")
    tokens = examples(len(TASKS), seed=1, weighted=True)
    gradients = autograd_gradients(copy.deepcopy(model).double(), tokens)[0].numpy()
    with Engine(model) as engine:
        found = task_grams(engine, tokens, TASKS, [2, 1, 3])
    for count, order in ((1, ["sort", "add", "swap"]), (2, sorted(set(TASKS))), (3, sorted(set(TASKS)))):
        rows = [[i for i, task in enumerate(TASKS) if task == label][:count] for label in order]
        mean = np.stack([gradients[each].mean(axis=0) for each in rows])
        np.testing.assert_allclose(found[count], mean @ mean.T, rtol=1e-4)
