"""Γ is what AdamW would do next with a candidate's gradient, and the original's formula on request."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.data.example import Tokens
from assay.errors import ModelError
from assay.gradients.adam import adam_direction
from assay.gradients.coverage import trained_parameters
from assay.gradients.engine import Engine
from assay.gradients.held import hold
from assay.gradients.meeting import Side, meet
from assay.models.optimizer_state import Group, Moments, OptimizerState
from tests.gradients.models import autograd_gradients, examples, family, with_lora

CANDIDATES = examples(4, seed=1)
QUERIES = examples(3, seed=2)
CPU = torch.device("cpu")
SETTINGS = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}


def mean_gradients(model: nn.Module, tokens: list[Tokens]) -> Tensor:
    """Of the mean over completion tokens, (n, p), float64."""
    counts = torch.tensor([one.completion_tokens for one in tokens])[:, None]
    return autograd_gradients(model, tokens)[0] / counts


def step(model: nn.Module, optimizer: torch.optim.Optimizer, gradient: Tensor) -> None:
    parts = gradient.split([p.numel() for p in trained_parameters(model).values()])
    for parameter, part in zip(trained_parameters(model).values(), parts, strict=True):
        parameter.grad = part.reshape(parameter.shape).clone()
    optimizer.step()


def after_some_training(**options: object) -> tuple[nn.Module, torch.optim.AdamW]:
    """A LoRA Llama in float64 and the AdamW that took three steps with it."""
    model = with_lora(family("llama", dtype=torch.float64), "llama")
    optimizer = torch.optim.AdamW(trained_parameters(model).values(), **SETTINGS, **options)
    for seed in (5, 6, 7):
        step(model, optimizer, mean_gradients(model, examples(4, seed=seed)).mean(0))
    return model, optimizer


def state_of(model: nn.Module, optimizer: torch.optim.AdamW) -> OptimizerState:
    own = optimizer.param_groups[0]
    moments = {
        name: Moments(
            int(optimizer.state[parameter]["step"]),
            optimizer.state[parameter]["exp_avg"].clone(),
            optimizer.state[parameter]["exp_avg_sq"].clone(),
            optimizer.state[parameter].get("max_exp_avg_sq"),
        )
        for name, parameter in trained_parameters(model).items()
    }
    group = Group(tuple(moments), amsgrad=own["amsgrad"], maximize=own["maximize"], **SETTINGS)
    return OptimizerState(Path("optimizer.pt"), moments, (group,), SETTINGS["lr"])


def direction_of(model: nn.Module, state: OptimizerState, gradients: Tensor, exact: bool = False) -> Tensor:
    """Γ of all parameters, (n, p)."""
    transform = adam_direction(state, CPU, exact=exact)
    trained = trained_parameters(model)
    parts = gradients.split([parameter.numel() for parameter in trained.values()], dim=1)
    return torch.cat([transform(name, part) for name, part in zip(trained, parts, strict=True)], dim=1)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trained_parameters(model).values()])


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"maximize": True}], ids=str)
def test_gamma_is_the_step_that_adamw_takes_next_with_this_gradient(options: dict) -> None:
    model, optimizer = after_some_training(**options)
    state = state_of(model, optimizer)
    gradients = mean_gradients(model, CANDIDATES)
    gamma = direction_of(model, state, gradients)
    decayed = flat(model) * (1 - SETTINGS["lr"] * SETTINGS["weight_decay"])
    step(model, optimizer, gradients[0])
    torch.testing.assert_close(-SETTINGS["lr"] * gamma[0], flat(model) - decayed, rtol=1e-9, atol=1e-12)


def test_candidates_meet_queries_with_gamma_of_their_token_mean() -> None:
    model, optimizer = after_some_training()
    state = state_of(model, optimizer)
    gamma = direction_of(model, state, mean_gradients(model, CANDIDATES))
    g_q, _ = autograd_gradients(model, QUERIES)
    with Engine(model) as engine:
        held = hold(engine, QUERIES, candidate_length=9)
        sides = {"adam": Side(held, adam_direction(state, CPU), mean=True)}
        met = meet(engine, CANDIDATES, sides, token_budget=30).sides["adam"]
    np.testing.assert_allclose(met.dot, (gamma @ g_q.T).numpy(), rtol=1e-9)
    np.testing.assert_allclose(met.sqnorm, gamma.square().sum(1).numpy(), rtol=1e-9)


def test_a_positive_product_lowers_the_loss_of_the_query() -> None:
    model, optimizer = after_some_training()
    before = flat(model)
    gamma = direction_of(model, state_of(model, optimizer), mean_gradients(model, CANDIDATES))
    g_q, _ = autograd_gradients(model, QUERIES)
    products = gamma @ g_q.T
    size = 1e-4
    for candidate, row in zip(gamma, products, strict=True):
        ends = []
        for at in (before + size * candidate, before - size * candidate):
            torch.nn.utils.vector_to_parameters(at, trained_parameters(model).values())
            ends.append(autograd_gradients(model, QUERIES)[1])
        torch.testing.assert_close((ends[0] - ends[1]) / (2 * size), row, rtol=0.01, atol=0.1)


def test_exact_is_the_arithmetic_of_the_original() -> None:
    model, optimizer = after_some_training()
    state = state_of(model, optimizer)
    gradients = mean_gradients(model, CANDIDATES)
    avg, avg_sq = (
        torch.cat([optimizer.state[p][key].flatten() for p in trained_parameters(model).values()])
        for key in ("exp_avg", "exp_avg_sq")
    )
    beta1, beta2 = SETTINGS["betas"]
    updated_avg = beta1 * avg + (1 - beta1) * gradients
    updated_avg_sq = beta2 * avg_sq + (1 - beta2) * gradients**2
    truth = updated_avg / torch.sqrt(updated_avg_sq + SETTINGS["eps"])
    torch.testing.assert_close(direction_of(model, state, gradients, exact=True), truth, rtol=1e-12, atol=0)


def test_gamma_of_no_gradient_is_what_the_moments_still_carry() -> None:
    model, optimizer = after_some_training()
    state = state_of(model, optimizer)
    gamma = direction_of(model, state, torch.zeros(1, flat(model).numel(), dtype=torch.float64))[0]
    before = flat(model) * (1 - SETTINGS["lr"] * SETTINGS["weight_decay"])
    step(model, optimizer, torch.zeros_like(gamma))
    assert float(gamma.abs().max()) > 0.1
    torch.testing.assert_close(-SETTINGS["lr"] * gamma, flat(model) - before, rtol=1e-9, atol=1e-12)


def test_gradients_are_left_as_they_are_and_single_precision_is_enough() -> None:
    model, optimizer = after_some_training()
    state = state_of(model, optimizer)
    gradients = mean_gradients(model, CANDIDATES)
    single = gradients.float()
    before = single.clone()
    for exact in (False, True):
        found = direction_of(model, state, single, exact)
        assert found.dtype == torch.float32
        torch.testing.assert_close(
            found.double(), direction_of(model, state, gradients, exact), rtol=1e-4, atol=1e-6
        )
    assert torch.equal(single, before)


def test_a_parameter_that_the_optimizer_does_not_hold_is_named() -> None:
    model, optimizer = after_some_training()
    with pytest.raises(ModelError, match=r"no moments of other\.weight"):
        adam_direction(state_of(model, optimizer), CPU)("other.weight", torch.zeros(1, 3))
