"""How far products stand from a float64 autograd loop, by precision, beside autograd's own loop.

    python -m benchmarks.precision

The small random models of the gradient tests, LoRA on them, 12 candidates and 6 queries; ‖Δ‖F / ‖D‖F.
"""

import copy
import json

import torch
from tests.gradients.models import autograd_gradients, examples, family, with_lora
from torch import nn

from assay.data.example import Tokens
from assay.gradients import products

FAMILIES = ("llama", "qwen3", "gemma3", "gpt2")
PRECISIONS = ("fp32", "bf16", "bf16, adapters fp32")


def main() -> None:
    print(
        json.dumps({name: {kind: errors(name, kind) for kind in PRECISIONS} for name in FAMILIES}, indent=1)
    )


def errors(name: str, precision: str) -> dict[str, str]:
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    model = with_lora(family(name, dtype=dtype), name)
    if "adapters" in precision:
        for path, parameter in model.named_parameters():
            if "lora_" in path:
                parameter.data = parameter.data.float()
    candidates, queries = examples(12, seed=1), examples(6, seed=2)
    truth = by_autograd(copy.deepcopy(model).double(), candidates, queries)
    found = products(model, {"a": candidates, "b": queries}, [("a", "b")]).dot["a", "b"]
    loop = by_autograd(model, candidates, queries)
    return {"assay": far(torch.from_numpy(found), truth), "autograd": far(loop, truth)}


def by_autograd(model: nn.Module, candidates: list[Tokens], queries: list[Tokens]) -> torch.Tensor:
    ours, theirs = (autograd_gradients(model, tokens)[0] for tokens in (candidates, queries))
    return ours @ theirs.T


def far(found: torch.Tensor, truth: torch.Tensor) -> str:
    return f"{float((found - truth).norm() / truth.norm()):.1e}"


if __name__ == "__main__":
    main()
