"""An arm is what a hand-written loop does, and arms differ by their sets alone."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.lookahead.steps import mean_loss
from assay.models.recipe import FineTuneRecipe
from assay.runs.validation.inputs import Ready, read_validation, tokenise_validation
from assay.runs.validation.plans import arms_asked, plans_of
from assay.runs.validation.run import run_validation
from assay.runs.validation.training import step_on, train_arm, untrained
from assay.validation.schedule import Schedule
from tests.runs.validation.world import config


def ready(world: Path) -> Ready:
    asked = config(world)
    return tokenise_validation(asked, read_validation(asked, ("base", "cot")), str(world / "model"))


def plans(world: Path, **changes: object) -> dict[str, Schedule]:
    asked = config(world, **changes)
    found = plans_of(asked, arms_asked(asked), {"model": ready(world)}, [1])
    return {arm: plan for (_, arm, _), plan in found.items()}


def summed_loss(model: nn.Module, example: Tokens) -> torch.Tensor:
    """Σ_t weights[t] · (−log p(id_t | earlier ids)), nats."""
    ids = torch.from_numpy(example.input_ids.astype(np.int64))
    logits = model(input_ids=ids[None]).logits[0, :-1]
    each = nn.functional.cross_entropy(logits, ids[1:], reduction="none")
    return (each * torch.from_numpy(example.weights)[1:]).sum()


def by_hand(model: nn.Module, sets: Ready, plan: Schedule, recipe: FineTuneRecipe) -> None:
    """Mean loss over learned tokens, gradients clipped to norm 1, AdamW at the recipe's rates."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1.0, weight_decay=0.0)
    for number, step in enumerate(plan.steps):
        batch = [sets.sets[drawn.set].tokens[drawn.row] for drawn in step.rows]
        optimizer.zero_grad()
        loss = sum(summed_loss(model, one) for one in batch) / sum(one.completion_tokens for one in batch)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.param_groups[0]["lr"] = recipe.rate(number, len(plan))
        optimizer.step()


def losses_of(finished: Path, arm: str, seed: int) -> list[float]:
    found = pq.read_table(finished / "answers.parquet").to_pylist()
    return [row["loss"] for row in found if (row["arm"], row["seed"]) == (arm, seed)]


@pytest.mark.parametrize("arm", ["base", "base+cot", "continue(base) -> cot"])
def test_an_arm_is_what_a_hand_written_loop_does(world: Path, finished: Path, arm: str) -> None:
    asked, sets, all_plans = config(world), ready(world), plans(world)
    recipe = asked.recipe_of(continues=False)
    model = untrained(str(world / "model"), recipe, 1, "cpu")
    if arm.startswith("continue"):
        by_hand(model, sets, all_plans["base"], recipe)
        by_hand(model, sets, all_plans[arm], asked.recipe_of(continues=True))
    else:
        by_hand(model, sets, all_plans[arm], recipe)
    queries = [one for part in sets.queries.values() for one in part.tokens]
    with torch.no_grad():
        expected = [float(summed_loss(model, one)) for one in queries]
    np.testing.assert_allclose(losses_of(finished, arm, 1), expected, rtol=2e-3)
    others = {"base", "base+cot", "continue(base) -> cot"} - {arm}
    for other in others:
        assert np.abs(np.subtract(losses_of(finished, other, 1), expected)).max() > 2e-2


def test_a_set_that_is_added_can_leave_the_base_its_weight(world: Path) -> None:
    asked, sets = config(world), ready(world)
    recipe = asked.recipe_of(continues=False)
    tokens = {name: part.tokens for name, part in sets.sets.items()}
    rows = [("base", 0), ("cot", 0), ("base", 1)]
    model = untrained(str(world / "model"), recipe, 1, "cpu")
    step = step_on(tokens, rows, "sets")
    base, cot = [tokens["base"][0], tokens["base"][1]], [tokens["cot"][0]]
    expected = sum(
        float(sum(summed_loss(model, one) for one in group)) / sum(one.completion_tokens for one in group)
        for group in (base, cot)
    )
    found = sum(
        share * float(summed_loss(model, one)) for one, share in zip(step.tokens, step.shares, strict=True)
    )
    assert found == pytest.approx(expected, rel=1e-5)
    alone = step_on(tokens, [("base", 0), ("base", 1)], "sets")
    assert step.shares[0] == alone.shares[0] == mean_loss(base).shares[0]
    assert step_on(tokens, rows, "tokens").shares[0] < alone.shares[0]
    outcomes = []
    for weigh in ("tokens", "sets"):
        model = untrained(str(world / "model"), recipe, 1, "cpu")
        train_arm(model, tokens, [rows, rows], recipe, weigh=weigh)
        outcomes.append(torch.cat([one.flatten() for one in model.parameters() if one.requires_grad]))
    assert not torch.allclose(*outcomes)


@pytest.mark.parametrize(("weigh", "says"), [("tokens", "mean over all its tokens"), ("sets", "own mean")])
def test_the_result_says_how_sets_were_weighed(world: Path, tmp_path: Path, weigh: str, says: str) -> None:
    asked = config(world, arms=["base", "base+cot"], seeds=1, weigh=weigh, answers="none")
    done = run_validation(asked, tmp_path / "out")
    assert sum(says in note for note in done.result.notes) == 1


def test_every_arm_has_the_base_arms_batches_in_their_order(world: Path) -> None:
    found = plans(world, arms=["base", "base+cot", "base -> cot"], match="examples")
    base = [step.rows for step in found["base"].steps]
    mixed = [tuple(one for one in step.rows if one.set == "base") for step in found["base+cot"].steps]
    staged = [step.rows for step in found["base -> cot"].steps if step.phase == 0]
    assert base == mixed == staged
    assert any(one.set == "cot" for step in found["base+cot"].steps for one in step.rows)


def test_a_fresh_adapter_follows_from_the_seed_alone(world: Path) -> None:
    recipe = config(world).recipe_of(continues=False)
    first, again, other = (
        torch.cat([p.flatten() for p in untrained(str(world / "model"), recipe, seed, "cpu").parameters()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loss_that_is_not_finite_names_its_example(world: Path) -> None:
    asked, sets = config(world), ready(world)
    model = untrained(str(world / "model"), asked.recipe_of(continues=False), 0, "cpu")
    with torch.no_grad():
        model.get_parameter("base_model.model.lm_head.weight").fill_(float("nan"))
    with pytest.raises(NumericsError, match="plain-"):
        train_arm(
            model,
            {name: part.tokens for name, part in sets.sets.items()},
            [[("base", 0)]],
            asked.recipe_of(continues=False),
        )
