"""Products and steps on a 4-bit base are those of the weights it stands for, and what cannot be is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

from assay.errors import ConfigError, ModelError
from assay.gradients import products
from assay.gradients.precision import is_precise
from assay.lookahead.losses import answers
from assay.lookahead.steps import mean_loss, restored, take_steps
from assay.models.discover import discover
from assay.models.four_bits import let_gradients_pass
from assay.models.loading import load_model, quiet
from assay.models.session import Session
from tests.gradients.models import autograd_gradients
from tests.models.builders import ROWS, examples, tokenizer

EXAMPLES = examples(5)
PAIR = {"all": EXAMPLES}


def truth(model: nn.Module) -> np.ndarray:
    """Products by a batch-of-one autograd loop."""
    gradients, _ = autograd_gradients(model, EXAMPLES)
    return (gradients @ gradients.T).numpy()


def found(model: nn.Module) -> np.ndarray:
    return products(model, PAIR, [("all", "all")]).dot["all", "all"]


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.fixture(scope="module")
def bitsandbytes() -> Any:
    return pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama as wide as a block of 4-bit weights, so that every kernel can take it."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=ROWS,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.15,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    with quiet():
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(bitsandbytes: Any, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA trained for four steps on the base in 4 bits, with a checkpoint every second step."""
    folder = tmp_path_factory.mktemp("qlora")
    four_bits = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    with quiet():
        frozen = transformers.AutoModelForCausalLM.from_pretrained(
            base, quantization_config=four_bits, device_map={"": "cpu"}
        )
        lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
        model = get_peft_model(frozen, lora).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        ids = torch.randint(2, 40, (4, 12), generator=torch.Generator().manual_seed(0))
        for step in range(1, 5):
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if step % 2 == 0:
                model.save_pretrained(folder / f"checkpoint-{step}")
    return folder


def opened(run: Path, **options: Any) -> Session:
    return Session.open(discover(run), device="cpu", quantize="4bit", **options)


def unpacked(session: Session, bitsandbytes: Any) -> nn.Module:
    """The session's model with plain fp32 layers in the place of 4-bit ones."""
    for module in list(session.model.modules()):
        if type(module).__name__ == "Linear4bit" and hasattr(module, "base_layer"):
            packed = module.base_layer.weight
            weight = bitsandbytes.functional.dequantize_4bit(packed.data, packed.quant_state).float()
            plain = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            plain.weight = nn.Parameter(weight, requires_grad=False)
            module.base_layer = plain
    return session.model.float()


def test_in_fp32_products_are_those_of_the_unpacked_weights(run: Path, bitsandbytes: Any) -> None:
    """Twice over: a first pass without gradients must not cost the second its gradients."""
    session = opened(run, dtype="fp32")
    measured = [[found(session.at(one)) for _ in range(2)] for one in session.trajectory.checkpoints]
    looped = [truth(session.at(one)) for one in session.trajectory.checkpoints]
    assert is_precise(session.model)
    unpacked(session, bitsandbytes)
    for checkpoint, ours, loop in zip(session.trajectory.checkpoints, measured, looped, strict=True):
        expected = truth(session.at(checkpoint))
        assert apart(ours[0], expected) < 1e-4
        assert apart(ours[1], expected) < 1e-4
        assert apart(loop, expected) < 1e-4


def test_as_trained_products_are_those_of_the_unpacked_weights_up_to_bf16(
    run: Path, bitsandbytes: Any
) -> None:
    session = opened(run)
    assert not is_precise(session.model)
    ours = found(session.model)
    assert apart(ours, truth(unpacked(session, bitsandbytes))) < 0.05


def test_a_step_moves_losses_as_the_products_say_and_is_taken_back(run: Path, bitsandbytes: Any) -> None:
    session = opened(run, dtype="fp32")
    model, rate = session.model, 1e-5
    before = answers(model, EXAMPLES).losses
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with restored(model):
        take_steps(model, torch.optim.SGD(trained, lr=rate), [mean_loss(EXAMPLES[:1])], max_grad_norm=0)
        moved = answers(model, EXAMPLES).losses - before
    assert np.array_equal(answers(model, EXAMPLES).losses, before)
    slopes = truth(unpacked(session, bitsandbytes))
    assert apart(moved, -rate * slopes[0] / EXAMPLES[0].completion_tokens) < 0.05


def test_parameters_are_counted_as_the_numbers_they_stand_for(run: Path) -> None:
    described = opened(run).describe()
    assert described["parameters"] == Session.open(discover(run), device="cpu").describe()["parameters"]
    assert described["quantize"] == "4bit"
    assert "bitsandbytes" in described["versions"]


def test_a_base_stored_in_four_bits_needs_no_option_and_is_not_trained(
    run: Path, base: Path, tmp_path: Path
) -> None:
    stored = tmp_path / "stored"
    with quiet():
        load_model(str(base), device=torch.device("cpu"), dtype=None, quantize="4bit").save_pretrained(stored)
        tokenizer().save_pretrained(stored)
    session = Session.open(discover(run, base_model=str(stored)), device="cpu")
    assert apart(found(session.model), found(opened(run).model)) < 1e-6
    with pytest.raises(ModelError, match="are quantised and cannot be trained"):
        Session.open(discover(stored), device="cpu")


def test_a_base_in_fp16_is_held_in_fp32_but_for_its_four_bits(run: Path, base: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    with quiet():
        transformers.AutoModelForCausalLM.from_pretrained(base).half().save_pretrained(half)
        tokenizer().save_pretrained(half)
    model = Session.open(discover(run, base_model=str(half)), device="cpu", quantize="4bit").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32, torch.uint8}
    assert apart(found(model), found(opened(run).model)) < 0.1


def test_what_bitsandbytes_cannot_do_is_said_in_one_sentence(
    run: Path, bitsandbytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="computes in fp32 or bf16"):
        opened(run, dtype="fp64")
    monkeypatch.setattr(bitsandbytes, "supported_torch_devices", {"cuda"})
    with pytest.raises(ModelError, match="does not hold weights in 4 bits on the device 'cpu'"):
        opened(run)


class Layer(nn.Linear):
    """What bitsandbytes' layer is to us, with a switch for what it does after a pass without gradients."""

    def __init__(self, repacks: bool) -> None:
        super().__init__(8, 8)
        self.quant_storage, self.compute_dtype = torch.uint8, torch.float32
        self.support_avx512bf16_for_cpu = True
        self.repacks, self.seen = repacks, False

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen |= not torch.is_grad_enabled() and (self.repacks or self.support_avx512bf16_for_cpu)
        return super().forward(inputs.detach() if self.seen else inputs)


def test_layers_that_lose_gradients_after_inference_are_kept_from_it_or_refused() -> None:
    kept = Layer(repacks=False)
    let_gradients_pass(nn.Sequential(kept), "the base")
    assert not kept.seen
    with pytest.raises(ModelError, match="gives no gradient through them"):
        let_gradients_pass(nn.Sequential(Layer(repacks=True)), "the base")
