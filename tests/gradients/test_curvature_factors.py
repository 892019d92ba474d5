"""EK-FAC, K-FAC and diagonal curvature are what their definitions say, however examples fall into batches."""

import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from assay.data.example import Tokens
from assay.errors import ConfigError, ModelError, NumericsError
from assay.gradients import Engine
from assay.gradients.batch import Batch
from assay.gradients.curvature import (
    Covariances,
    Curvature,
    Kind,
    Moments,
    curvature,
    eigenbases,
    fit,
    layout,
    observe,
)
from assay.gradients.curvature import moments as moments_module
from assay.gradients.curvature.eigen import eigh
from assay.gradients.curvature.layout import Layout
from assay.gradients.rules import Outer
from tests.gradients.drawn import drawn_gradients
from tests.gradients.models import examples, family, with_lora

KINDS: tuple[Kind, ...] = ("ekfac", "kfac", "diagonal")
SEED = 3
CPU = torch.device("cpu")


def lora() -> nn.Module:
    return with_lora(family("llama"), "llama").double()


MODELS = {
    "lora": lora,
    "full, tied": lambda: family("llama").double(),
    "full, untied": lambda: family("qwen3", tied=False).double(),
    "gpt2": lambda: family("gpt2").double(),
    "dora": lambda: with_lora(family("llama"), "llama", use_dora=True).double(),
    "saved head": lambda: with_lora(
        family("llama", tied=False), "llama", modules_to_save=["lm_head", "embed_tokens"]
    ).double(),
}


def fitted(model: nn.Module, tokens: list[Tokens], kind: Kind, **options: object) -> Curvature:
    with Engine(model) as engine:
        engine.check(tokens)
        return fit(engine, tokens, kind, seed=SEED, **options)


def dense(found: Curvature, name: str, damping: float) -> Tensor:
    """(Q_L ⊗ Q_R) diag(Λ + λ) (Q_L ⊗ Q_R)ᵀ of one parameter, in full."""
    values = found.eigenvalues[name]
    damped = torch.diag(values.flatten() + damping * values.mean())
    if name not in found.bases:
        return damped
    rotation = torch.kron(found.bases[name].left, found.bases[name].right).double()
    return rotation @ damped @ rotation.T


def assert_same(ours: Curvature, theirs: Curvature, tolerance: float = 1e-5) -> None:
    """Same inverse, which is all that is used: eigenvectors of equal eigenvalues are free to turn."""
    for name, values in ours.eigenvalues.items():
        gradients = torch.randn(3, values.numel(), dtype=torch.float64, generator=torch.manual_seed(1))
        a, b = (each.inverse()(name, gradients) for each in (ours, theirs))
        assert float((a - b).norm()) <= tolerance * float(b.norm()), name


