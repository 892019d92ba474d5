"""Where an example's prompt lies among the pool's: a mean of hidden states, centred. Forward passes alone.

Hidden states of a language model share a large part that says nothing of the text (Ethayarajh 2019,
arXiv 1909.00512), so that all cosines come out near 1. The pool's mean is that part: without it cosines tell
prompts apart. Knows nothing of what the features are for.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from assay.data.batches import pad, token_budget_batches
from assay.data.example import Tokens
from assay.errors import DataError
from assay.gradients.head import last_hidden, split
from assay.gradients.hidden import evaluating

SHORTEST_PROMPT = 2
"""One token, or none, is no prompt: it is a BOS, or what everything is learned from."""


def prompt_ids(tokens: Tokens) -> Int[np.ndarray, "t"]:
    """The tokens x before the first learned one; of an example without a prompt, all its tokens."""
    learned = np.flatnonzero(tokens.weights)
    first = int(learned[0]) if len(learned) else len(tokens)
    return tokens.input_ids[:first] if first >= SHORTEST_PROMPT else tokens.input_ids


def prompt_states(
    model: nn.Module, tokens: Sequence[Tokens], *, token_budget: int = 2048
) -> Float[np.ndarray, "n h"]:
    """The mean over x's tokens of the hidden states before the head, float32, neither centred nor scaled.

    Only x is read: under causal attention what follows changes nothing. Means are taken in float64, and
    results do not depend on batch composition, beyond rounding. A row is NaN throughout where the states are
    not finite. `token_budget` bounds rows × longest row of a batch. Raises ModelError as `head.split` does.
    """
    head = split(model)
    device = next(model.parameters()).device
    prompts = [_prompt(example) for example in tokens]
    found: Float[np.ndarray, "n h"] | None = None
    with torch.no_grad(), evaluating(model):
        for rows in token_budget_batches([len(prompt) for prompt in prompts], token_budget):
            padded = pad([prompts[row] for row in rows])
            there = torch.from_numpy(padded.attention_mask).to(device).double()
            states = last_hidden(head, torch.from_numpy(padded.input_ids).to(device)).double()
            means = torch.einsum("nt,nth->nh", there / there.sum(1, keepdim=True), states)
            if found is None:
                found = np.empty((len(prompts), means.shape[1]), dtype=np.float32)
            found[rows] = means.float().cpu().numpy()
    if found is None:
        raise DataError("There is no example whose prompt could be embedded.")
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def mean_of(blocks: Iterable[Float[np.ndarray, "b h"]]) -> Float[np.ndarray, "h"]:
    """The mean of all rows that are finite, float64; `blocks` together are the pool.

    Raises DataError where no row is.
    """
    total: Float[np.ndarray, "h"] | None = None
    rows = 0
    for block in blocks:
        usable = block[np.isfinite(block).all(axis=1)].astype(np.float64)
        total = usable.sum(axis=0) if total is None else total + usable.sum(axis=0)
        rows += len(usable)
    if total is None or not rows:
        raise DataError("No prompt of the pool has finite hidden states, so none can be told from another.")
    return total / rows


def centred(
    features: Float[np.ndarray, "b h"], mean: Float[np.ndarray, "h"] | None
) -> Float[np.ndarray, "b h"]:
    """f(x): rows without `mean`, at length 1, float32; None where they are not to be centred.

    A row that is not finite, or that is the mean itself and so points nowhere, is NaN throughout.
    """
    apart = features.astype(np.float64)
    scale = np.sqrt(np.einsum("bh,bh->b", apart, apart))
    if mean is not None:
        apart = apart - mean
        scale = scale + float(np.sqrt(mean @ mean))
    lengths = np.sqrt(np.einsum("bh,bh->b", apart, apart))
    lengths[~(lengths > ROUNDING * scale)] = np.nan
    return np.asarray(apart / lengths[:, None], dtype=np.float32)


ROUNDING = 1e-6
"""float32 features differ by this share of their length where they are the same."""


def _prompt(example: Tokens) -> Tokens:
    ids = prompt_ids(example)
    return Tokens(example.id, ids, np.zeros(len(ids), dtype=np.float32))
