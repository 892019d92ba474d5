"""The truth about drawn labels: autograd in a batch of one through the model's own whole softmax."""

import torch
from torch import Tensor, nn

from assay.data.example import Tokens
from assay.gradients.batch import Batch


def drawn_gradients(model: nn.Module, tokens: list[Tokens], seed: int) -> dict[str, Tensor]:
    """Gradients of every trained parameter, (n, *shape), of the losses of labels drawn with `seed`."""
    model.eval()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found: dict[str, list[Tensor]] = {name: [] for name in trained}
    for example in tokens:
        ids = torch.from_numpy(example.input_ids)[None]
        weights = torch.from_numpy(example.weights)[1:]
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        uniform = Batch.of([example], torch.device("cpu")).uniform(seed)[0, 1:]
        labels = labels_by_inverse(logits.detach(), uniform)
        loss = (nn.functional.cross_entropy(logits, labels, reduction="none") * weights).sum()
        grads = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        for (name, parameter), grad in zip(trained.items(), grads, strict=True):
            found[name].append(torch.zeros_like(parameter) if grad is None else grad)
    return {name: torch.stack(rows).detach() for name, rows in found.items()}


def labels_by_inverse(logits: Tensor, uniform: Tensor) -> Tensor:
    """Of every row the first label whose cumulative probability exceeds the row's number."""
    return (logits.double().softmax(1).cumsum(1) <= uniform[:, None]).sum(1)
