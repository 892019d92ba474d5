"""Examples side by side as tensors: their learned tokens, and sums over these back to the examples.

Knows nothing of gradients, and of a model only its hidden states.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.batches import pad
from assay.data.example import Tokens
from assay.errors import NumericsError
from assay.streams import stream


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Examples side by side, padded on the right, on the model's device."""

    ids: tuple[str, ...]
    input_ids: Int[Tensor, "n t"]
    weights: Float[Tensor, "n t"]

    @classmethod
    def of(cls, tokens: Sequence[Tokens], device: torch.device) -> "Batch":
        padded = pad(tokens)
        return cls(
            tuple(example.id for example in tokens),
            torch.from_numpy(padded.input_ids).to(device),
            torch.from_numpy(padded.weights).to(device),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def read(self) -> Int[Tensor, "n r"]:
        """What the model has to read: all but the last token, which predicts none."""
        return self.input_ids[:, : max(1, self.input_ids.shape[1] - 1)]

    def uniform(self, seed: int) -> Float[Tensor, "n t"]:
        """Random numbers from [0, 1), float64, that follow from seed, example's id and position alone."""
        length = self.input_ids.shape[1]
        rows = [stream("sampled labels", seed, name).random(length) for name in self.ids]
        return torch.from_numpy(np.stack(rows)).to(self.input_ids.device)


def learned(
    batch: Batch, hidden: Float[Tensor, "n t h"]
) -> tuple[Int[Tensor, "c"], Int[Tensor, "c"], Float[Tensor, "c"], Float[Tensor, "c h"]]:
    """Of every learned token: its example, its id, its weight, and the hidden state that predicts it."""
    owner, before = batch.weights[:, 1:].nonzero(as_tuple=True)
    return owner, batch.input_ids[owner, before + 1], batch.weights[owner, before + 1], hidden[owner, before]


def by_owner(rows: Float[Tensor, "c"], owner: Int[Tensor, "c"], examples: int) -> Float[Tensor, "n"]:
    """Sum the losses of rows into their examples, float64."""
    return torch.zeros(examples, dtype=torch.float64, device=rows.device).index_add_(0, owner, rows.double())


def finite(batch: Batch, losses: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The losses as they are. Raises NumericsError naming the first example whose loss is not finite."""
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise NumericsError(
            f"The loss of example {batch.ids[bad[0]]!r} is not finite: the model has diverged, "
            "or --dtype is too small."
        )
    return losses
