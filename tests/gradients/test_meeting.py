"""What candidates are found to be is true whatever the sides, the batches and the calls they come in."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.gradients import views
from assay.gradients.engine import Engine
from assay.gradients.held import Held, Request, hold, hold_all
from assay.gradients.meeting import Met, Side, measure_projection, meet
from assay.gradients.projection import Projection
from tests.gradients.models import autograd_gradients, examples, family, with_lora

CANDIDATES = examples(7, seed=1, weighted=True)
QUERIES = examples(3, seed=2)
MODELS = {
    "llama-lora": lambda: with_lora(family("llama"), "llama"),
    "llama-full": lambda: family("llama"),
    "llama-untied": lambda: family("llama", tied=False),
    "gpt2-lora": lambda: with_lora(family("gpt2"), "gpt2"),
    "gpt2-full": lambda: family("gpt2"),
    "llama-dora": lambda: with_lora(family("llama"), "llama", use_dora=True),
}


def bent(name: str, gradients: Tensor) -> Tensor:
    """A transform that is not linear and not zero at zero."""
    return torch.tanh(3 * gradients + 0.3)


def doubled(name: str, gradients: Tensor) -> Tensor:
    return 2 * gradients


def close(found: np.ndarray | None, truth: np.ndarray, tolerance: float = 1e-5) -> bool:
    assert found is not None
    assert found.dtype == np.float64
    return bool(np.linalg.norm(found - truth) <= tolerance * np.linalg.norm(truth))


def met_with(
    model: nn.Module,
    requests: Mapping[str, Request],
    sides: Mapping[str, tuple[str | None, dict]],
    candidates: Sequence[Tokens] = CANDIDATES,
    token_budget: int = 40,
) -> tuple[Met, dict[str, Held]]:
    """Sides as (name of what is held, other fields)."""
    with Engine(model) as engine:
        engine.check([*candidates, *QUERIES])
        held = hold_all(engine, QUERIES, requests, candidate_length=9, token_budget=token_budget)
        made = {name: Side(None if of is None else held[of], **rest) for name, (of, rest) in sides.items()}
        return meet(engine, candidates, made, token_budget=token_budget), held


ALL_SIDES: dict[str, tuple[str | None, dict]] = {
    "raw": ("raw", {}),
    "bent": ("raw", {"transform": bent}),
    "preconditioned": ("doubled", {}),
    "self": (None, {"transform": bent}),
    "mean": ("raw", {"mean": True}),
    "bent mean": ("raw", {"transform": bent, "mean": True}),
    "projected": ("whole", {}),
    "bent projected": ("whole", {"transform": bent}),
}
REQUESTS = {
    "raw": Request(),
    "doubled": Request(transform=doubled),
    "whole": Request(projection=Projection(10**6)),
}


@pytest.mark.parametrize("name", MODELS)
def test_products_and_norms_of_every_side_equal_a_float64_autograd_loop(name: str) -> None:
    model = MODELS[name]()
    precise = copy.deepcopy(model).double()
    g_z, losses = autograd_gradients(precise, CANDIDATES)
    g_q, _ = autograd_gradients(precise, QUERIES)
    counts = torch.tensor([one.completion_tokens for one in CANDIDATES])[:, None]
    met, _ = met_with(model, REQUESTS, ALL_SIDES)
    truth = {
        "raw": (g_z, g_q),
        "bent": (bent("", g_z), g_q),
        "preconditioned": (g_z, 2 * g_q),
        "self": (bent("", g_z), None),
        "mean": (g_z / counts, g_q),
        "bent mean": (bent("", g_z / counts), g_q),
        "projected": (g_z, g_q),
        "bent projected": (bent("", g_z), g_q),
    }
    assert close(met.loss, losses.numpy())
    for side, (ours, theirs) in truth.items():
        assert close(met.sides[side].sqnorm, ours.square().sum(1).numpy()), side
        if theirs is None:
            assert met.sides[side].dot is None
        else:
            assert close(met.sides[side].dot, (ours @ theirs.T).numpy()), side


def test_sides_that_share_a_pass_find_what_each_finds_alone() -> None:
    model = MODELS["llama-full"]()
    together, _ = met_with(model, REQUESTS, ALL_SIDES)
    for name, side in ALL_SIDES.items():
        alone, _ = met_with(model, REQUESTS, {name: side})
        np.testing.assert_allclose(together.sides[name].sqnorm, alone.sides[name].sqnorm, rtol=1e-5)
        if side[0] is not None:
            assert close(together.sides[name].dot, np.asarray(alone.sides[name].dot))


@pytest.mark.parametrize("name", ["llama-lora", "llama-full"])
def test_results_do_not_depend_on_batches_order_padding_or_calls(name: str) -> None:
    model = MODELS[name]()
    expected, _ = met_with(model, REQUESTS, ALL_SIDES, token_budget=10_000)
    singles, _ = met_with(model, REQUESTS, ALL_SIDES, token_budget=1)
    turned, _ = met_with(model, REQUESTS, ALL_SIDES, CANDIDATES[::-1])
    first, _ = met_with(model, REQUESTS, ALL_SIDES, CANDIDATES[:3])
    second, _ = met_with(model, REQUESTS, ALL_SIDES, CANDIDATES[3:])
    for side, (held, _) in ALL_SIDES.items():
        want = expected.sides[side]
        parts = [m.sides[side] for m in (first, second)]
        for sqnorm in (
            singles.sides[side].sqnorm,
            turned.sides[side].sqnorm[::-1],
            np.concatenate([part.sqnorm for part in parts]),
        ):
            assert close(sqnorm, want.sqnorm)
        if held is not None:
            assert close(singles.sides[side].dot, np.asarray(want.dot))
            assert close(np.asarray(turned.sides[side].dot)[::-1], np.asarray(want.dot))
            assert close(np.concatenate([np.asarray(part.dot) for part in parts]), np.asarray(want.dot))
    assert close(np.concatenate([first.loss, second.loss]), expected.loss)


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("name", ["llama-untied", "gpt2-full"])
def test_cutting_large_gradients_into_rows_changes_nothing(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS[name]()
    expected, _ = met_with(model, REQUESTS, ALL_SIDES)
    monkeypatch.setattr(views, "LARGEST", rows * 16 * 24)
    found, _ = met_with(model, REQUESTS, ALL_SIDES)
    for side, (held, _) in ALL_SIDES.items():
        assert close(found.sides[side].sqnorm, expected.sides[side].sqnorm)
        if held is not None:
            assert close(found.sides[side].dot, np.asarray(expected.sides[side].dot))


def test_a_transform_sees_every_parameter_of_every_candidate_once() -> None:
    model = MODELS["llama-lora"]()
    seen: dict[str, int] = {}

    def counting(name: str, gradients: Tensor) -> Tensor:
        seen[name] = seen.get(name, 0) + len(gradients)
        return gradients

    sides = {"one": ("raw", {"transform": counting}), "two": (None, {"transform": counting})}
    met_with(model, {"raw": Request()}, sides)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert seen == dict.fromkeys(trained, len(CANDIDATES))


def test_a_transform_also_sees_parameters_that_no_candidate_touches() -> None:
    model = MODELS["llama-lora"]()
    without, _ = met_with(
        model, {"raw": Request()}, {"bent": ("raw", {"transform": bent}), "raw": ("raw", {})}
    )
    model.register_module("unused", nn.Linear(3, 2))
    met, held = met_with(
        model, {"raw": Request()}, {"bent": ("raw", {"transform": bent}), "raw": ("raw", {})}
    )
    assert not any("unused" in name for name in held["raw"].gradients)
    extra = 8 * np.tanh(0.3) ** 2
    np.testing.assert_allclose(met.sides["bent"].sqnorm, without.sides["bent"].sqnorm + extra, rtol=1e-5)
    np.testing.assert_allclose(met.sides["raw"].sqnorm, without.sides["raw"].sqnorm, rtol=1e-5)
    assert close(met.sides["bent"].dot, np.asarray(without.sides["bent"].dot))


def test_transformed_candidates_meet_factored_gradients_as_they_meet_dense_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "assay.gradients.held.form_for", lambda shape, *_: "factored" if len(shape) == 2 else "dense"
    )
    requests = {"factored": Request(), "dense": Request(dense=True)}
    sides = {name: (name, {"transform": bent}) for name in requests}
    met, held = met_with(MODELS["llama-untied"](), requests, sides)
    assert any(type(g).__name__ == "FactoredGradients" for g in held["factored"].gradients.values())
    assert all(type(g).__name__ == "DenseGradients" for g in held["dense"].gradients.values())
    assert close(met.sides["factored"].dot, np.asarray(met.sides["dense"].dot))


def test_bf16_stays_near_float64() -> None:
    model = with_lora(family("llama", dtype=torch.bfloat16), "llama")
    precise = copy.deepcopy(model).double()
    g_z, _ = autograd_gradients(precise, CANDIDATES)
    g_q, _ = autograd_gradients(precise, QUERIES)
    met, _ = met_with(model, {"raw": Request()}, {"raw": ("raw", {})})
    assert close(met.sides["raw"].dot, (g_z @ g_q.T).numpy(), 0.1)


def test_a_candidate_whose_loss_is_not_finite_is_named() -> None:
    model = with_lora(family("llama", tied=False), "llama")
    candidates = examples(7, seed=1)
    for one in candidates:
        one.input_ids[one.input_ids == 7] = 8
    candidates[4].input_ids[0] = 7
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    with Engine(model) as engine, pytest.raises(NumericsError, match="The loss of example 'example-1-4'"):
        meet(engine, candidates, {"raw": Side(None)}, token_budget=40)


def test_a_candidate_whose_gradient_is_not_finite_is_named() -> None:
    """Huge A beside a B of zero: the loss is as it was, and the gradient of B too large for fp32."""
    model = MODELS["llama-lora"]()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.fill_(1e30 if "lora_A" in name else 0.0)
    with Engine(model) as engine, pytest.raises(NumericsError, match="The gradient of example 'example-1-0'"):
        meet(engine, CANDIDATES[:1], {"bent": Side(None, bent)}, token_budget=40)


def test_a_candidate_whose_transformed_gradient_is_not_finite_is_named() -> None:
    def broken(name: str, gradients: Tensor) -> Tensor:
        return torch.where(gradients.abs().sum(1, keepdim=True) > 0, gradients * torch.inf, gradients)

    with pytest.raises(NumericsError, match="'ours' makes of the gradient of example 'example-1-0'"):
        met_with(MODELS["llama-lora"](), {}, {"ours": (None, {"transform": broken})})


def test_no_candidates_give_empty_arrays_and_no_progress_is_lost() -> None:
    model = MODELS["llama-lora"]()
    done: list[float] = []
    with Engine(model) as engine:
        held = hold(engine, QUERIES, candidate_length=9)
        none = meet(engine, [], {"raw": Side(held)})
        meet(engine, CANDIDATES, {"raw": Side(held)}, token_budget=30, advance=done.append)
    assert np.asarray(none.sides["raw"].dot).shape == (0, 3)
    assert none.loss.shape == none.sides["raw"].sqnorm.shape == (0,)
    assert sum(done) == sum(map(len, CANDIDATES))
    assert len(done) > 1


@pytest.mark.parametrize("name", ["llama-lora", "gpt2-full"])
def test_projected_products_are_right_on_average_and_their_error_is_the_stated_one(name: str) -> None:
    model = MODELS[name]()
    seeds = 25
    exact, _ = met_with(model, {"raw": Request()}, {"raw": ("raw", {})})
    truth = np.asarray(exact.sides["raw"].dot)
    requests = {str(seed): Request(projection=Projection(40, seed=seed)) for seed in range(seeds)}
    met, _ = met_with(model, requests, {name: (name, {}) for name in requests})
    found = np.stack([np.asarray(side.dot) for side in met.sides.values()])
    standard_error = found.std(0, ddof=1) / np.sqrt(seeds)
    assert (np.abs(found.mean(0) - truth) < 4.5 * standard_error).all()
    relative = np.sqrt(((found - truth) ** 2).mean()) / np.sqrt((truth**2).mean())
    with Engine(model) as engine:
        stated = [
            measure_projection(engine, CANDIDATES, QUERIES, Projection(40, seed=seed)).relative
            for seed in range(6)
        ]
    assert 0.5 * relative < np.mean(stated) < 2 * relative
    for side in met.sides.values():
        np.testing.assert_allclose(side.sqnorm, exact.sides["raw"].sqnorm, rtol=1e-5)


def test_a_projection_as_large_as_the_parameters_is_exact() -> None:
    with Engine(MODELS["gpt2-full"]()) as engine:
        error = measure_projection(engine, CANDIDATES, QUERIES, Projection(10**6))
    assert error.relative < 1e-5
    assert error.spearman == 1.0
    assert (error.candidates, error.queries) == (7, 3)
