"""What nothing reads is not computed, and everything else stays as it was."""

from importlib import import_module

import pytest
import torch
from torch import Tensor, nn

from assay.gradients import Batch, Engine, products
from assay.gradients import engine as engine_module
from assay.gradients.needed import last_mlp, only_needed
from tests.gradients.models import examples, family, with_lora

NEEDED = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
FAMILIES = ["llama", "qwen3", "gemma3", "gpt2"]


class Mlp(nn.Linear):
    """Token-wise; remembers how many tokens it saw."""

    def forward(self, inputs: Tensor, *more: Tensor) -> Tensor:
        self.seen = inputs.shape[:-1].numel()
        return super().forward(inputs)


def test_needed_positions_are_exact_and_others_zero_and_not_computed() -> None:
    torch.manual_seed(0)
    mlp, hidden = Mlp(4, 4), torch.randn(3, 5, 4)
    whole = mlp(hidden)
    with only_needed(mlp, NEEDED):
        found = mlp(hidden)
    torch.testing.assert_close(found[NEEDED], whole[NEEDED])
    assert mlp.seen == 9, "three rows of the three positions that the neediest row needs"
    assert not found[0, 0].any()
    torch.testing.assert_close(mlp(hidden), whole)


def test_gradients_flow_to_the_needed_positions_alone() -> None:
    torch.manual_seed(0)
    mlp, hidden = Mlp(4, 4), torch.randn(3, 5, 4, requires_grad=True)
    expected = torch.autograd.grad(mlp(hidden)[NEEDED].square().sum(), hidden)[0]
    with only_needed(mlp, NEEDED):
        found = torch.autograd.grad(mlp(hidden)[NEEDED].square().sum(), hidden)[0]
    torch.testing.assert_close(found, expected)


def test_an_mlp_that_is_given_more_than_hidden_states_sees_them_all() -> None:
    mlp, hidden = Mlp(4, 4), torch.randn(3, 5, 4)
    with only_needed(mlp, NEEDED):
        found = mlp(hidden, hidden)
    assert mlp.seen == 15
    assert torch.equal(found, mlp(hidden))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("form", ["dense", "factored"])
@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("name", FAMILIES)
def test_in_float64_products_are_those_of_the_whole_last_layer(
    name: str, full: bool, form: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        import_module("assay.gradients.products"),
        "form_for",
        lambda shape, *_: form if len(shape) == 2 else "dense",
    )
    model = family(name, dtype=torch.float64)
    model = model if full else with_lora(model, name)
    if checkpointing:
        model.gradient_checkpointing_enable()
    groups = {"a": examples(5, weighted=True)}
    narrow = products(model, groups, [("a", "a")])
    monkeypatch.setattr(engine_module, "last_mlp", lambda _: None)
    whole = products(model, groups, [("a", "a")])
    torch.testing.assert_close(narrow.dot["a", "a"], whole.dot["a", "a"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(narrow.loss["a"], whole.loss["a"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_mlp_of_every_family_is_found_and_sees_only_what_is_needed(name: str) -> None:
    model = with_lora(family(name), name)
    mlps = [module for path, module in model.named_modules() if path.endswith(".mlp")]
    shapes: list[torch.Size] = []
    for mlp in mlps:
        first = next(
            module for module in mlp.modules() if isinstance(module, nn.Linear) or "c_fc" in dir(mlp)
        )
        first = getattr(mlp, "c_fc", first)
        first.register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    tokens = examples(3)
    batch = Batch.of(tokens, torch.device("cpu"))
    with Engine(model) as engine:
        assert last_mlp(engine.head.backbone) is mlps[-1]
        engine.run(batch, lambda *_: None)
    longest, most = max(map(len, tokens)), max(int((t.weights[1:] != 0).sum()) for t in tokens)
    assert [shape[1] for shape in shapes] == [longest - 1, most]
