"""The model and examples that benchmarks share, and the allocator they run with.

A random Llama (hidden 512, 8 layers, MLP 1,024 wide, tied embeddings) with LoRA r=16 on up and down, B away
from zero; examples with log-normal lengths, about 90 tokens in the mean, the second half of each learned. The
width of the MLP is a choice of this file: twice the hidden size.
"""

import os
import sys
from collections.abc import Sequence

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from assay.data.example import Tokens

# Set before the allocator starts: without it glibc gives large temporaries back to the kernel at every step.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


def settle_allocator() -> None:
    """Start this program anew with `MALLOC`, unless it was started so."""
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})


def base_model(vocabulary: int, hidden: int = 512, layers: int = 8) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=8,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
        )
    )


def with_adapter(base: LlamaForCausalLM, seed: int = 0) -> PeftModel:
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=["up_proj", "down_proj"]))
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.02)
    return model


def examples(count: int, seed: int, vocabulary: int) -> list[Tokens]:
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(78), 0.55, count), 12, 1024).astype(int)
    weights = [np.r_[np.zeros(n - n // 2), np.ones(n // 2)].astype(np.float32) for n in lengths]
    ids = [rng.integers(0, vocabulary, n) for n in lengths]
    return [Tokens(str(i), a, w) for i, (a, w) in enumerate(zip(ids, weights, strict=True))]


def arrival_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Batches of at most `budget` padded tokens, filled in the order in which the examples come."""
    batches: list[list[int]] = []
    for row, length in enumerate(lengths):
        longest = max((lengths[other] for other in batches[-1]), default=0) if batches else 0
        if batches and max(longest, length) * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