@pytest.mark.parametrize("case", MODELS)
def test_eigenvalues_are_the_mean_squares_of_autograd_gradients_in_the_eigenvectors(case: str) -> None:
    model, tokens = MODELS[case](), examples(5, seed=1, weighted=True)
    first, second = (drawn_gradients(model, tokens, seed) for seed in (SEED, SEED + 1))
    ekfac, kfac, diagonal = (fitted(model, tokens, kind, token_budget=40) for kind in KINDS)
    for name, gradients in second.items():
        expected = gradients.square().mean(0)
        if name in ekfac.bases:
            basis = ekfac.bases[name]
            rotated = torch.einsum("oa,noi,ib->nab", basis.left, gradients, basis.right)
            expected = rotated.square().mean(0)
            outer = torch.outer(kfac.bases[name].left_values, kfac.bases[name].right_values)
            torch.testing.assert_close(kfac.eigenvalues[name], outer)
        else:
            torch.testing.assert_close(
                kfac.eigenvalues[name], first[name].square().mean(0), rtol=1e-4, atol=1e-9
            )
        torch.testing.assert_close(ekfac.eigenvalues[name], expected, rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(
            diagonal.eigenvalues[name], first[name].square().mean(0), rtol=1e-4, atol=1e-9
        )


@pytest.mark.parametrize("case", MODELS)
def test_matrices_of_linear_layers_are_factored_and_all_else_is_diagonal(case: str) -> None:
    model = MODELS[case]()
    with Engine(model) as engine:
        engine.check(examples(2))
        plan = layout(engine, "ekfac")
        small = layout(engine, "ekfac", largest_side=23)
    factored, diagonal = " ".join(plan.factored), " ".join(plan.diagonal)
    assert set(plan.factored).isdisjoint(plan.diagonal)
    assert set(plan.shapes) == {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(len(shape) == 2 for shape in plan.factored.values())
    for part in ("norm", "ln_", "bias", "embed", "wte", "wpe", "magnitude"):
        assert part not in factored
    assert ("lm_head" in factored) == (case in {"full, untied", "saved head"})
    assert ("embed" in diagonal or "wte" in diagonal) == (
        case in {"full, tied", "full, untied", "gpt2"} or "saved" in case
    )
    assert (plan.factored_fraction == 1) == (case == "lora")
    assert (plan.sentence() == "every trained parameter has an EK-FAC curvature") == (case == "lora")
    assert all(max(shape) <= 23 for shape in small.factored.values())
    assert (len(small.factored) < len(plan.factored)) == (case != "dora")


def test_covariances_follow_their_definition_and_leave_padding_out() -> None:
    """One linear layer whose factors are known: zeros on either side do not count."""
    torch.manual_seed(0)
    left, right = torch.randn(3, 4, 2), torch.randn(3, 4, 5)
    left[0, 2:] = 0
    right[1, :3] = 0
    counts = torch.tensor([2, 1, 4])
    plan = Layout("ekfac", {"w": (2, 5)}, {})
    sums = Covariances.zeros(plan, CPU)
    sums.take("w", [Outer(left, right)], 3)
    sums.take("w", [Outer(left[:1], right[:1], example=0), Outer(left[2:], right[2:], example=1)], 2)
    sums.examples = 7
    pair = sums.pair("w")
    rows = [*range(3), 0, 2]
    tokens = [
        (left[n, t], right[n, t]) for n in rows for t in range(4) if left[n, t].any() and right[n, t].any()
    ]
    assert int(pair.tokens) == len(tokens) == int(counts.sum()) + 6
    expected_left = sum(torch.outer(s, s) for s, _ in tokens).double() / 7
    expected_right = sum(torch.outer(r, r) for _, r in tokens).double() / len(tokens)
    torch.testing.assert_close(pair.left, expected_left, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pair.right, expected_right, rtol=1e-5, atol=1e-6)


def test_wide_covariances_are_whole_and_symmetric() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(2, 3, 300), torch.randn(2, 3, 600)
    sums = Covariances.zeros(Layout("ekfac", {"w": (300, 600)}, {}), CPU)
    sums.take("w", [Outer(left, right)], 2)
    sums.examples = 2
    flat = right.flatten(0, 1).double()
    torch.testing.assert_close(sums.pair("w").right, flat.T @ flat / 6, rtol=1e-5, atol=1e-5)
    assert torch.equal(sums.pair("w").right, sums.pair("w").right.T)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damping", [0.1, 1e-4])
def test_inverse_is_that_of_the_dense_matrix_and_its_root_taken_twice(kind: Kind, damping: float) -> None:
    model, tokens = lora(), examples(6, seed=2)
    found = fitted(model, tokens, kind)
    for name, gradients in drawn_gradients(model, tokens, 0).items():
        flat = gradients.flatten(1)
        expected = torch.linalg.solve(dense(found, name, damping), flat.T).T
        inverse, root = found.inverse(damping), found.inverse_root(damping)
        torch.testing.assert_close(inverse(name, flat), expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(root(name, root(name, flat)), inverse(name, flat), rtol=1e-8, atol=1e-10)
        white = found.whitening(damping)(name, flat)
        torch.testing.assert_close(white @ white.T, flat @ inverse(name, flat).T, rtol=1e-8, atol=1e-10)


def softmax_layer(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (t, 4) of a linear layer with 5 outputs, its softmax (t, 5), and the exact Hessian (20, 20)."""
    torch.manual_seed(0)
    weight = torch.randn(5, 4, dtype=torch.float64)
    inputs = torch.randn(tokens, 4, dtype=torch.float64)
    probabilities = (inputs @ weight.T).softmax(1)

    def loss(flat: Tensor, label: int, token: int) -> Tensor:
        logits = flat.reshape(5, 4) @ inputs[token]
        return nn.functional.cross_entropy(logits[None], torch.tensor([label]))

    hessian = sum(
        torch.autograd.functional.hessian(lambda flat, t=t: loss(flat, 0, t), weight.flatten())
        for t in range(tokens)
    )
    return inputs, probabilities, hessian / tokens


def fed(kind: Kind, inputs: Tensor, probabilities: Tensor) -> Curvature:
    """The curvature when every label of every token is an example of its own, as often as its probability.

    An example that stands for p of all has the root of p times their number in its gradient.
    """
    count = probabilities.numel()
    shares = probabilities.flatten() / len(inputs)
    errors = probabilities.repeat_interleave(5, 0) - torch.eye(5, dtype=torch.float64).repeat(len(inputs), 1)
    left = errors * (count * shares).sqrt()[:, None]
    right = inputs.repeat_interleave(5, 0)
    plan = Layout(kind, {"w": (5, 4)}, {}, torch.float64)
    sums = Covariances.zeros(plan, CPU)
    sums.take("w", [Outer(left[:, None], right[:, None])], count)
    sums.examples = count
    bases = eigenbases(sums, torch.float64)
    moments = Moments.zeros(plan.shapes, bases, CPU)
    moments.take("w", [Outer(left[:, None], right[:, None])], count)
    moments.examples = count
    return curvature(plan, bases, moments)


@pytest.mark.parametrize("kind", ["ekfac", "kfac"])
def test_one_token_of_one_layer_has_the_exact_gauss_newton_inverse(kind: Kind) -> None:
    """With one input a the Fisher matrix is Cov(p) ⊗ aaᵀ: Kronecker-factored, and the Hessian itself."""
    inputs, probabilities, hessian = softmax_layer(1)
    found = fed(kind, inputs, probabilities)
    gradients = torch.randn(3, 20, dtype=torch.float64)
    torch.testing.assert_close(dense(found, "w", 0.0), hessian, rtol=1e-8, atol=1e-12)
    damped = hessian + 0.1 * found.eigenvalues["w"].mean() * torch.eye(20, dtype=torch.float64)
    expected = torch.linalg.solve(damped, gradients.T).T
    torch.testing.assert_close(found.inverse(0.1)("w", gradients), expected, rtol=1e-8, atol=1e-10)


def test_ekfac_keeps_the_trace_of_the_hessian_and_lies_nearer_to_it_than_kfac() -> None:
    """George et al. 2018, arXiv 1806.03884: Λ is the best diagonal in the Kronecker eigenvectors."""
    inputs, probabilities, hessian = softmax_layer(6)
    ekfac, kfac = (dense(fed(kind, inputs, probabilities), "w", 0.0) for kind in ("ekfac", "kfac"))
    torch.testing.assert_close(ekfac.trace(), hessian.trace())
    errors = [float((each - hessian).norm() / hessian.norm()) for each in (ekfac, kfac)]
    assert 0.01 < errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["lora", "full, tied"])
def test_padding_order_and_batch_composition_change_nothing(case: str, kind: Kind) -> None:
    model, tokens = MODELS[case](), examples(7, seed=5)
    together = fitted(model, tokens, kind, token_budget=10_000)
    assert_same(fitted(model, tokens, kind, token_budget=1), together)
    assert_same(fitted(model, tokens[::-1], kind, token_budget=30), together)
    other = fitted(model, tokens[:6], kind)
    with pytest.raises(AssertionError):
        assert_same(other, together)


@pytest.mark.parametrize("step", [1, 10**9])
def test_few_examples_at_a_time_give_the_same_moments(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = MODELS["saved head"](), examples(5, seed=5)
    expected = fitted(model, tokens, "ekfac")
    monkeypatch.setattr(moments_module, "CHUNK", step)
    assert_same(fitted(model, tokens, "ekfac"), expected)


def through_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in tensors.items()}


def test_a_resumed_measurement_is_identical_to_the_bit() -> None:
    model, tokens = with_lora(family("llama"), "llama", bias="lora_only"), examples(6, seed=6)
    with Engine(model) as engine:
        engine.check(tokens)
        plan = layout(engine, "ekfac")
        batches = [Batch.of(tokens[start : start + 2], CPU) for start in (0, 2, 4)]

        def both(resume: bool) -> Curvature:
            sums = Covariances.zeros(plan, CPU)
            for batch in batches:
                observe(engine, batch, SEED, sums)
                sums = Covariances.from_tensors(through_tensors(sums.tensors()), CPU) if resume else sums
            bases = eigenbases(sums)
            moments = Moments.zeros(plan.shapes, bases, CPU)
            for batch in batches:
                observe(engine, batch, SEED + 1, moments)
                if resume:
                    moments = Moments.from_tensors(through_tensors(moments.tensors()), bases, CPU)
            return curvature(plan, bases, moments)

        once, resumed = both(False), both(True)
    assert once.examples == resumed.examples == 6
    for name, values in once.eigenvalues.items():
        assert torch.equal(values, resumed.eigenvalues[name])
        if name in once.bases:
            assert torch.equal(once.bases[name].left, resumed.bases[name].left)
            assert torch.equal(once.bases[name].right, resumed.bases[name].right)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_a_parameter_without_gradient_counts_as_zero_and_is_named(kind: Kind, damping: float) -> None:
    model = lora()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.zero_()
    found = fitted(model, examples(4), kind)
    assert found.flat == tuple(name for name in found.eigenvalues if "lora_A" in name)
    assert "had no gradient at all" in found.sentence()
    for name, values in found.eigenvalues.items():
        given = torch.ones(2, values.numel(), dtype=torch.float64)
        for transform in (found.inverse(damping), found.inverse_root(damping), found.whitening(damping)):
            result = transform(name, given)
            assert result.isfinite().all()
            assert bool(result.any()) == ("lora_B" in name)


def test_bf16_factors_are_fp32_and_near_those_of_float64() -> None:
    model = with_lora(family("llama", dtype=torch.bfloat16), "llama")
    tokens = examples(40, seed=8)
    found = fitted(model, tokens, "ekfac")
    precise = fitted(model.double(), tokens, "ekfac")
    for name, values in found.eigenvalues.items():
        assert found.bases[name].left.dtype == torch.float32
        assert values.dtype == torch.float64
        ratio = float(values.mean() / precise.eigenvalues[name].mean())
        assert 0.7 < ratio < 1.4


def test_a_gradient_that_is_not_finite_names_the_example() -> None:
    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, values: Tensor) -> Tensor:
            return values.view_as(values)

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            poisoned = grads[0].clone()
            poisoned[1] = float("inf")
            return poisoned

    tokens = examples(3)
    for kind in KINDS:
        model = lora()
        layer = model.get_base_model().model.layers[1]
        layer.register_forward_hook(lambda _module, _inputs, output: Poison.apply(output))
        with pytest.raises(NumericsError, match=tokens[1].id):
            fitted_in_order(model, tokens, kind)


def fitted_in_order(model: nn.Module, tokens: list[Tokens], kind: Kind) -> None:
    with Engine(model) as engine:
        plan = layout(engine, kind)
        sums = (Covariances.zeros(plan, CPU), Moments.zeros(plan.shapes, {}, CPU))
        observe(engine, Batch.of(tokens, CPU), SEED, *sums)


@pytest.mark.parametrize("damping", [-0.1, float("nan"), float("inf")])
def test_a_damping_that_is_none_is_refused(damping: float) -> None:
    found = fitted(lora(), examples(2), "diagonal")
    with pytest.raises(ConfigError, match="damping"):
        found.inverse(damping)


def test_a_parameter_that_was_not_measured_is_refused() -> None:
    found = fitted(lora(), examples(2), "diagonal")
    with pytest.raises(ModelError, match=r"other\.weight"):
        found.inverse()("other.weight", torch.ones(1, 4))


def test_a_failed_decomposition_is_tried_again_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))
    true_eigh, calls = torch.linalg.eigh, []

    def failing(times: int) -> object:
        def attempt(values: Tensor) -> object:
            calls.append(values)
            if len(calls) <= times:
                raise torch.linalg.LinAlgError("did not converge")
            return true_eigh(values)

        return attempt

    for times in (0, 1, 2):
        calls.clear()
        monkeypatch.setattr(torch.linalg, "eigh", failing(times))
        values, vectors = eigh(matrix, "layer.weight")
        torch.testing.assert_close(values, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
        torch.testing.assert_close(vectors @ torch.diag(values) @ vectors.T, matrix)
        assert len(calls) == times + 1
    calls.clear()
    monkeypatch.setattr(torch.linalg, "eigh", failing(3))
    with pytest.raises(NumericsError, match=r"layer\.weight"):
        eigh(matrix, "layer.weight")
    with pytest.raises(NumericsError, match=r"layer\.weight"):
        eigh(matrix * float("nan"), "layer.weight")


def test_curvature_is_frozen() -> None:
    found = fitted(lora(), examples(2), "diagonal")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.examples = 3
