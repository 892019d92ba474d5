"""Tiny random models of the families that users train, and examples for them."""

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from assay.data.example import Tokens

VOCABULARY = 61


def family(
    name: str, *, tied: bool = True, attention: str = "sdpa", dtype: torch.dtype = torch.float32
) -> nn.Module:
    """A two-layer random model, weights spread widely so that every path matters."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "tie_word_embeddings": tied,
        "initializer_range": 0.3,
        "attn_implementation": attention,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    match name:
        case "llama":
            model: nn.Module = LlamaForCausalLM(LlamaConfig(**shape))
        case "qwen3":
            model = Qwen3ForCausalLM(Qwen3Config(**shape))
        case "gemma3":
            model = Gemma3ForCausalLM(
                Gemma3TextConfig(
                    **shape, sliding_window=8, final_logit_softcapping=5.0, query_pre_attn_scalar=8
                )
            )
        case "gpt2":
            model = GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=VOCABULARY,
                    n_embd=16,
                    n_layer=2,
                    n_head=2,
                    n_positions=64,
                    tie_word_embeddings=tied,
                    attn_implementation=attention,
                    initializer_range=0.3,
                )
            )
        case _:
            raise ValueError(name)
    return model.to(dtype)


TARGETS = {"gpt2": ["c_attn", "c_fc", "c_proj"]}


def with_lora(model: nn.Module, name: str, **options: object) -> nn.Module:
    """A LoRA whose B is not zero, as after some training."""
    targets = TARGETS.get(name, ["q_proj", "up_proj", "down_proj"])
    dtype = next(model.parameters()).dtype
    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.1, target_modules=targets, fan_in_fan_out=name == "gpt2", **options
    )
    adapted = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    for parameter_name, parameter in adapted.named_parameters():
        if parameter.requires_grad and "lora_" in parameter_name:
            parameter.data = (0.2 * torch.randn(parameter.shape, generator=generator)).to(dtype)
    return adapted


def examples(count: int, seed: int = 0, longest: int = 14, weighted: bool = False) -> list[Tokens]:
    """Random examples of unequal lengths; completions of at least one token."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        length = int(rng.integers(4, longest + 1))
        learned = int(rng.integers(1, length - 1))
        weights = np.zeros(length, dtype=np.float32)
        weights[-learned:] = rng.uniform(0.5, 1.5, learned) if weighted else 1.0
        made.append(Tokens(f"example-{seed}-{number}", rng.integers(3, VOCABULARY, length), weights))
    return made


def autograd_gradients(model: nn.Module, tokens: list[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """The truth: a batch-of-one loop through the model's own full logits. Gradients (n, p) and losses (n)."""
    model.eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rows, losses = [], []
    for example in tokens:
        ids = torch.from_numpy(example.input_ids)[None]
        weights = torch.from_numpy(example.weights)[1:]
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = (nn.functional.cross_entropy(precise, ids[0, 1:], reduction="none") * weights).sum()
        grads = torch.autograd.grad(loss, trained, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip(trained, grads, strict=True)]
        rows.append(torch.cat([g.flatten().double() for g in flat]))
        losses.append(loss.detach().double())
    return torch.stack(rows), torch.stack(losses)
