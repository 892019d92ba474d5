"""What is held of queries are their gradients, in as little memory as was said."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.errors import NumericsError
from assay.gradients.engine import Engine
from assay.gradients.held import Held, Request, held_bytes, hold, hold_all
from assay.gradients.inner import DenseGradients, FactoredGradients, dot
from assay.gradients.projection import Projection
from tests.gradients.models import autograd_gradients, examples, family, with_lora

QUERIES = examples(5, seed=3, weighted=True)


def gram(held: Held) -> np.ndarray:
    return sum(dot(each, each) for each in held.gradients.values()).numpy()  # type: ignore[union-attr]


def stored_bytes(held: Held) -> int:
    tensors = []
    for each in held.gradients.values():
        if isinstance(each, DenseGradients):
            tensors.append(each.values)
        else:
            tensors += [tensor for part in each.parts for tensor in (part.left, part.right)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def halved(name: str, gradients: Tensor) -> Tensor:
    return gradients / 2


@pytest.mark.parametrize("form", ["dense", "factored"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_held_gradients_losses_and_norms_equal_a_float64_autograd_loop(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "assay.gradients.held.form_for", lambda shape, *_: form if len(shape) == 2 else "dense"
    )
    model = family(name)
    truth, losses = autograd_gradients(copy.deepcopy(model).double(), QUERIES)
    with Engine(model) as engine:
        held = hold(engine, QUERIES, candidate_length=9, token_budget=25)
    assert any(isinstance(g, FactoredGradients) for g in held.gradients.values()) == (form == "factored")
    np.testing.assert_allclose(gram(held), (truth @ truth.T).numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(held.sqnorm, truth.square().sum(1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(held.loss, losses.numpy(), rtol=1e-5)
    assert held.ids == tuple(query.id for query in QUERIES)
    assert held.loss.dtype == held.sqnorm.dtype == np.float64


def test_several_holds_from_one_pass_equal_each_alone() -> None:
    requests = {
        "raw": Request(),
        "halved": Request(transform=halved),
        "projected": Request(projection=Projection(30)),
        "both": Request(transform=halved, projection=Projection(30)),
    }
    with Engine(family("llama")) as engine:
        together = hold_all(engine, QUERIES, requests, candidate_length=9, token_budget=30)
        for name, request in requests.items():
            alone = hold(
                engine,
                QUERIES,
                candidate_length=9,
                token_budget=30,
                transform=request.transform,
                projection=request.projection,
            )
            np.testing.assert_allclose(gram(together[name]), gram(alone), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gram(together["halved"]), gram(together["raw"]) / 4, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gram(together["both"]), gram(together["projected"]) / 4, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(together["both"].sqnorm, together["raw"].sqnorm)
    assert together["both"].projector is together["projected"].projector


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "request_",
    [Request(), Request(dense=True), Request(transform=halved), Request(projection=Projection(50))],
    ids=["factored", "dense", "transformed", "projected"],
)
def test_memory_is_what_was_said_before(
    name: str, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.gradients.held.form_for", lambda shape, *_: "factored")
    queries = [one for one in examples(40, seed=3) if len(one) == 9]
    with Engine(with_lora(family(name), name)) as engine:
        dense = request_.dense or request_.transform is not None
        said = held_bytes(engine, queries, 9, 30, dense, request_.projection)
        held = hold_all(engine, queries, {"it": request_}, candidate_length=9, token_budget=30)["it"]
    stored = stored_bytes(held) / len(queries)
    if any(isinstance(each, FactoredGradients) for each in held.gradients.values()):
        assert 0.5 * said < stored <= said, "tokens without a gradient are dropped"
    else:
        assert stored == said


def test_a_query_whose_gradient_is_not_finite_is_named() -> None:
    model = with_lora(family("llama", tied=False), "llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    queries = examples(3, seed=3)
    for query in queries:
        query.input_ids[query.input_ids == 7] = 8
    queries[1].input_ids[0] = 7
    with Engine(model) as engine, pytest.raises(NumericsError, match=queries[1].id):
        hold(engine, queries, candidate_length=9)
