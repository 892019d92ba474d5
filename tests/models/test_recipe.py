"""The fine-tuning recipe: its arithmetic, the folders it leaves, and runs cut off that end the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from assay.data.example import Tokens
from assay.errors import ConfigError, DataError, ModelError, NumericsError, ResumeError
from assay.models.discover import discover
from assay.models.loading import quiet
from assay.models.recipe import FineTuneRecipe, fine_tune
from assay.models.session import Session
from assay.models.training import pad_batch
from tests.models.builders import TEMPLATE, examples, save_base, tokenizer

TINY = FineTuneRecipe(
    lora_r=2,
    lora_alpha=4,
    learning_rate=1e-2,
    final_learning_rate=1e-3,
    warmup_steps=1,
    batch_size=4,
    epochs=2,
    save_every=2,
    precision="fp32",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 examples, so 3 steps an epoch: checkpoints at 2, 4 and the last step, 6."""
    out = tmp_path_factory.mktemp("finished") / "run"
    fine_tune(base, examples(10), out, TINY, tokenizer=tokenizer())
    return out


def adapter(out: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(out / f"checkpoint-{step}" / "adapter_model.safetensors")


class Heard:
    """A progress that remembers, and can be made to stop a run as a kill would."""

    def __init__(self, stop_after: float = np.inf) -> None:
        self.total, self.done, self.stop_after = 0.0, 0.0, stop_after

    def stage(self, label: str, total: float, unit: str) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def open_stage() -> Any:
            self.total = total
            yield self.advance

        return open_stage()

    def advance(self, amount: float) -> None:
        self.done += amount
        if self.done >= self.stop_after:
            raise KeyboardInterrupt

    def note(self, sentence: str) -> None:
        pass


def test_the_defaults_are_the_papers() -> None:
    recipe = FineTuneRecipe()
    assert recipe.steps(6400) == 1200
    assert (recipe.lora_r, recipe.lora_alpha, recipe.target_modules) == (64, 512, ("up_proj", "down_proj"))
    assert recipe.rate(10, 1200) == 1e-5
    assert recipe.rate(1199, 1200) == pytest.approx(1e-7)


def test_the_rate_rises_then_falls_in_a_line() -> None:
    recipe = replace(TINY, warmup_steps=2, learning_rate=3.0, final_learning_rate=1.0)
    assert [recipe.rate(step, 5) for step in range(5)] == pytest.approx([1, 2, 3, 2, 1])
    constant = replace(recipe, schedule="constant")
    assert [constant.rate(step, 5) for step in range(5)] == pytest.approx([1, 2, 3, 3, 3])


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_r": 0},
        {"epochs": None},
        {"epochs": -1},
        {"batch_size": 4, "micro_batch": 3},
        {"schedule": "cosine"},
    ],
)
def test_recipes_that_cannot_be_followed_are_errors(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(TINY, **changes)


def test_a_run_leaves_a_trajectory_with_step_epoch_rate_and_template(finished: Path, base: Path) -> None:
    trajectory = discover(finished)
    assert [one.step for one in trajectory.checkpoints] == [2, 4, 6]
    assert [one.epoch for one in trajectory.checkpoints] == pytest.approx([2 / 3, 4 / 3, 2])
    assert [one.learning_rate for one in trajectory.checkpoints] == pytest.approx(
        [TINY.rate(1, 6), TINY.rate(3, 6), 1e-3]
    )
    assert Path(trajectory.base_model or "").resolve() == base.resolve()
    own = Session.open(trajectory, device="cpu")
    assert own.tokenizer.chat_template == TEMPLATE


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    finished: Path, base: Path, tmp_path: Path
) -> None:
    fine_tune(base, examples(10), tmp_path / "again", TINY, tokenizer=tokenizer())
    fine_tune(base, examples(10), tmp_path / "other", replace(TINY, seed=1), tokenizer=tokenizer())
    assert same(adapter(finished, 6), adapter(tmp_path / "again", 6))
    assert not same(adapter(finished, 6), adapter(tmp_path / "other", 6))


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_cut_off_goes_on_to_the_same_weights(finished: Path, base: Path, tmp_path: Path) -> None:
    out, heard = tmp_path / "run", Heard(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(base, examples(10), out, TINY, tokenizer=tokenizer(), progress=heard)
    assert [one.step for one in discover(out).checkpoints] == [2, 4]
    (out / "checkpoint-4" / "trainer_state.json").unlink()  # as if killed while saving it
    heard = Heard()
    trajectory = fine_tune(base, examples(10), out, TINY, tokenizer=tokenizer(), progress=heard)
    assert [one.step for one in trajectory.checkpoints] == [2, 4, 6]
    assert same(adapter(out, 6), adapter(finished, 6))
    assert same(adapter(out, 4), adapter(finished, 4))
    assert (heard.done, heard.total) == (6, 6)


def test_a_finished_run_is_returned_and_not_trained_again(finished: Path, base: Path) -> None:
    before = (finished / "checkpoint-6" / "adapter_model.safetensors").stat().st_mtime_ns
    trajectory = fine_tune(
        base, examples(10), finished, TINY, tokenizer=tokenizer(), progress=Heard(stop_after=0)
    )
    assert len(trajectory.checkpoints) == 3
    assert (finished / "checkpoint-6" / "adapter_model.safetensors").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused_with_the_field_that_differs(finished: Path, base: Path) -> None:
    with pytest.raises(ResumeError, match="another lora_alpha;"):
        fine_tune(base, examples(10), finished, replace(TINY, lora_alpha=9), tokenizer=tokenizer())
    with pytest.raises(ResumeError, match="another data;"):
        fine_tune(base, examples(10, seed=1), finished, TINY, tokenizer=tokenizer())
    with pytest.raises(ConfigError, match="not empty"):
        fine_tune(base, examples(10), finished, TINY, tokenizer=tokenizer(), resume=False)


def test_someone_elses_folder_is_not_trained_into(base: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").touch()
    with pytest.raises(ResumeError, match=r"holds no recipe\.json"):
        fine_tune(base, examples(4), tmp_path, TINY, tokenizer=tokenizer())


def test_one_step_follows_the_gradient_of_the_weighted_token_mean(base: Path, tmp_path: Path) -> None:
    """Adam's first moment after one step is 0.1 of the gradient: compare it with autograd's own."""
    recipe = replace(
        TINY, full_finetuning=True, max_steps=1, save_every=1, batch_size=3, micro_batch=1, max_grad_norm=0.0
    )
    data = [
        Tokens(one.id, one.input_ids, one.weights * weight)
        for one, weight in zip(examples(3), (1.0, 0.5, 0.25), strict=True)
    ]
    fine_tune(base, data, tmp_path / "run", recipe, tokenizer=tokenizer())
    model = AutoModelForCausalLM.from_pretrained(base)
    total = torch.zeros(())
    for one in data:
        ids = torch.from_numpy(one.input_ids)
        losses = torch.nn.functional.cross_entropy(
            model(input_ids=ids[None]).logits[0, :-1], ids[1:], reduction="none"
        )
        total = total + (losses * torch.from_numpy(one.weights)[1:].float()).sum()
    (total / sum(one.completion_tokens for one in data)).backward()
    state = torch.load(tmp_path / "run" / "checkpoint-1" / "optimizer.pt", weights_only=True)["state"]
    ours = torch.cat([10 * entry["exp_avg"].flatten() for entry in state.values()])
    expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert ours.norm() == pytest.approx(float(expected.norm()), rel=1e-4)
    assert ours.sort().values == pytest.approx(expected.sort().values, abs=1e-5)


def test_accumulated_parts_train_like_one_batch(finished: Path, base: Path, tmp_path: Path) -> None:
    fine_tune(base, examples(10), tmp_path / "run", replace(TINY, micro_batch=2), tokenizer=tokenizer())
    for name, tensor in adapter(tmp_path / "run", 6).items():
        torch.testing.assert_close(tensor, adapter(finished, 6)[name], atol=2e-3, rtol=0)


def test_full_fine_tuning_saves_full_checkpoints(base: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, full_finetuning=True, max_steps=2, save_every=1)
    trajectory = fine_tune(base, examples(8), tmp_path / "run", recipe, tokenizer=tokenizer())
    assert [one.kind for one in trajectory.checkpoints] == ["full", "full"]
    session = Session.open(trajectory, device="cpu")
    with quiet():
        fresh = AutoModelForCausalLM.from_pretrained(trajectory.checkpoints[1].source).state_dict()
    assert same(dict(session.at(trajectory.checkpoints[1]).state_dict()), dict(fresh))


def test_bf16_keeps_the_trained_weights_in_fp32(base: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, precision="bf16", max_steps=1)
    fine_tune(base, examples(4), tmp_path / "run", recipe, tokenizer=tokenizer(), device="cpu")
    assert {tensor.dtype for tensor in adapter(tmp_path / "run", 1).values()} == {torch.float32}


def test_nothing_is_printed_or_reported(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fine_tune(base, examples(4), tmp_path / "run", replace(TINY, max_steps=2), tokenizer=tokenizer())
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint-2", "recipe.json"}


def test_what_cannot_be_trained_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to fine-tune on"):
        fine_tune(base, examples(3, weight=0.0), tmp_path / "a", TINY, tokenizer=tokenizer())
    with pytest.raises(ModelError, match=r"no modules named c_fc.*down_proj"):
        fine_tune(
            base, examples(3), tmp_path / "b", replace(TINY, target_modules=("c_fc",)), tokenizer=tokenizer()
        )
    with pytest.raises(ModelError, match="is not there"):
        fine_tune("/no/such", examples(3), tmp_path / "c", TINY, tokenizer=tokenizer())
    with pytest.raises(NumericsError, match="not finite in step"):
        fine_tune(
            base,
            examples(8),
            tmp_path / "d",
            replace(TINY, learning_rate=1e30, full_finetuning=True, max_grad_norm=0.0),
            tokenizer=tokenizer(),
        )


def test_the_recipe_is_kept_beside_the_checkpoints(finished: Path) -> None:
    kept = json.loads((finished / "recipe.json").read_text())
    assert (kept["lora_r"], kept["examples"], kept["target_modules"]) == (2, 10, ["up_proj", "down_proj"])


def test_an_unreadable_recipe_is_an_error(base: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(ResumeError, match="cannot be read"):
        fine_tune(base, examples(4), tmp_path, TINY, tokenizer=tokenizer())


def test_a_base_named_by_another_path_is_the_same_base(
    finished: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent)
    assert len(fine_tune(base.name, examples(10), finished, TINY, tokenizer=tokenizer()).checkpoints) == 3


def test_all_linear_modules_can_be_trained(base: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, target_modules=("all-linear",), max_steps=1)
    fine_tune(base, examples(4), tmp_path / "run", recipe, tokenizer=tokenizer())
    trained = {name.split(".")[-3] for name in adapter(tmp_path / "run", 1)}
    assert trained == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_padding_carries_no_weight() -> None:
    batch = pad_batch(
        [Tokens("a", np.array([5, 6]), np.array([0, 1.0])), Tokens("b", np.array([7]), np.zeros(1))], 3
    )
    assert batch["input_ids"].tolist() == [[5, 6], [7, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["loss_weights"].tolist() == [[0, 1], [0, 0]]
