"""Steps are those of a plain training loop, losses those of full logits, and the way back is exact."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from assay.data.example import Tokens
from assay.errors import DataError, NumericsError
from assay.gradients.coverage import trained_parameters
from assay.lookahead.losses import answers
from assay.lookahead.plan import Plan, positions, task_halves
from assay.lookahead.run import arm_losses, arm_steps
from assay.lookahead.steps import added, mean_loss, restored, take_steps
from tests.gradients.models import examples, family, with_lora

FAMILIES = ["llama", "qwen3", "gemma3", "gpt2"]


def some(count, seed=0):
    return examples(count, seed)


def summed_loss(model, one):
    ids = torch.from_numpy(np.asarray(one.input_ids))[None]
    weights = torch.from_numpy(np.asarray(one.weights))[1:].double()
    logits = model(input_ids=ids).logits[0, :-1].double()
    return (cross_entropy(logits, ids[0, 1:], reduction="none") * weights).sum()


def weights_of(model):
    return [p.detach().clone() for p in trained_parameters(model).values()]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_a_step_is_that_of_a_plain_loop_in_float64(name, full):
    base, more = some(3, 1), some(2, 2)
    learned = [sum(one.completion_tokens for one in part) for part in (base, more)]

    def model():
        made = family(name, dtype=torch.float64)
        return (made.requires_grad_(True) if full else with_lora(made, name)).eval()

    ours, plain = model(), model()
    take_steps(
        ours,
        torch.optim.SGD(trained_parameters(ours).values(), lr=0.1),
        [added(base, more, 0.5)] * 2,
        max_grad_norm=0.7,
        token_budget=12,
    )
    optimizer = torch.optim.SGD(trained_parameters(plain).values(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss = sum(summed_loss(plain, one) for one in base) / learned[0]
        loss = loss + 0.5 * sum(summed_loss(plain, one) for one in more) / learned[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(trained_parameters(plain).values()), 0.7)
        optimizer.step()
    for a, b in zip(weights_of(ours), weights_of(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)  # Gemma scales embeddings in fp32


def test_rates_are_those_of_the_steps():
    model = with_lora(family("llama", dtype=torch.float64), "llama")
    optimizer = torch.optim.SGD(trained_parameters(model).values(), lr=1.0)
    before = weights_of(model)
    take_steps(model, optimizer, [mean_loss(some(2))] * 2, rates=[0.0, 0.0])
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
    take_steps(model, optimizer, [mean_loss(some(2))], rates=[0.1])
    assert not all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_are_those_of_full_logits(name):
    model, queries = with_lora(family(name), name).train(), some(7)
    said = answers(model, queries, token_budget=20)
    model.eval()
    for one, loss, right in zip(queries, said.losses, said.right, strict=True):
        ids = torch.from_numpy(np.asarray(one.input_ids))[None]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
            assert loss == pytest.approx(float(summed_loss(model, one)), rel=1e-5)
        learned = np.asarray(one.weights)[1:] > 0
        assert right == bool((logits.argmax(-1) == ids[0, 1:]).numpy()[learned].all())


def test_an_example_the_model_would_say_is_right():
    model, prompt = family("llama").eval(), [3, 4, 5]
    with torch.no_grad():
        said = int(model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())
    weights = np.array([0, 0, 0, 1], dtype=np.float32)
    right, wrong = (Tokens(str(last), np.array([*prompt, last]), weights) for last in (said, (said + 1) % 60))
    assert answers(model, [right, wrong]).right.tolist() == [True, False]


def test_a_lookahead_gives_every_weight_back_to_the_bit_even_when_it_fails():
    model = with_lora(family("llama"), "llama")
    before = weights_of(model)
    plan = Plan(steps=3, base=2, added=2)

    def adam(m):
        return torch.optim.AdamW(trained_parameters(m).values(), lr=1e-2)

    first = arm_losses(model, adam, plan, 0, some(5, 1), some(4, 2), some(3, 3))
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
    again = arm_losses(model, adam, plan, 0, some(5, 1), some(4, 2), some(3, 3))
    assert np.array_equal(first, again)
    alone = arm_losses(model, adam, plan, 0, some(5, 1), [], some(3, 3))
    assert not np.array_equal(first, alone)
    with pytest.raises(RuntimeError, match="stop"), restored(model):
        take_steps(model, adam(model), [mean_loss(some(2))])
        raise RuntimeError("stop")
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_training_flags_and_dropout_are_as_before():
    model = with_lora(family("llama"), "llama")
    model.train()
    optimizer = torch.optim.SGD(trained_parameters(model).values(), lr=0.1)
    take_steps(model, optimizer, [mean_loss(some(2))])
    assert model.training and all(module.training for module in model.modules())


def test_attention_may_hide_a_weight_that_is_not_finite_but_a_gradient_does_not():
    model = with_lora(family("llama"), "llama")
    with torch.no_grad():
        next(iter(trained_parameters(model).values())).fill_(float("nan"))  # of a query projection
    optimizer = torch.optim.SGD(trained_parameters(model).values(), lr=0.1)
    two = some(2)
    with pytest.raises(NumericsError, match=f"'{two[0].id}'.* not finite"):
        take_steps(model, optimizer, [mean_loss(two)])


def test_a_loss_that_is_not_finite_names_its_example():
    model = with_lora(family("llama"), "llama")
    with torch.no_grad():
        list(trained_parameters(model).values())[-1].fill_(float("nan"))  # of the last down projection
    optimizer = torch.optim.SGD(trained_parameters(model).values(), lr=0.1)
    two = some(2)
    with pytest.raises(NumericsError, match=f"'{two[0].id}'|'{two[1].id}'"):
        take_steps(model, optimizer, [mean_loss(two)])
    with pytest.raises(NumericsError, match="is not finite"):
        answers(model, two)


def test_a_step_without_learned_tokens_is_refused():
    nothing = Tokens("none", np.array([1, 2, 3]), np.zeros(3, dtype=np.float32))
    with pytest.raises(DataError, match="nothing to learn"):
        mean_loss([nothing])


def test_arms_share_base_batches_and_positions_of_probes():
    plan = Plan(steps=4, base=3, added=2)
    base, cot, plain = some(7, 1), some(5, 2), some(5, 3)
    alone, with_cot, with_plain = (arm_steps(plan, 9, base, probes) for probes in ([], cot, plain))
    for a, b, c in zip(alone, with_cot, with_plain, strict=True):
        assert a.tokens == b.tokens[:3] == c.tokens[:3]
        assert np.array_equal(a.shares, b.shares[:3])
        assert [cot.index(one) for one in b.tokens[3:]] == [plain.index(one) for one in c.tokens[3:]]
    other = arm_steps(plan, 10, base, [])
    assert [step.tokens for step in other] != [step.tokens for step in alone]


def test_positions_use_all_before_any_comes_again():
    drawn = positions(5, 12, "x", 1)
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list(range(5))
    assert len(drawn) == 12


def test_halves_part_the_tasks_and_change_with_the_seed():
    tasks = tuple("abcdefg")
    halvings = {task_halves(tasks, seed) for seed in range(6)}
    assert len(halvings) > 1
    for first, second in halvings:
        assert first | second == set(tasks) and not first & second
        assert abs(len(first) - len(second)) == 1
    assert task_halves(("only",), 3) == (frozenset({"only"}),)
