"""What is found in a trainer's folder, and what a person is told when it cannot be read."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from assay.errors import ModelError
from assay.models import discover as discover_module
from assay.models.discover import discover
from assay.models.trajectory import Trajectory
from tests.models.builders import save_adapter, save_base, save_run, save_state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and a LoRA run of three checkpoints; tests copy it before they change it."""
    root = tmp_path_factory.mktemp("discover")
    save_base(root / "base")
    save_run(root / "run", root / "base")
    return root


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def names(trajectory: Trajectory) -> list[str]:
    return [checkpoint.name for checkpoint in trajectory.checkpoints]


def drop_weights(checkpoint: Path) -> None:
    (checkpoint / "adapter_model.safetensors").unlink()


def test_checkpoints_come_by_step_not_by_name(made: Path) -> None:
    trajectory = Trajectory.discover(made / "run")
    assert names(trajectory) == ["checkpoint-10", "checkpoint-20", "checkpoint-100"]
    assert [one.step for one in trajectory.checkpoints] == [10, 20, 100]
    assert [one.epoch for one in trajectory.checkpoints] == [1.0, 2.0, 10.0]
    assert [one.learning_rate for one in trajectory.checkpoints] == [1e-4, 5e-5, 1e-5]
    assert {one.kind for one in trajectory.checkpoints} == {"adapter"}
    assert trajectory.base_model == str(made / "base")
    assert trajectory.notes == ()


def test_learning_rate_is_the_schedulers_when_the_step_was_not_logged(run: Path) -> None:
    save_state(run / "checkpoint-20", 20, log={10: 1e-4})
    assert discover(run).checkpoints[1].learning_rate == 1e-4  # nearest before
    torch.save({"_last_lr": [3e-4], "last_epoch": 20}, run / "checkpoint-20" / "scheduler.pt")
    assert discover(run).checkpoints[1].learning_rate == 3e-4


def test_a_pickle_in_place_of_a_scheduler_is_not_unpickled(run: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (run / "sprung",))

    save_state(run / "checkpoint-20", 20)
    torch.save(Trap(), run / "checkpoint-20" / "scheduler.pt")
    (run / "checkpoint-20" / "training_args.bin").write_bytes(b"not even a pickle")
    assert discover(run).checkpoints[1].learning_rate is None
    assert not (run / "sprung").exists()


def test_an_unreadable_trainer_state_leaves_the_step_of_the_name_and_a_note(run: Path) -> None:
    (run / "checkpoint-20" / "trainer_state.json").write_text('{"global_step": 2')
    trajectory = discover(run)
    assert (trajectory.checkpoints[1].step, trajectory.checkpoints[1].epoch) == (20, None)
    assert any("trainer_state.json" in note for note in trajectory.notes)


def test_one_checkpoint_folder_is_a_trajectory_of_one(made: Path) -> None:
    trajectory = discover(made / "run" / "checkpoint-20")
    assert names(trajectory) == ["checkpoint-20"]
    assert trajectory.checkpoints[0].step == 20


def test_a_final_adapter_equal_to_the_last_checkpoint_is_not_counted_twice(run: Path) -> None:
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copy(run / "checkpoint-100" / file, run / file)
    assert names(discover(run)) == ["checkpoint-10", "checkpoint-20", "checkpoint-100"]


def test_a_final_adapter_of_its_own_is_the_last_checkpoint(run: Path, made: Path) -> None:
    save_adapter(run, made / "base", seed=7)
    assert names(discover(run))[-1] == "final"
    assert discover(run).checkpoints[-1].step is None


def test_a_final_adapter_equal_to_an_earlier_checkpoint_is_named_not_counted(run: Path) -> None:
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copy(run / "checkpoint-20" / file, run / file)
    trajectory = discover(run)
    assert len(trajectory.checkpoints) == 3
    assert any("checkpoint-20" in note for note in trajectory.notes)


def test_a_final_adapter_alone_is_a_trajectory_of_one(tmp_path: Path, made: Path) -> None:
    save_adapter(tmp_path / "final", made / "base", seed=1)
    trajectory = discover(tmp_path / "final")
    assert (names(trajectory), trajectory.checkpoints[0].kind) == (["final"], "adapter")


def test_a_plain_model_is_a_trajectory_of_one(made: Path) -> None:
    trajectory = discover(made / "base")
    assert (names(trajectory), trajectory.checkpoints[0].kind) == (["base"], "full")
    assert trajectory.base_model is None


