"""How complex a prompt is, as a model trained to say so does (DEITA, Liu et al. 2024, arXiv 2312.15685).

Knows nothing of what complexity is for, and loads no model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.data.batches import pad, token_budget_batches
from assay.data.example import Tokens
from assay.errors import ModelError
from assay.gradients.head import last_hidden, split
from assay.gradients.hidden import evaluating
from assay.models.loading import context_length

PROMPT = (
    "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
    "##Query: {instruction}  \n##Complexity: "
)
"""The words that the published scorers were trained on, spaces included."""
GRADES = ("1", "2", "3", "4", "5", "6")


def complexity(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], *, token_budget: int = 2048
) -> Float[np.ndarray, "n"]:
    """Σ_k k · softmax of the logits of the tokens "1" … "6" behind DEITA's prompt, float64, from 1 to 6.

    NaN for a prompt that is longer than the model takes, and where the logits are not finite. Results do not
    depend on batch composition, beyond rounding. `token_budget` bounds rows × longest row of a batch.
    Raises ModelError where the tokenizer has no single token for a grade, and as `head.split` does.
    """
    grades = torch.from_numpy(grade_ids(tokenizer))
    head = split(model)
    device = next(model.parameters()).device
    tokens = [asked(tokenizer, prompt) for prompt in prompts]
    longest = context_length(getattr(model, "config", None))
    fitting = [row for row, one in enumerate(tokens) if longest is None or len(one) <= longest]
    found = np.full(len(tokens), np.nan)
    with torch.no_grad(), evaluating(model):
        for batch in token_budget_batches([len(tokens[row]) for row in fitting], token_budget):
            rows = [fitting[place] for place in batch]
            ids = torch.from_numpy(pad([tokens[row] for row in rows]).input_ids).to(device)
            ends = torch.tensor([len(tokens[row]) - 1 for row in rows], device=device)
            states = last_hidden(head, ids)[torch.arange(len(rows), device=device), ends]
            logits = head.projection(states).double()[:, grades.to(device)] * head.scale
            if head.softcap is not None:
                logits = head.softcap * torch.tanh(logits / head.softcap)
            found[rows] = _expected(logits).cpu().numpy()
    found[~np.isfinite(found)] = np.nan
    return found


def grade_ids(tokenizer: Any) -> Int[np.ndarray, "6"]:
    """The token ids of "1" … "6". Raises ModelError naming those that are not one token."""
    ids = [tokenizer.convert_tokens_to_ids(grade) for grade in GRADES]
    unknown = tokenizer.unk_token_id
    missing = [f'"{grade}"' for grade, one in zip(GRADES, ids, strict=True) if one is None or one == unknown]
    if missing:
        raise ModelError(
            f"The scorer's tokenizer has no single token for {', '.join(missing)}, so its grades of "
            "complexity cannot be read; name another model, or use --complexity ifd."
        )
    return np.asarray(ids, dtype=np.int64)


def asked(tokenizer: Any, prompt: str) -> Tokens:
    """DEITA's question about a prompt, with the special tokens that the tokenizer adds around a text."""
    ids = tokenizer(PROMPT.format(instruction=prompt))["input_ids"]
    return Tokens("", np.asarray(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.float32))


def _expected(logits: Float[Tensor, "n 6"]) -> Float[Tensor, "n"]:
    grades = torch.arange(1, len(GRADES) + 1, dtype=logits.dtype, device=logits.device)
    expected: Tensor = logits.softmax(dim=1) @ grades
    return expected
