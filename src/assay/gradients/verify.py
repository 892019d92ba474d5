"""Does the engine tell the truth on this model and this data? Checks against slower, independent ways.

Knows nothing of studies. Every check states what it compares, how far apart the two are, and what is allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.data.example import Tokens
from assay.gradients.coverage import trained_parameters
from assay.gradients.precision import in_fp32, is_precise
from assay.gradients.products import products
from assay.progress import SILENT, Advance, Progress

STEP = 1e-2
"""Change of loss, in nats, that a finite step aims at for the query that it moves most."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `error` is relative and passes at or below `allowed`."""

    name: str
    error: float
    allowed: float
    sentence: str

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.allowed)


def verify(
    model: nn.Module,
    probes: Sequence[Tokens],
    queries: Sequence[Tokens],
    *,
    token_budget: int = 2048,
    progress: Progress = SILENT,
) -> list[Check]:
    """Check products of `probes` and `queries` (a handful each) on `model`, whose weights are left as they
    were.

    Compares with a batch-of-one autograd loop through the model's own full logits, with other batch
    compositions, paddings and orders, and RelInf with the ratio of loss drops after small steps of plain
    gradient descent.
    """
    groups = {"probes": probes, "queries": queries}
    pairs = [("probes", "queries")]
    found = products(model, groups, pairs, token_budget=token_budget).dot["probes", "queries"]
    allowed = 1e-4 if is_precise(model) else 0.1
    with progress.stage("checking one by one", len(probes) + len(queries), "examples") as advance:
        g_z: list[Tensor] = []
        g_q: list[Tensor] = []
        for kept, examples in ((g_z, probes), (g_q, queries)):
            for tokens in examples:
                kept.append(_autograd(model, tokens))
                advance(1)
    truth = np.asarray([[float(z @ q) for q in g_q] for z in g_z])
    singles = products(model, groups, pairs, token_budget=1).dot["probes", "queries"]
    longer = _longer_than([*probes, *queries], model)
    turned_groups = {"probes": [*probes[::-1], *longer], "queries": [*queries[::-1], *longer]}
    turned = products(model, turned_groups, pairs, token_budget=10 * token_budget).dot["probes", "queries"]
    checks = [
        Check(
            "agreement",
            _apart(found, truth),
            allowed,
            "products against a batch-of-one autograd loop through the model's own logits, ‖Δ‖/‖D‖",
        ),
        Check(
            "batches", _apart(singles, found), allowed, "products with every example in a batch of its own"
        ),
        Check(
            "order and padding",
            _apart(turned[: len(probes), : len(queries)][::-1, ::-1], found),
            allowed,
            "products with the examples reversed and a longer one beside them, so that all are padded",
        ),
    ]
    relinf = found / np.asarray([float(q @ q) for q in g_q])[None, :]
    steps = len(probes) + len(queries)
    with progress.stage("stepping along gradients", steps, "steps") as advance, in_fp32(model):
        stepped = _finite_differences(model, g_z, g_q, queries, advance)
    checks.append(
        Check(
            "meaning",
            _apart(stepped, relinf),
            0.05 if is_precise(model) else 0.3,
            "RelInf against the ratio of loss drops after one small step on the probe and on the query",
        )
    )
    large = np.abs(relinf) > 0.05 * np.abs(relinf).max()
    checks.append(
        Check(
            "sign",
            float(np.mean(np.sign(stepped[large]) != np.sign(relinf[large]))),
            0.0 if is_precise(model) else 0.1,
            "share of clear pairs where a step on the probe moves the query's loss the other way",
        )
    )
    return checks


def _longer_than(tokens: Sequence[Tokens], model: nn.Module) -> list[Tokens]:
    """An example a little longer than all others, the longest with its own beginning appended; none where the
    model takes no longer one.
    """
    longest = max(tokens, key=len)
    more = min(len(longest), 1 + len(longest) // 8)
    context = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if context is not None and len(longest) + more > context:
        return []
    ids = np.concatenate([longest.input_ids, longest.input_ids[:more]])
    weights = np.concatenate([longest.weights, np.ones(more, dtype=np.float32)])
    return [Tokens(f"{longest.id} and more", ids, weights)]


def _autograd(model: nn.Module, tokens: Tokens) -> Float[Tensor, "p"]:
    """∇ of the summed completion loss by autograd, float64 on the CPU."""
    model.eval()
    parameters = list(trained_parameters(model).values())
    grads = torch.autograd.grad(_loss(model, tokens), parameters, allow_unused=True)
    flat = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]
    return torch.cat([g.detach().flatten().double().cpu() for g in flat])


def _loss(model: nn.Module, tokens: Tokens) -> Tensor:
    device = next(model.parameters()).device
    ids = torch.from_numpy(np.asarray(tokens.input_ids, dtype=np.int64))[None].to(device)
    weights = torch.from_numpy(np.asarray(tokens.weights, dtype=np.float64))[1:]
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    each = nn.functional.cross_entropy(precise, ids[0, 1:], reduction="none")
    return (each.cpu().double() * weights).sum()


def _finite_differences(
    model: nn.Module,
    g_z: Sequence[Tensor],
    g_q: Sequence[Tensor],
    queries: Sequence[Tokens],
    advance: Advance,
) -> Float[np.ndarray, "p q"]:
    """[ℓ_q(θ + ηg_z) − ℓ_q(θ − ηg_z)] / [ℓ_q(θ + ηg_q) − ℓ_q(θ − ηg_q)], central so that curvature
    cancels.
    """
    parameters = list(trained_parameters(model).values())
    before = [parameter.detach().clone() for parameter in parameters]

    def losses(direction: Tensor, size: float) -> Float[np.ndarray, "q"]:
        start = 0
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                part = direction[start : start + parameter.numel()].reshape(parameter.shape)
                parameter.copy_(value + (size * part).to(parameter.device, parameter.dtype))
                start += parameter.numel()
            return np.asarray([float(_loss(model, tokens)) for tokens in queries])

    def slope(direction: Tensor) -> Float[np.ndarray, "q"]:
        """dℓ_q/dη along a direction, for every query."""
        largest = max(abs(float(direction @ other)) for other in g_q)
        size = STEP / max(largest, 0.1 * float(direction @ direction))
        found: Float[np.ndarray, "q"] = (losses(direction, size) - losses(direction, -size)) / (2 * size)
        return found

    try:
        own = []
        for column, direction in enumerate(g_q):
            own.append(slope(direction)[column])
            advance(1)
        rows = []
        for direction in g_z:
            rows.append(slope(direction))
            advance(1)
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
    ratios: Float[np.ndarray, "p q"] = np.asarray(rows) / np.asarray(own)[None, :]
    return ratios


def _apart(found: Float[np.ndarray, "p q"], truth: Float[np.ndarray, "p q"]) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))
