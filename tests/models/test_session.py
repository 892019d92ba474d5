"""Weights moved onto one model are those a fresh load would give, and only what was trained is trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from assay.errors import ConfigError, ModelError
from assay.models.discover import discover
from assay.models.loading import DTYPE_ARGUMENT, quiet
from assay.models.session import Session
from assay.models.trajectory import Checkpoint, Trajectory
from assay.models.weights import content_digest
from tests.models.builders import (
    FAMILIES,
    TEMPLATE,
    UP_DOWN,
    logits,
    save_adapter,
    save_base,
    save_run,
    tiny_model,
    tokenizer,
)

VARIANTS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True, "rank_pattern": {"up_proj": 2}, "alpha_pattern": {"down_proj": 3}},
    "dora": {"use_dora": True},
    "modules_to_save": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "trainable_tokens": {"trainable_token_indices": [3, 5]},
    "embedding_lora": {"target_modules": ["embed_tokens", "down_proj"]},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    return save_run(tmp_path_factory.mktemp("run") / "run", base, steps=(1, 2))


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


def fresh(base: Path, adapter: str) -> torch.Tensor:
    with quiet():
        return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval())


def same_at_every_checkpoint(session: Session, base: Path) -> None:
    """Forwards and backwards through the trajectory, each time equal to a fresh load; checkpoints differ."""
    order = session.trajectory.checkpoints
    seen = [logits(session.at(checkpoint)) for checkpoint in (*order, *order[::-1])]
    for found, checkpoint in zip(seen, (*order, *order[::-1]), strict=True):
        assert torch.equal(found, fresh(base, checkpoint.source))
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_swapped_adapters_equal_freshly_loaded_ones(family: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", family)
    session = Session.open(discover(save_run(tmp_path / "run", base, steps=(1, 2))), device="cpu")
    same_at_every_checkpoint(session, base)
    trained = {name for name, one in session.model.named_parameters() if one.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert not session.model.training


@pytest.mark.parametrize("variant", VARIANTS)
def test_swapped_adapters_of_every_kind_equal_freshly_loaded_ones(variant: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", tied=variant != "modules_to_save")
    run = save_run(tmp_path / "run", base, steps=(1, 2), **VARIANTS[variant])
    session = Session.open(discover(run), device="cpu")
    same_at_every_checkpoint(session, base)
    with quiet():
        trained_by_peft = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), run / "checkpoint-1", is_trainable=True
        )
    assert trained_names(session.model) == trained_names(trained_by_peft)
    untrained = logits(AutoModelForCausalLM.from_pretrained(base).eval())
    assert torch.equal(logits(session.at(Checkpoint("base", str(base), "base"))), untrained)
    same_at_every_checkpoint(session, base)
    assert trained_names(session.model) == trained_names(trained_by_peft)


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_biases_are_swapped_and_come_back_with_the_base(bias: str, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "gpt2")
    run = save_run(tmp_path / "run", base, steps=(1, 2), bias=bias)
    session = Session.open(discover(run, include_base=True), device="cpu")
    untrained = logits(AutoModelForCausalLM.from_pretrained(base).eval())
    assert torch.equal(logits(session.model), untrained)
    first, second = session.trajectory.checkpoints[1:]
    trained = {}
    for checkpoint in (first, second):
        at = logits(session.at(checkpoint))
        assert torch.equal(at, fresh(base, checkpoint.source))
        trained[checkpoint] = trained_names(session.model)
    assert trained[first] == trained[second]
    assert any(name.endswith("bias") for name in trained[first])
    assert torch.equal(logits(session.at(session.trajectory.checkpoints[0])), untrained)


def trained_names(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_under_the_base_itself_every_weight_of_it_is_trained(whole_run: Path, base: Path) -> None:
    session = Session.open(discover(whole_run, include_base=True), device="cpu")
    everything = sum(parameter.numel() for parameter in tiny_model().parameters())
    counts = [
        sum(parameter.numel() for parameter in session.at(one).parameters() if parameter.requires_grad)
        for one in (*session.trajectory.checkpoints, session.trajectory.checkpoints[0])
    ]
    assert counts[0] == counts[-1] == everything
    assert counts[1] == counts[2] == 2 * 2 * 4 * (16 + 32)


@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_moe"])  # transformers 5 fuses experts on loading
def test_swapped_full_weights_equal_freshly_loaded_ones(family: str, tmp_path: Path) -> None:
    for step in (1, 2):
        save_base(tmp_path / "run" / f"checkpoint-{step}", family, seed=step)
    session = Session.open(discover(tmp_path / "run"), device="cpu")
    for checkpoint in session.trajectory.checkpoints[::-1]:
        expected = logits(AutoModelForCausalLM.from_pretrained(checkpoint.source).eval())
        assert torch.equal(logits(session.at(checkpoint)), expected)
    assert all(parameter.requires_grad for parameter in session.model.parameters())


def test_the_base_of_full_weights_is_loaded_though_its_names_lack_a_prefix(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "gpt2")
    run = save_base(tmp_path / "run" / "checkpoint-1", "gpt2", seed=1).parent
    file = base / "model.safetensors"
    bare = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    save_file(bare, file, {"format": "pt"})
    session = Session.open(discover(run, base_model=str(base), include_base=True), device="cpu")
    assert torch.equal(logits(session.model), logits(tiny_model("gpt2")))
    assert all(parameter.requires_grad for parameter in session.model.parameters())


def test_a_swap_moves_no_tensor_of_the_model(whole_run: Path) -> None:
    session = Session.open(discover(whole_run), device="cpu")
    before = {name: tensor.data_ptr() for name, tensor in session.model.state_dict().items()}
    model = session.at(session.trajectory.checkpoints[1])
    assert model is session.model
    assert before == {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}


def test_embeddings_resized_by_the_run_come_with_the_adapter(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    for step in (1, 2):
        with quiet():
            grown = AutoModelForCausalLM.from_pretrained(base)
            grown.resize_token_embeddings(52, mean_resizing=False)
            torch.manual_seed(step)
            torch.nn.init.normal_(grown.get_input_embeddings().weight)
            structure = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=list(UP_DOWN))
            model = get_peft_model(grown, structure)
            model.save_pretrained(tmp_path / "run" / f"checkpoint-{step}", save_embedding_layers=True)
            tokenizer(extra=12).save_pretrained(tmp_path / "run" / f"checkpoint-{step}")
        expected = logits(model.eval())
        if step == 1:
            first = expected
    session = Session.open(discover(tmp_path / "run"), device="cpu")
    assert session.model.get_input_embeddings().weight.shape[0] == 52
    assert torch.equal(logits(session.model), first)
    assert torch.equal(logits(session.at(session.trajectory.checkpoints[1])), expected)
    assert all("lora_" in name for name in trained_names(session.model))


def test_more_tokens_than_embeddings_is_an_error(run: Path) -> None:
    tokenizer(extra=9).save_pretrained(run / "checkpoint-1")
    with pytest.raises(ModelError, match="49 tokens but the model only 48 embeddings"):
        Session.open(discover(run), device="cpu")


def test_the_runs_own_tokenizer_and_template_come_before_the_bases(run: Path) -> None:
    assert Session.open(discover(run), device="cpu").tokenizer.chat_template == TEMPLATE
    own = tokenizer()
    own.chat_template = "{{ 'mine' }}"
    own.save_pretrained(run)
    assert Session.open(discover(run), device="cpu").tokenizer.chat_template == "{{ 'mine' }}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_splits_text_as_its_own_file_says_under_every_architecture(
    family: str, tmp_path: Path
) -> None:
    loaded = Session.open(discover(save_base(tmp_path / "base", family)), device="cpu").tokenizer
    assert loaded("w3 w4")["input_ids"] == tokenizer()("w3 w4")["input_ids"] == [5, 6]


def test_a_tokenizer_class_of_another_version_is_no_obstacle(run: Path) -> None:
    own = tokenizer()
    own.save_pretrained(run / "checkpoint-1")
    path = run / "checkpoint-1" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "TokenizerOfTheFuture"}))
    loaded = Session.open(discover(run), device="cpu").tokenizer
    assert loaded("w3 w4")["input_ids"] == own("w3 w4")["input_ids"]
    assert loaded.chat_template == TEMPLATE
    assert loaded.eos_token_id == own.eos_token_id


def test_no_tokenizer_anywhere_is_an_error(tmp_path: Path) -> None:
    with quiet():
        tiny_model().save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="No tokenizer"):
        Session.open(discover(tmp_path / "model"), device="cpu")


def edit_adapter(checkpoint: Path, **changes: Any) -> None:
    path = checkpoint / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(checkpoint: Path, edit: Any) -> None:
    path = checkpoint / "adapter_model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


def test_another_rank_is_an_error_and_moves_nothing(run: Path, base: Path) -> None:
    save_adapter(run / "checkpoint-2", base, seed=2, r=2)
    session = Session.open(discover(run), device="cpu")
    before = logits(session.model)
    with pytest.raises(ModelError, match="r=2, the first with 4"):
        session.at(session.trajectory.checkpoints[1])
    assert torch.equal(before, logits(session.model))
    assert session.checkpoint == session.trajectory.checkpoints[0]


def test_another_alpha_is_an_error(run: Path) -> None:
    edit_adapter(run / "checkpoint-2", lora_alpha=99)
    session = Session.open(discover(run), device="cpu")
    with pytest.raises(ModelError, match="lora_alpha=99"):
        session.at(session.trajectory.checkpoints[1])


def test_fields_that_another_peft_writes_and_leaves_unused_do_not_matter(run: Path) -> None:
    edit_adapter(run / "checkpoint-2", peft_version="9.9", use_something_new=False, patterns_of_tomorrow={})
    session = Session.open(discover(run), device="cpu")
    assert session.at(session.trajectory.checkpoints[1]) is session.model


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_size": 24}, "shape of|could not be loaded"),
        ({"hidden_size": "wide"}, "could not be loaded"),
        ({"model_type": "no-such-model"}, "could not be loaded"),
        ({"num_hidden_layers": 3}, "lacks model.layers.2"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    path = save_base(tmp_path / "base") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=sentence):
        Session.open(discover(path.parent), device="cpu")


def test_a_base_in_a_pickle_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    trajectory = discover(run, base_model=str(base))
    with pytest.raises(ModelError, match=r"pickle \(pytorch_model\.bin\)"):
        Session.open(trajectory, device="cpu")
    assert Session.open(trajectory, device="cpu", allow_pickle=True).model is not None
    (base / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="no weights"):
        Session.open(trajectory, device="cpu")


def test_missing_unexpected_and_misshapen_tensors_are_named(run: Path) -> None:
    session = Session.open(discover(run), device="cpu")
    second = session.trajectory.checkpoints[1]
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    before = logits(session.model)
    edit_weights(run / "checkpoint-2", lambda tensors: tensors.update(stray=torch.ones(1)))
    with pytest.raises(ModelError, match="unexpected weights: stray"):
        session.at(second)
    edit_weights(
        run / "checkpoint-2", lambda tensors: (tensors.pop("stray"), tensors.update({name: torch.ones(3, 3)}))
    )
    with pytest.raises(ModelError, match=r"up_proj.lora_A.weight has shape \(3, 3\)"):
        session.at(second)
    edit_weights(run / "checkpoint-2", lambda tensors: tensors.pop(name))
    with pytest.raises(ModelError, match=r"lacks weights: .*up_proj.lora_A.weight"):
        session.at(second)
    assert torch.equal(before, logits(session.model))


def test_a_full_checkpoint_with_a_stray_or_missing_tensor_is_an_error(tmp_path: Path) -> None:
    for step in (1, 2):
        save_base(tmp_path / "run" / f"checkpoint-{step}", seed=step)
    path = tmp_path / "run" / "checkpoint-2" / "model.safetensors"
    tensors = load_file(path)
    session = Session.open(discover(tmp_path / "run"), device="cpu")
    for changed in (tensors | {"stray": torch.ones(1)}, dict(list(tensors.items())[1:])):
        save_file(changed, path, {"format": "pt"})
        with pytest.raises(
            ModelError, match=r"unexpected weights: stray|lacks weights: lm_head.weight, model.embed"
        ):
            session.at(session.trajectory.checkpoints[1])


def test_a_base_without_all_its_weights_is_an_error(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks model\.layers\.0\.mlp\.up_proj\.weight"):
        Session.open(discover(base), device="cpu")


def test_an_adapter_that_does_not_fit_its_base_is_an_error(run: Path, tmp_path: Path) -> None:
    other = save_base(tmp_path / "other", "gpt2")
    with pytest.raises(ModelError, match="does not fit its base model"):
        Session.open(discover(run, base_model=str(other)), device="cpu")


def test_a_base_that_cannot_be_reached_names_the_option(run: Path) -> None:
    with pytest.raises(ModelError, match="--base-model"):
        Session.open(discover(run, base_model="nobody/nothing"), device="cpu")


def test_prompt_tuning_is_refused(run: Path) -> None:
    edit_adapter(run / "checkpoint-1", peft_type="PROMPT_TUNING", num_virtual_tokens=3)
    with pytest.raises(ModelError, match="PROMPT_TUNING"):
        Session.open(discover(run), device="cpu")


def test_pickled_adapters_load_only_when_asked_for_and_run_no_code(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoint-1"
    expected = logits(Session.open(discover(checkpoint), device="cpu").model)
    tensors = load_file(checkpoint / "adapter_model.safetensors")
    (checkpoint / "adapter_model.safetensors").unlink()
    torch.save(tensors, checkpoint / "adapter_model.bin")
    trajectory = discover(checkpoint, allow_pickle=True)
    with pytest.raises(ModelError, match="pickle"):
        Session.open(trajectory, device="cpu")
    assert torch.equal(logits(Session.open(trajectory, device="cpu", allow_pickle=True).model), expected)

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"x": Trap()}, checkpoint / "adapter_model.bin")
    with pytest.raises(ModelError, match="more than tensors"):
        Session.open(trajectory, device="cpu", allow_pickle=True)
    assert not (tmp_path / "sprung").exists()


def test_dtypes_are_those_stored_or_asked_for(run: Path, base: Path, tmp_path: Path) -> None:
    def dtypes(**options: Any) -> tuple[str, list[str]]:
        about = Session.open(
            discover(run, base_model=options.pop("base")), device="cpu", **options
        ).describe()
        return about["dtype"], about["trained_dtypes"]

    stored: dict[torch.dtype, str] = {}
    for dtype in (torch.bfloat16, torch.float16):
        folder = Path(shutil.copytree(base, tmp_path / str(dtype)))
        with quiet():
            tiny_model().to(dtype).save_pretrained(folder)
        stored[dtype] = str(folder)
    assert dtypes(base=str(base)) == ("float32", ["float32"])
    assert dtypes(base=stored[torch.bfloat16]) == ("bfloat16", ["float32"])
    half = Session.open(discover(run, base_model=stored[torch.bfloat16]), device="cpu")
    with quiet():
        stored_base = AutoModelForCausalLM.from_pretrained(stored[torch.bfloat16], **{DTYPE_ARGUMENT: "auto"})
        by_peft = PeftModel.from_pretrained(stored_base, run / "checkpoint-1").eval()
    assert torch.equal(logits(half.model), logits(by_peft))
    assert dtypes(base=stored[torch.float16]) == ("float32", ["float32"])
    assert dtypes(base=str(base), dtype="bf16") == ("bfloat16", ["bfloat16"])
    assert dtypes(base=stored[torch.bfloat16], dtype="fp32") == ("float32", ["float32"])


def test_gradient_checkpointing_recomputes_and_changes_no_number(whole_run: Path) -> None:
    def losses_and_gradients(**options: bool) -> tuple[torch.Tensor, list[torch.Tensor], int]:
        session = Session.open(discover(whole_run), device="cpu", **options)
        calls = 0

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1

        mlps = [module for name, module in session.model.named_modules() if name.endswith("layers.0.mlp")]
        mlps[0].register_forward_pre_hook(count)
        ids = torch.arange(2, 12)[None]
        loss = session.model(input_ids=ids, labels=ids).loss
        loss.backward()
        gradients = [one.grad for one in session.model.parameters() if one.grad is not None]
        return loss, gradients, calls

    plain, plain_gradients, once = losses_and_gradients()
    again, again_gradients, twice = losses_and_gradients(gradient_checkpointing=True)
    assert (once, twice) == (1, 2)
    assert torch.equal(plain, again)
    for one, other in zip(plain_gradients, again_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_dropout_stays_off_under_gradient_checkpointing(run: Path) -> None:
    for step in (1, 2):
        edit_adapter(run / f"checkpoint-{step}", lora_dropout=0.9)
    session = Session.open(discover(run), device="cpu", gradient_checkpointing=True)
    assert torch.equal(logits(session.model), logits(session.model))


def test_a_session_describes_itself_the_same_wherever_the_run_lies(
    whole_run: Path, base: Path, tmp_path: Path
) -> None:
    here = Session.open(discover(whole_run), device="cpu")
    shutil.copytree(whole_run, tmp_path / "run")
    shutil.copytree(base, tmp_path / "base")
    there = Session.open(discover(tmp_path / "run", base_model=str(tmp_path / "base")), device="cpu")
    there.at(there.trajectory.checkpoints[1])
    assert json.loads(json.dumps(here.describe())) == there.describe()
    assert here.describe()["parameters"] == {"trained": 768, "total": here.describe()["parameters"]["total"]}
    digests = [here.weights_digest(one) for one in here.trajectory.checkpoints]
    assert digests == [there.weights_digest(one) for one in there.trajectory.checkpoints]
    assert len(set(digests)) == 2


def test_another_base_of_the_same_shape_is_described_differently(
    whole_run: Path, base: Path, tmp_path: Path
) -> None:
    other = save_base(tmp_path / "base", seed=5)
    theirs = Session.open(discover(whole_run, base_model=str(other)), device="cpu").describe()
    ours = Session.open(discover(whole_run), device="cpu").describe()
    assert {key for key in ours if ours[key] != theirs[key]} == {"base_digest"}


def test_digests_of_large_files_see_header_size_and_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.models.weights.WHOLE_FILE_LIMIT", 0)
    path = tmp_path / "weights"
    content = bytearray(2**22)
    seen = set()
    for place in (None, 0, 2**21, 2**22 - 1):
        changed = content.copy()
        if place is not None:
            changed[place] = 1
        path.write_bytes(changed)
        seen.add(content_digest([path]))
    assert len(seen) == 4


def test_a_mixed_or_empty_trajectory_is_an_error(base: Path, whole_run: Path) -> None:
    trajectory = discover(whole_run)
    full = Checkpoint("full", str(base), "full")
    with pytest.raises(ModelError, match="mixes adapters and full weights"):
        Session.open(replace(trajectory, checkpoints=(*trajectory.checkpoints, full)))
    with pytest.raises(ModelError, match="no checkpoints"):
        Session.open(Trajectory((), None))


def test_wrong_options_are_errors(whole_run: Path, base: Path) -> None:
    for options, sentence in (
        ({"device": "tpu9"}, "device 'tpu9' is not available"),
        ({"dtype": "int3"}, "dtype 'int3' is not one of"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            Session.open(discover(whole_run), **options)
    with pytest.raises(ConfigError, match="cannot be trained"):
        Session.open(discover(base), quantize="4bit")


def test_four_bits_without_bitsandbytes_name_the_extra(
    whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.models.four_bits.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"assay\[qlora\]"):
        Session.open(discover(whole_run), device="cpu", quantize="4bit")


def test_targets_share_memory_with_the_model(whole_run: Path) -> None:
    """The swap copies into what PEFT returns as state; were those copies, it would silently do nothing."""
    model: Any = Session.open(discover(whole_run), device="cpu").model
    live = {parameter.data_ptr() for parameter in model.parameters()}
    assert {tensor.data_ptr() for tensor in get_peft_model_state_dict(model).values()} <= live
