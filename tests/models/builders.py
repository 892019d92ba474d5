"""Tiny random models, adapters and trainer-like folders for the tests of this room."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from assay.data.example import Tokens
from assay.models.loading import quiet

VOCABULARY = 40
ROWS = 48
TEMPLATE = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} <eos> {% endfor %}"
FAMILIES = ("llama", "gpt2", "qwen2", "qwen3", "gemma2", "gemma3")
UP_DOWN = ("up_proj", "down_proj")


def tokenizer(extra: int = 0) -> PreTrainedTokenizerFast:
    words = ["<pad>", "<eos>", *(f"w{index}" for index in range(VOCABULARY - 2 + extra))]
    model = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<pad>"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="<eos>")
    made.chat_template = TEMPLATE
    return made


def tiny_model(family: str = "llama", seed: int = 0, tied: bool = True) -> Any:
    torch.manual_seed(seed)
    common: dict[str, Any] = {"vocab_size": ROWS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    if family == "gpt2":
        config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **common)
        return transformers.GPT2LMHeadModel(config).eval()
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 64,
    }
    if family in ("qwen3", "gemma2", "gemma3"):
        sizes["head_dim"] = 8
    if family == "qwen3_moe":
        sizes |= {"moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
    names = {
        "qwen3_moe": ("Qwen3MoeConfig", "Qwen3MoeForCausalLM"),
        "llama": ("LlamaConfig", "LlamaForCausalLM"),
        "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
        "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
        "gemma2": ("Gemma2Config", "Gemma2ForCausalLM"),
        "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    }
    config_name, model_name = names[family]
    config = getattr(transformers, config_name)(**sizes, **common)
    return getattr(transformers, model_name)(config).eval()


def save_base(folder: Path, family: str = "llama", **options: Any) -> Path:
    with quiet():
        tiny_model(family, **options).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, seed: int, **options: Any) -> Path:
    """A random adapter, every trained tensor of it away from its initial value, as a trainer saves it."""
    modules = ["c_fc", "c_proj"] if "gpt2" in _config(base)["model_type"] else list(UP_DOWN)
    structure = LoraConfig(
        task_type="CAUSAL_LM", **{"r": 4, "lora_alpha": 8, "target_modules": modules, **options}
    )
    with quiet():
        model = get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), structure)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
    return folder


def save_state(folder: Path, step: int, *, log: dict[int, float] | None = None, per_epoch: int = 10) -> None:
    history = [
        {"step": at, "epoch": at / per_epoch, "loss": 1.0, "learning_rate": rate}
        for at, rate in (log or {}).items()
        if at <= step
    ]
    state = {"global_step": step, "epoch": step / per_epoch, "max_steps": 100, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def save_run(folder: Path, base: Path, steps: tuple[int, ...] = (10, 20, 100), **options: Any) -> Path:
    """A LoRA run with a logged learning rate that falls from step to step."""
    log = {step: 1e-3 / step for step in steps}
    for step in steps:
        checkpoint = folder / f"checkpoint-{step}"
        save_adapter(checkpoint, base, seed=step, **options)
        save_state(checkpoint, step, log=log)
    return folder


def examples(count: int, seed: int = 0, weight: float = 1.0) -> list[Tokens]:
    generator = np.random.default_rng(seed)
    made = []
    for index in range(count):
        length = int(generator.integers(4, 12))
        weights = np.zeros(length)
        weights[length // 2 :] = weight
        made.append(Tokens(str(index), generator.integers(2, VOCABULARY, length), weights))
    return made


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(2, 12)[None]
    with torch.no_grad():
        return model(input_ids=ids).logits


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())
