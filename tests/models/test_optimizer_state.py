"""The optimizer in a checkpoint: whose moments are whose, going on as the trainer did, what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from assay.errors import ModelError, NumericsError
from assay.models.discover import discover
from assay.models.loading import quiet
from assay.models.optimizer_building import build_optimizer, fresh_optimizer
from assay.models.optimizer_groups import decay_groups, trained
from assay.models.optimizer_mapping import verify_mapping
from assay.models.optimizer_state import Group, Moments, OptimizerState, has_optimizer, read_optimizer
from assay.models.recipe import FineTuneRecipe, fine_tune
from assay.models.session import Session
from assay.models.training import pad_batch
from tests.models.builders import FAMILIES, examples, save_base, tiny_model, tokenizer

DATA = examples(6)
RECIPE = FineTuneRecipe(
    lora_r=2,
    lora_alpha=4,
    target_modules=("all-linear",),
    learning_rate=1e-2,
    final_learning_rate=1e-3,
    warmup_steps=1,
    batch_size=len(DATA),
    epochs=None,
    max_steps=4,
    save_every=1,
    weight_decay=0.1,
    precision="fp32",
    max_grad_norm=0.0,
)
"""Every step sees all the data in one batch, so a step can be repeated by hand."""


@dataclass(frozen=True)
class Run:
    out: Path
    session: Session

    def folder(self, step: int) -> Path:
        return self.out / f"checkpoint-{step}"

    def weights(self, step: int) -> dict[str, torch.Tensor]:
        self.session.at(self.session.trajectory.checkpoints[step - 1])
        return {name: one.detach().clone() for name, one in trained(self.session.model).items()}

    def state(self, step: int) -> OptimizerState:
        return read_optimizer(self.folder(step), self.session.model)


def make_run(base: Path, out: Path, **changes: Any) -> Run:
    fine_tune(base, DATA, out, replace(RECIPE, **changes), tokenizer=tokenizer(), device="cpu")
    return Run(out, Session.open(discover(out, base_model=str(base)), device="cpu", dtype="fp32"))


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("lora")
    return make_run(save_base(folder / "base"), folder / "run")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """GPT-2, fully trained without dropout: biases, `nn.LayerNorm`s, positions and a tied head."""
    folder = tmp_path_factory.mktemp("full")
    base = save_base(folder / "base", "gpt2")
    config = json.loads((base / "config.json").read_text())
    config |= dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    (base / "config.json").write_text(json.dumps(config))
    return make_run(base, folder / "run", full_finetuning=True)


@pytest.fixture
def altered(lora: Run, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """A copy of a checkpoint whose stored optimizer a test has changed."""

    def alter(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "checkpoint-3"
        shutil.copytree(lora.folder(3), folder)
        stored = torch.load(folder / "optimizer.pt", weights_only=True)
        change(stored)
        torch.save(stored, folder / "optimizer.pt")
        return folder

    return alter


def backward(model: Any) -> None:
    """The gradient of the run's own loss on its one batch, written out again."""
    batch = pad_batch(DATA, 0)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten(), reduction="none"
    )
    weights = batch["loss_weights"][:, 1:].flatten()
    model.zero_grad()
    ((losses * weights).sum() / (weights > 0).sum()).backward()


