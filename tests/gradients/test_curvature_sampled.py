"""Labels drawn at the head come from the model's own softmax, and their gradient is autograd's."""

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn

from assay.errors import NumericsError
from assay.gradients import head as heads
from assay.gradients.batch import Batch
from assay.gradients.engine import Engine
from assay.gradients.head import Head, sampled_loss, trained_loss
from assay.gradients.inner import DenseGradients, gather
from assay.gradients.rules import Contribution
from tests.gradients.drawn import drawn_gradients, labels_by_inverse
from tests.gradients.models import examples, family, with_lora

SHAPES = [(1.0, None, False), (0.5, None, True), (1.0, 3.0, False), (2.0, 5.0, True)]


def random_head(scale: float, softcap: float | None, bias: bool, dtype: torch.dtype = torch.float64) -> Head:
    torch.manual_seed(0)
    projection = nn.Linear(8, 41, bias=bias).to(dtype).requires_grad_(False)
    return Head(nn.Identity(), projection, scale, softcap)


def whole_logits(head: Head, hidden: Tensor) -> Tensor:
    logits = head.projection(hidden) * head.scale
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)


def engine_gradients(engine: Engine, batch: Batch, seed: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def consume(name: str, parts: list[Contribution]) -> None:
        shape = engine.trained[name].shape
        gradients = gather(parts, "dense", shape, len(batch))
        assert isinstance(gradients, DenseGradients)
        found[name] = gradients.values.reshape(-1, *shape).clone()

    engine.run(batch, consume, sampled=seed)
    return found


@pytest.mark.parametrize(("scale", "softcap", "bias"), SHAPES)
def test_labels_come_as_often_as_the_softmax_says(
    scale: float, softcap: float | None, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "BLOCK", 16)
    monkeypatch.setattr(heads, "PIECE", 5)
    head = random_head(scale, softcap, bias, torch.float32)
    count = 20_000
    hidden = (2 * torch.randn(8)).expand(count, 8)
    uniform = torch.rand(count, dtype=torch.float64)
    labels, _, _ = sampled_loss(head, hidden, uniform, torch.ones(count))
    expected = count * whole_logits(head, hidden[:1]).double().softmax(1)[0]
    seen = torch.bincount(labels, minlength=41).double()
    rare = expected < 5
    assert float(seen[rare].sum()) <= 5 + 3 * float(expected[rare].sum())
    seen, expected = seen[~rare], expected[~rare]
    assert len(expected) > 5
    assert chisquare(seen.numpy(), (expected * seen.sum() / expected.sum()).numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("block", "piece"), [(7, 3), (16, 16), (10, 256), (4096, 256), (4096, 1)])
@pytest.mark.parametrize(("scale", "softcap", "bias"), SHAPES)
def test_labels_loss_and_gradient_are_those_of_the_whole_softmax(
    scale: float, softcap: float | None, bias: bool, block: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "BLOCK", block)
    monkeypatch.setattr(heads, "PIECE", piece)
    head = random_head(scale, softcap, bias)
    hidden = (4 * torch.randn(200, 8, dtype=torch.float64)).requires_grad_(True)
    uniform, weights = torch.rand(2, 200, dtype=torch.float64)
    logits = whole_logits(head, hidden)
    expected = labels_by_inverse(logits.detach(), uniform)
    expected_losses = nn.functional.cross_entropy(logits, expected, reduction="none") * weights
    (expected_gradient,) = torch.autograd.grad(expected_losses.sum(), hidden)
    labels, losses, gradient = sampled_loss(head, hidden.detach(), uniform, weights)
    assert torch.equal(labels, expected)
    torch.testing.assert_close(losses, expected_losses.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(trained_loss(head, hidden, expected * 0, weights, uniform), expected_losses)


def test_the_ends_of_the_unit_interval_draw_labels_that_can_occur() -> None:
    head = random_head(1.0, None, True)
    head.projection.bias[[0, 40]] = -1e5
    hidden = torch.randn(2, 8, dtype=torch.float64)
    labels, losses, _ = sampled_loss(head, hidden, torch.tensor([0.0, 1 - 2**-53]), torch.ones(2))
    assert labels.tolist() == [1, 39]
    assert losses.isfinite().all()


CASES = {
    "lora": lambda: with_lora(family("llama"), "llama"),
    "dora (slow path)": lambda: with_lora(family("llama"), "llama", use_dora=True),
    "head trained": lambda: with_lora(family("llama", tied=False), "llama", modules_to_save=["lm_head"]),
    "tied, all trained": lambda: family("gemma3"),
    "gpt2": lambda: family("gpt2", tied=False),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_drawn_labels_are_those_of_autograd(case: str) -> None:
    model = CASES[case]().double()
    tokens = examples(4, seed=4, weighted=True)
    truth = drawn_gradients(model, tokens, seed=7)
    other = drawn_gradients(model, tokens, seed=8)
    with Engine(model) as engine:
        engine.check(tokens)
        batches = [[one] for one in tokens] if engine.one_at_a_time else [tokens]
        rows = [engine_gradients(engine, Batch.of(batch, engine.device), 7) for batch in batches]
    for name, expected in truth.items():
        found = torch.cat([each[name] for each in rows if name in each])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(other[name], expected) or not expected.any()


def test_draws_do_not_depend_on_batch_composition() -> None:
    model = with_lora(family("qwen3"), "qwen3").double()
    tokens = examples(6, seed=5)
    with Engine(model) as engine:
        together = engine_gradients(engine, Batch.of(tokens[::-1], engine.device), 3)
        for row, example in enumerate(tokens[::-1]):
            alone = engine_gradients(engine, Batch.of([example], engine.device), 3)
            for name, values in alone.items():
                torch.testing.assert_close(values[0], together[name][row], rtol=1e-9, atol=1e-12)


def test_draws_follow_from_seed_id_and_position() -> None:
    tokens = examples(3, seed=6)
    batch = Batch.of(tokens, torch.device("cpu"))
    assert torch.equal(batch.uniform(1), batch.uniform(1))
    assert not torch.equal(batch.uniform(1), batch.uniform(2))
    flat = batch.uniform(1).flatten()
    assert len(flat.unique()) == len(flat)
    assert 0 <= float(flat.min()) < float(flat.max()) < 1


def test_a_loss_that_is_not_finite_names_the_example_when_labels_are_drawn() -> None:
    model = with_lora(family("llama", tied=False), "llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    tokens = examples(3)
    for number, example in enumerate(tokens):
        example.input_ids[:] = 7 if number == 1 else 8
    tokens[1].weights[1] = 1
    with Engine(model) as engine, pytest.raises(NumericsError, match=tokens[1].id):
        engine.run(Batch.of(tokens, engine.device), lambda *_: None, sampled=0)