def test_full_checkpoints_are_found_whole_or_in_shards(tmp_path: Path) -> None:
    save_base(tmp_path / "run" / "checkpoint-1")
    shards = save_base(tmp_path / "run" / "checkpoint-2")
    (shards / "model.safetensors").rename(shards / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [one.kind for one in discover(tmp_path / "run").checkpoints] == ["full", "full"]
    index["weight_map"]["x"] = "model-00002-of-00002.safetensors"
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    trajectory = discover(tmp_path / "run")
    assert names(trajectory) == ["checkpoint-1"]
    assert "model-00002-of-00002.safetensors" in trajectory.notes[0]


def test_final_weights_that_cannot_be_used_are_noted_and_the_checkpoints_kept(run: Path) -> None:
    torch.save({}, run / "pytorch_model.bin")
    (run / "config.json").write_text("{}")
    trajectory = discover(run)
    assert len(trajectory.checkpoints) == 3
    assert "Skipped the final weights" in trajectory.notes[0]


def test_a_folder_that_may_not_be_read_is_one_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(folder: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(discover_module, "find_weights", forbidden)
    with pytest.raises(ModelError, match=r"checkpoint-10 cannot be read: Permission denied"):
        discover(run)


def test_tensors_that_deepspeed_left_empty_name_the_converter(run: Path) -> None:
    for step in (10, 20, 100):
        save_file({"x": torch.zeros(0)}, run / f"checkpoint-{step}" / "adapter_model.safetensors")
        (run / f"checkpoint-{step}" / f"global_step{step}").mkdir()
    with pytest.raises(ModelError, match="zero_to_fp32"):
        discover(run)


def test_a_merged_model_beside_adapters_is_noted_not_counted(run: Path) -> None:
    save_base(run)
    trajectory = discover(run)
    assert len(trajectory.checkpoints) == 3
    assert any("another kind" in note for note in trajectory.notes)


def test_incomplete_checkpoints_are_skipped_with_a_note(run: Path) -> None:
    drop_weights(run / "checkpoint-100")
    cut = run / "checkpoint-20" / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-7])
    trajectory = discover(run)
    assert names(trajectory) == ["checkpoint-10"]
    assert "7 bytes are missing" in trajectory.notes[0]
    assert "no adapter_model.safetensors" in trajectory.notes[1]


def test_an_incomplete_checkpoint_alone_is_an_error(run: Path) -> None:
    drop_weights(run / "checkpoint-10")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        discover(run / "checkpoint-10")
    for step in (20, 100):
        shutil.rmtree(run / f"checkpoint-{step}")
    with pytest.raises(ModelError, match=r"No checkpoint in .* is whole"):
        discover(run)


@pytest.mark.parametrize("place", ["beside", "above", "cwd"])
def test_a_relative_base_is_found(
    place: str, run: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"beside": run / "bases", "above": tmp_path / "bases", "cwd": tmp_path / "elsewhere" / "bases"}[
        place
    ]
    shutil.copytree(made / "base", where / "tiny")
    if place == "cwd":
        monkeypatch.chdir(where.parent)
    rename_base(run, "bases/tiny")
    assert Path(discover(run).base_model or "").resolve() == (where / "tiny").resolve()


def rename_base(run: Path, base: str | None) -> None:
    for path in run.glob("checkpoint-*/adapter_config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))


def test_a_moved_base_is_an_error_that_names_the_option(run: Path, made: Path) -> None:
    rename_base(run, "/gone/base")
    with pytest.raises(ModelError, match=r"'/gone/base'.*--base-model"):
        discover(run)
    assert discover(run, base_model=str(made / "base")).base_model == str(made / "base")
    rename_base(run, None)
    with pytest.raises(ModelError, match="does not name its base model"):
        discover(run)
    rename_base(run, "owner/name")
    assert discover(run).base_model == "owner/name"


def test_a_wrong_base_model_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not there"):
        discover(run, base_model="/nowhere/at/all")
    with pytest.raises(ModelError, match=r"has no config\.json"):
        discover(run, base_model=str(tmp_path))
    with pytest.raises(ModelError, match="is an adapter itself"):
        discover(run, base_model=str(run / "checkpoint-10"))


def test_adapters_of_different_bases_are_an_error(run: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "base", tmp_path / "other")
    path = run / "checkpoint-20" / "adapter_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(tmp_path / "other")})
    )
    with pytest.raises(ModelError, match="different base models"):
        discover(run)


def test_steps_and_every_select(made: Path) -> None:
    run = made / "run"
    assert names(discover(run, steps=[100, 10])) == ["checkpoint-10", "checkpoint-100"]
    assert names(discover(run, every=2)) == ["checkpoint-10", "checkpoint-100"]
    assert names(discover(run, every=5)) == ["checkpoint-100"]
    with pytest.raises(ModelError, match="No checkpoint of step 30; the folder holds steps 10, 20, 100"):
        discover(run, steps=[10, 30])
    with pytest.raises(ModelError, match="1 or more"):
        discover(run, every=0)