@pytest.mark.parametrize("name", ["lora", "full"])
def test_going_on_gives_the_trainers_own_next_checkpoint(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    expected, next_state = run.weights(3), run.state(3)
    run.weights(2)
    optimizer = build_optimizer(run.session.model, run.state(2))
    backward(run.session.model)
    optimizer.step()
    for parameter_name, parameter in trained(run.session.model).items():
        torch.testing.assert_close(parameter.detach(), expected[parameter_name], atol=1e-6, rtol=1e-5)
        own, theirs = optimizer.state[parameter], next_state.moments[parameter_name]
        torch.testing.assert_close(own["exp_avg"], theirs.exp_avg, atol=1e-7, rtol=1e-3)
        torch.testing.assert_close(own["exp_avg_sq"], theirs.exp_avg_sq, atol=1e-9, rtol=1e-3)
        assert own["step"] == theirs.step == 3
    run.session.at(run.session.trajectory.checkpoints[0])


def test_a_step_leaves_the_state_that_was_read_as_it_was(lora: Run) -> None:
    weights = lora.weights(2)
    state, before = lora.state(2), lora.state(2)
    optimizer = build_optimizer(lora.session.model, state)
    backward(lora.session.model)
    optimizer.step()
    assert any(not torch.equal(one, weights[name]) for name, one in trained(lora.session.model).items())
    for name, moments in state.moments.items():
        assert torch.equal(moments.exp_avg, before.moments[name].exp_avg)
        assert torch.equal(moments.exp_avg_sq, before.moments[name].exp_avg_sq)
    lora.session.at(lora.session.trajectory.checkpoints[0])


def test_the_settings_are_those_of_the_run_and_the_rate_is_the_next_steps(lora: Run, full: Run) -> None:
    state = lora.state(2)
    assert [len(group.names) for group in state.groups] == [28, 0]
    assert [group.weight_decay for group in full.state(2).groups] == [0.1, 0.0]
    for group in state.groups:
        assert (group.betas, group.eps, group.amsgrad) == ((0.9, 0.999), 1e-8, False)
        assert group.lr == pytest.approx(RECIPE.rate(2, 4))
    assert state.learning_rate == pytest.approx(RECIPE.rate(2, 4))
    assert {moments.step for moments in state.moments.values()} == {2}


def test_the_schedule_tells_the_rate_before_the_groups_do(altered: Any, lora: Run) -> None:
    folder = altered(lambda stored: stored["param_groups"][0].update(lr=0.5))
    state = read_optimizer(folder, lora.session.model)
    assert (state.groups[0].lr, state.learning_rate) == (0.5, pytest.approx(RECIPE.rate(3, 4)))
    (folder / "scheduler.pt").unlink()
    assert read_optimizer(folder, lora.session.model).learning_rate == 0.5


@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_moe"])
def test_the_order_is_that_of_the_trainers_own_optimizer(family: str, tmp_path: Path) -> None:
    model = tiny_model(family).requires_grad_(True)
    next(model.parameters()).requires_grad_(False)
    with quiet():
        trainer = Trainer(model=model, args=TrainingArguments(str(tmp_path), weight_decay=0.1, use_cpu=True))
        theirs = trainer.create_optimizer()
    ours = fresh_optimizer(model, 5e-5, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert [names[id(one)] for one in mine["params"]] == [names[id(one)] for one in other["params"]]
        assert all(mine[key] == other[key] for key in ("lr", "betas", "eps", "weight_decay"))
    decayed, spared = decay_groups(model)
    assert decayed and spared
    assert all("norm" in name or "ln_" in name or name.endswith("bias") for name in spared)


def test_an_optimizer_of_one_group_is_taken_in_the_models_order(full: Run, tmp_path: Path) -> None:
    model = full.session.model
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    backward(model)
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    state = read_optimizer(tmp_path, model)
    for name, parameter in trained(model).items():
        assert torch.equal(state.moments[name].exp_avg, optimizer.state[parameter]["exp_avg"])
        largest = state.moments[name].max_exp_avg_sq
        assert largest is not None and torch.equal(largest, optimizer.state[parameter]["max_exp_avg_sq"])
    assert state.groups[0].amsgrad and state.learning_rate == 1e-3
    full.session.at(full.session.trajectory.checkpoints[1])
    full.session.at(full.session.trajectory.checkpoints[0])


def test_names_in_the_file_decide_over_its_order(altered: Any, lora: Run) -> None:
    names = [*trained(lora.session.model)]
    turned = names[::-1]

    def change(stored: dict[str, Any]) -> None:
        stored["state"] = {index: stored["state"][len(names) - 1 - index] for index in range(len(names))}
        for group, own in zip(stored["param_groups"], (turned, []), strict=True):
            group["param_names"] = own

    state, expected = read_optimizer(altered(change), lora.session.model), lora.state(3)
    assert all(torch.equal(state.moments[name].exp_avg, expected.moments[name].exp_avg) for name in names)


def test_a_parameter_that_was_never_updated_starts_from_nothing(altered: Any, lora: Run) -> None:
    state = read_optimizer(altered(lambda stored: stored["state"].pop(0)), lora.session.model)
    name, parameter = next(iter(trained(lora.session.model).items()))
    assert state.moments[name].step == 0 and not state.moments[name].exp_avg.any()
    assert parameter not in build_optimizer(lora.session.model, state).state
    assert not state.groups[0].direction(state.moments[name]).any()


def test_the_direction_is_that_of_the_step_the_trainer_took(lora: Run) -> None:
    state, before, after = lora.state(2), lora.weights(1), lora.weights(2)
    rate = lora.state(1).learning_rate
    for name, moments in state.moments.items():
        step = rate * (state.groups[0].direction(moments) - 0.1 * before[name])
        torch.testing.assert_close(after[name] - before[name], step, atol=1e-6, rtol=1e-3)


def test_the_right_order_is_confirmed_by_the_weights(lora: Run, full: Run) -> None:
    for run in (lora, full):
        check = verify_mapping(run.state(4), run.weights(2), run.weights(4))
        assert check.verdict == "confirmed" and not check.swapped
        assert check.cosine > 0.8 and check.separation is not None and check.separation > 5
        assert check.cosines.keys() == run.state(4).moments.keys()
        assert "confirmed" in check.sentence()


def test_two_parameters_exchanged_among_many_are_named(lora: Run) -> None:
    state = lora.state(4)
    first, second = (name for name in state.moments if "down_proj.lora_A" in name)
    exchanged = dict(state.moments)
    exchanged[first], exchanged[second] = exchanged[second], exchanged[first]
    check = verify_mapping(replace(state, moments=exchanged), lora.weights(2), lora.weights(4))
    assert check.verdict == "contradicted"
    assert check.swapped == {first: second, second: first}
    assert first in check.sentence()


def test_an_order_that_is_wrong_throughout_is_contradicted(full: Run) -> None:
    state = full.state(4)
    alike: dict[torch.Size, list[str]] = {}
    for name, moments in state.moments.items():
        alike.setdefault(moments.exp_avg.shape, []).append(name)
    turned = {
        name: state.moments[other]
        for names in alike.values()
        for name, other in zip(names, names[1:] + names[:1], strict=True)
    }
    check = verify_mapping(replace(state, moments=turned), full.weights(2), full.weights(4))
    assert check.verdict == "contradicted"


def test_changes_that_have_nothing_to_do_with_the_moments_leave_it_undecided(lora: Run) -> None:
    generator = torch.Generator().manual_seed(0)
    before = lora.weights(2)
    noise = {name: one + 1e-3 * torch.randn(one.shape, generator=generator) for name, one in before.items()}
    check = verify_mapping(lora.state(4), before, noise)
    assert check.verdict == "undecided" and abs(check.cosine) < 0.2


def test_going_backwards_is_contradicted(lora: Run) -> None:
    assert verify_mapping(lora.state(4), lora.weights(4), lora.weights(2)).verdict == "contradicted"


def test_a_check_needs_weights_that_moved_and_all_names(lora: Run) -> None:
    state, weights = lora.state(2), lora.weights(2)
    with pytest.raises(ModelError, match="moved between"):
        verify_mapping(state, weights, weights)
    with pytest.raises(ModelError, match="lack"):
        verify_mapping(state, {}, weights)


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "one parameter fewer": (
        lambda stored: stored["param_groups"][0]["params"].pop(),
        "27 parameters, but 28",
    ),
    "another shape": (
        lambda stored: stored["state"][0].update(exp_avg=torch.zeros(3, 3)),
        r"shape \(3, 3\) where .*lora_A",
    ),
    "other groups": (
        lambda stored: stored["param_groups"][1]["params"].append(stored["param_groups"][0]["params"].pop()),
        r"27 \+ 1, and .* 28 \+ 0",
    ),
    "other names": (
        lambda stored: [group.update(param_names=["x"] * 28) for group in stored["param_groups"]],
        "do not train the same",
    ),
    "bitsandbytes": (
        lambda stored: [entry.update(state1=entry.pop("exp_avg")) for entry in stored["state"].values()],
        "bitsandbytes",
    ),
    "bitsandbytes, wrapped": (
        lambda stored: stored["state"].update({0: {"__bnb_optimizer_quant_state__": {}, "step": 1}}),
        "bitsandbytes",
    ),
    "adafactor": (
        lambda stored: [entry.update(exp_avg_sq_row=torch.ones(2)) for entry in stored["state"].values()],
        "an Adafactor",
    ),
    "sgd": (
        lambda stored: stored["state"].update({0: {"momentum_buffer": torch.ones(2)}}),
        "another optimizer .momentum_buffer",
    ),
    "radam": (lambda stored: stored["param_groups"][0].pop("amsgrad"), "without amsgrad"),
    "coupled decay": (
        lambda stored: stored["param_groups"][0].update(decoupled_weight_decay=False),
        "part of the gradient",
    ),
    "no steps": (lambda stored: stored["state"].clear(), "no moments"),
    "no optimizer": (lambda stored: stored.pop("param_groups"), "no state of a torch optimizer"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_adam_of_this_model_is_refused(what: str, altered: Any, lora: Run) -> None:
    change, sentence = REFUSED[what]
    folder = altered(change)
    with pytest.raises(ModelError, match=sentence) as error:
        read_optimizer(folder, lora.session.model)
    assert str(folder / "optimizer.pt") in str(error.value)


@pytest.mark.parametrize("key", ["exp_avg", "exp_avg_sq"])
def test_moments_that_are_not_finite_are_an_error_with_their_name(key: str, altered: Any, lora: Run) -> None:
    folder = altered(lambda stored: stored["state"][1][key].fill_(torch.nan))
    with pytest.raises(NumericsError, match=r"lora_B.*not finite"):
        read_optimizer(folder, lora.session.model)


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        ("nothing", r"has no optimizer\.pt"),
        ("optimizer.bin", r"as FSDP saves it \(optimizer\.bin\)"),
        ("optimizer_0", "as FSDP saves it"),
        ("global_step3", "as DeepSpeed saves it"),
    ],
)
def test_folders_without_a_whole_optimizer_say_what_they_hold(
    left: str, sentence: str, tmp_path: Path, lora: Run
) -> None:
    (tmp_path / left).mkdir()
    assert not has_optimizer(tmp_path) and has_optimizer(lora.folder(1))
    with pytest.raises(ModelError, match=sentence):
        read_optimizer(tmp_path, lora.session.model)


def test_a_file_that_is_cut_short_or_holds_code_is_not_loaded(tmp_path: Path, lora: Run) -> None:
    whole = (lora.folder(2) / "optimizer.pt").read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (tmp_path / "optimizer.pt").write_bytes(content)
        with pytest.raises(ModelError, match="damaged"):
            read_optimizer(tmp_path, lora.session.model)
    torch.save({"state": RECIPE, "param_groups": []}, tmp_path / "optimizer.pt")
    with pytest.raises(ModelError, match="more than tensors"):
        read_optimizer(tmp_path, lora.session.model)


def test_another_models_state_is_not_built_on(lora: Run, full: Run) -> None:
    with pytest.raises(ModelError, match="do not train the same parameters"):
        build_optimizer(full.session.model, lora.state(2))


def test_the_direction_under_maximize_is_that_of_a_real_step() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    adam = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.0, maximize=True)
    weight.grad = torch.tensor([1.0, -2.0, 3.0])
    adam.step()
    stored = adam.state[weight]
    group = Group(("w",), 0.1, (0.9, 0.999), 1e-8, 0.0, maximize=True)
    direction = group.direction(Moments(1, stored["exp_avg"], stored["exp_avg_sq"]))
    torch.testing.assert_close(0.1 * direction, weight.detach())
