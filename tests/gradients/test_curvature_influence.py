"""On a convex model, influence under each curvature predicts what really leaving an example out does.

The model is a softmax layer on the fixed hidden states of a random Llama, trained to its optimum of
mean loss + l2/2 ‖W‖². There the damping of a curvature is l2 itself, and leaving one out can be computed.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from assay.data.example import Tokens
from assay.gradients import Engine
from assay.gradients.batch import Batch
from assay.gradients.curvature import (
    Covariances,
    Curvature,
    Kind,
    Moments,
    curvature,
    eigenbases,
    layout,
    observe,
)
from assay.gradients.inner import DenseGradients, gather
from assay.gradients.rules import Contribution

VOCABULARY, HIDDEN, EXAMPLES, QUERIES, L2 = 12, 8, 60, 12, 0.1
NAME = "lm_head.weight"


def softmax_on_fixed_features() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=False,
        initializer_range=0.5,
    )
    model = LlamaForCausalLM(config).double().eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == NAME)
    return model


@torch.no_grad()
def written_by(model: nn.Module, count: int, seed: int) -> list[Tokens]:
    """Examples that the model itself writes, so that there is something to learn."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        length = int(torch.randint(4, 13, (), generator=generator))
        ids = torch.randint(VOCABULARY, (1, 1), generator=generator)
        while ids.shape[1] < length:
            probabilities = model(input_ids=ids).logits[0, -1].softmax(0)
            ids = torch.cat([ids, torch.multinomial(probabilities, 1, generator=generator)[None]], 1)
        weights = np.ones(length, dtype=np.float32)
        weights[: 1 + length // 4] = 0
        made.append(Tokens(f"{seed}-{number}", ids[0].numpy(), weights))
    return made


class Layer:
    """The convex problem without the model: features, labels and owners of all learned tokens."""

    def __init__(self, model: LlamaForCausalLM, tokens: list[Tokens]) -> None:
        features, labels, owners = [], [], []
        for number, example in enumerate(tokens):
            ids = torch.from_numpy(example.input_ids)
            hidden = model.model(input_ids=ids[None]).last_hidden_state[0, :-1].detach()
            learned = torch.from_numpy(example.weights[1:] > 0)
            features.append(hidden[learned])
            labels.append(ids[1:][learned])
            owners.append(torch.full((int(learned.sum()),), number))
        self.features, self.labels, self.owners = map(torch.cat, (features, labels, owners))
        self.count = len(tokens)

    def losses(self, weight: Tensor) -> Tensor:
        rows = nn.functional.cross_entropy(self.features @ weight.T, self.labels, reduction="none")
        return torch.zeros(self.count, dtype=torch.float64).index_add(0, self.owners, rows)

    def derivatives(self, weight: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian of Σ_kept loss / N, N always that of all examples."""
        x = self.features[kept[self.owners]]
        p = (x @ weight.T).softmax(1)
        errors = p - nn.functional.one_hot(self.labels[kept[self.owners]], VOCABULARY)
        spread = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        hessian = torch.einsum("tab,ti,tj->aibj", spread, x, x).reshape(2 * (weight.numel(),))
        return (errors.T @ x).flatten() / self.count, hessian / self.count

    def optimum(self, start: Tensor, kept: Tensor) -> Tensor:
        """Newton's method until the gradient vanishes."""
        weight = start
        for _ in range(50):
            gradient, hessian = self.derivatives(weight, kept)
            gradient = gradient + L2 * weight.flatten()
            if float(gradient.norm()) < 1e-11:
                return weight
            step = torch.linalg.solve(hessian + L2 * torch.eye(len(hessian), dtype=torch.float64), gradient)
            weight = weight - step.reshape_as(weight)
        raise AssertionError("not converged")


World = tuple[LlamaForCausalLM, list[Tokens], list[Tokens], Layer, Tensor]


def gradients(engine: Engine, tokens: list[Tokens]) -> Tensor:
    rows = []

    def consume(name: str, parts: list[Contribution]) -> None:
        found = gather(parts, "dense", engine.trained[name].shape, len(tokens))
        assert isinstance(found, DenseGradients)
        rows.append(found.values.clone())

    engine.run(Batch.of(tokens, engine.device), consume)
    return rows[0]


@pytest.fixture(scope="module")
def world() -> World:
    """Model at its optimum, candidates, queries, the problem, and true effects (candidates, queries).

    The effect of a candidate is by how much leaving it out raises the query's loss: positive where it helps.
    """
    model = softmax_on_fixed_features()
    candidates, queries = written_by(model, EXAMPLES, 1), written_by(model, QUERIES, 2)
    problem, asked = Layer(model, candidates), Layer(model, queries)
    everyone = torch.ones(EXAMPLES, dtype=torch.bool)
    best = problem.optimum(torch.zeros(VOCABULARY, HIDDEN, dtype=torch.float64), everyone)
    effects = []
    for left_out in range(EXAMPLES):
        kept = everyone.clone()
        kept[left_out] = False
        effects.append(asked.losses(problem.optimum(best, kept)) - asked.losses(best))
    model.lm_head.weight.data = best
    return model, candidates, queries, problem, torch.stack(effects)


def measured(engine: Engine, tokens: list[Tokens], kind: Kind, draws: int = 8) -> Curvature:
    """The curvature over many draws of labels for the same few examples."""
    plan = layout(engine, kind)
    batch = Batch.of(tokens, engine.device)
    sums = Covariances.zeros(plan, engine.device)
    for seed in range(draws if plan.factored else 0):
        observe(engine, batch, seed, sums)
    bases = eigenbases(sums, plan.precision)
    moments = Moments.zeros(plan.shapes, bases, engine.device)
    for seed in range(draws, 2 * draws if kind != "kfac" else draws):
        observe(engine, batch, seed, moments)
    return curvature(plan, bases, moments)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1])


def slope(truth: Tensor, predicted: Tensor) -> float:
    """What a prediction has to be multiplied with to meet the truth best."""
    return float((truth * predicted).sum() / predicted.square().sum())


def test_influence_under_the_exact_hessian_predicts_leaving_one_out(world: World) -> None:
    model, candidates, queries, problem, effects = world
    weight = model.lm_head.weight.detach()
    _, hessian = problem.derivatives(weight, torch.ones(EXAMPLES, dtype=torch.bool))
    damped = hessian + L2 * torch.eye(len(hessian), dtype=torch.float64)
    with Engine(model) as engine:
        ours, theirs = gradients(engine, candidates), gradients(engine, queries)
    predicted = ours @ torch.linalg.solve(damped, theirs.T) / EXAMPLES
    assert correlation(predicted, effects) > 0.99
    assert slope(effects, predicted) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "least", "scale"), [("ekfac", 0.97, 1.0), ("kfac", 0.96, 0.94), ("diagonal", 0.8, 0.43)]
)
def test_influence_under_a_curvature_predicts_leaving_one_out(
    world: World, kind: Kind, least: float, scale: float
) -> None:
    """Without a curvature r is .64. The diagonal ignores what features share: it is worse, and too large."""
    model, candidates, queries, _, effects = world
    with Engine(model) as engine:
        engine.check(candidates)
        ours, theirs = gradients(engine, candidates), gradients(engine, queries)
        found = measured(engine, candidates, kind)
    inverse = found.inverse(L2 / float(found.eigenvalues[NAME].mean()))
    predicted = ours @ inverse(NAME, theirs).T / EXAMPLES
    assert correlation(ours @ theirs.T, effects) < 0.7
    assert correlation(predicted, effects) > least
    assert slope(effects, predicted) == pytest.approx(scale, abs=0.05)