def test_the_base_comes_first_when_asked_for(made: Path) -> None:
    first = discover(made / "run", include_base=True, every=5).checkpoints[0]
    assert (first.name, first.kind, first.step) == ("base", "base", 0)
    with pytest.raises(ModelError, match="--base-model"):
        discover(made / "base", include_base=True)


@pytest.mark.parametrize("pickle", ["adapter_model.bin", "pytorch_model.bin"])
def test_pickles_are_refused_unless_asked_for(pickle: str, run: Path) -> None:
    checkpoint = run / "checkpoint-10"
    drop_weights(checkpoint)
    torch.save({}, checkpoint / pickle)
    (checkpoint / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="pickle"):
        discover(checkpoint)
    assert len(discover(checkpoint, allow_pickle=True, base_model="owner/name").checkpoints) == 1


@pytest.mark.parametrize(
    ("made_by", "converter"),
    [
        ("pytorch_model_fsdp_0/", "accelerate merge-weights"),
        ("pytorch_model_fsdp.bin", "save_pretrained"),
        ("global_step10/", "zero_to_fp32.py"),
        ("zero_to_fp32.py", "zero_to_fp32.py"),
    ],
)
def test_sharded_states_name_their_converter(made_by: str, converter: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoint-10"
    checkpoint.mkdir(parents=True)
    if made_by.endswith("/"):
        (checkpoint / made_by).mkdir()
    else:
        (checkpoint / made_by).touch()
    (checkpoint / "config.json").write_text("{}")
    for folder in (checkpoint, checkpoint.parent):
        with pytest.raises(ModelError, match=converter):
            discover(folder)


def test_deepspeed_state_beside_a_saved_adapter_does_not_matter(run: Path) -> None:
    (run / "checkpoint-10" / "global_step10").mkdir()
    assert len(discover(run).checkpoints) == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "is empty"),
        (["epoch_0/model.pt"], "torchtune"),
        (["v0/checkpoint-5/config.json"], r"these folders in it do: v0"),
        (["train.jsonl"], "holds no checkpoint, adapter or model"),
    ],
)
def test_a_folder_of_something_else_is_one_clear_sentence(
    content: list[str], sentence: str, tmp_path: Path
) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=sentence):
        discover(tmp_path)


def test_missing_folders_and_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        discover(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="is a file"):
        discover(tmp_path / "file")


def test_a_mistyped_path_is_not_looked_up_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(discover_module, "fetch", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(ModelError, match="There is no folder runs/sfft"):
        discover("runs/sfft")


def test_hub_ids_are_trajectories_of_one(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = made / "run" / "checkpoint-10"
    there = {("me/model", "config.json"): made / "base" / "config.json"}
    there["me/lora", "adapter_config.json"] = adapter / "adapter_config.json"
    monkeypatch.setattr(discover_module, "fetch", lambda name, file: there.get((name, file)))
    model, lora = discover("me/model"), discover("me/lora")
    assert (model.checkpoints[0].kind, model.base_model) == ("full", None)
    assert (lora.checkpoints[0].kind, lora.base_model) == ("adapter", str(made / "base"))
    with pytest.raises(ModelError, match="neither an adapter nor a model"):
        discover("me/dataset")


def test_an_unreachable_hub_is_one_sentence() -> None:
    with pytest.raises(ModelError, match="'nobody/nothing' is no folder here"):
        discover("nobody/nothing")


@pytest.mark.parametrize(
    ("file", "settings", "learned"),
    [
        ("args.json", {"loss_scale": "default"}, "assistant"),
        ("args.json", {"loss_scale": "last_round+ignore_empty_think"}, "last"),
        ("args.json", {"loss_scale": "all"}, "all"),
        ("args.json", {"loss_scale": "agentflan"}, None),
        ("training_args.yaml", {"stage": "sft", "finetuning_type": "lora"}, "assistant"),
        ("training_args.yaml", {"stage": "sft", "finetuning_type": "lora", "mask_history": True}, "last"),
        ("training_args.yaml", {"stage": "sft", "finetuning_type": "lora", "train_on_prompt": True}, "all"),
        ("config.yml", {"base_model": "a/b", "datasets": [{"path": "x"}]}, "assistant"),
        ("config.yml", {"base_model": "a/b", "datasets": [{"path": "x"}], "train_on_inputs": True}, "all"),
        ("config.yml", {"unknown": 1}, None),
    ],
)
def test_what_was_learned_is_read_where_the_folder_tells(
    file: str, settings: dict[str, object], learned: str | None, run: Path
) -> None:
    (run / file).write_text(json.dumps(settings))
    assert discover(run).loss_on == learned
