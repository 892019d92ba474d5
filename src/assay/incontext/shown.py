"""How hard queries are behind a demonstration, whose keys and values are computed once for all its queries.

Knows nothing of how demonstrations and queries were chosen, and nothing of what the numbers are for.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from assay.data.batches import token_budget_batches
from assay.data.example import Tokens
from assay.gradients.batch import Batch
from assay.gradients.head import Head, split
from assay.gradients.hidden import evaluating
from assay.gradients.needed import last_mlp, only_needed
from assay.gradients.precision import is_precise
from assay.incontext.perplexity import Nll, Reason, ahead, mean_nll, means

Pair = tuple[int, int]
"""Position of an opening, and of one of its followings."""
Means = Float[np.ndarray, "m"]
Openings = Sequence[Int[np.ndarray, "t"]]
Followings = Sequence[Sequence[Tokens | None]]

ATTENTION = {"full_attention", "sliding_attention"}
"""Kinds of layers whose past is keys and values at places that padding on the left does not shift."""
BY_LENGTH = {"dynamic", "longrope"}
"""Rotary embeddings that turn by the length of the whole text, which a cache does not know."""


def shown_nll(
    model: nn.Module,
    openings: Openings,
    followings: Followings,
    *,
    token_budget: int = 2048,
    context: int | None = None,
    reuse: bool = True,
) -> Nll:
    """Mean nll of every following behind its opening: arrays (n, k), k the most followings of an opening.

    `followings[i]` belong to `openings[i]` (int64 ids); None, or one fewer than others have, is ABSENT.
    A pair with nothing scored or an opening of no tokens is EMPTY, one longer together than `context`
    TOO_LONG; neither is passed through the model. A mean that is not finite is NOT_FINITE.

    With `reuse` an opening passes once, and its keys and values serve its followings; two short pairs are
    passed both ways first, and a model whose cache cannot be used so (recurrent or chunked layers, rotary
    embeddings that depend on the length) takes whole texts, as all do without `reuse`. Results are the same.
    `token_budget` bounds rows × longest row of a batch, what is in the cache counted.
    """
    shape = (len(openings), max((len(row) for row in followings), default=0))
    nll, reason = np.full(shape, np.nan), np.full(shape, Reason.ABSENT, dtype=np.int8)
    for at, (opening, row) in enumerate(zip(openings, followings, strict=True)):
        for k, following in enumerate(row):
            if following is not None:
                weights = following.weights if len(opening) else following.weights[:0]
                reason[at, k] = ahead(weights, len(opening) + len(following), context)
    pairs = [(int(at), int(k)) for at, k in np.argwhere(reason == Reason.MEASURED)]
    texts = _Texts(openings, followings, token_budget)
    with torch.no_grad(), evaluating(model):
        cached = [pair for pair in pairs if reuse and texts.has_past(pair)]
        if not (can_reuse(model) and _agree(model, texts, cached)):
            cached = []
        whole = sorted({*pairs} - {*cached})
        for chosen, measure in ((cached, texts.by_cache), (whole, texts.as_wholes)):
            if chosen:
                nll[tuple(np.array(chosen).T)] = measure(model, chosen)
    reason[(reason == Reason.MEASURED) & ~np.isfinite(nll)] = Reason.NOT_FINITE
    nll[reason != Reason.MEASURED] = np.nan
    return Nll(nll, reason)


def can_reuse(model: nn.Module) -> bool:
    """Whether a model's keys and values at a place depend on the tokens up to there and nothing else, as far
    as its class and configuration tell."""
    backbone = split(model).backbone
    config: Any = backbone.config
    accepted = inspect.signature(backbone.forward).parameters
    return (
        not getattr(backbone, "_is_stateful", False)
        and {*(getattr(config, "layer_types", None) or ())} <= ATTENTION
        and not _rope_types(getattr(config, "rope_parameters", None)) & BY_LENGTH
        and not _rope_types(getattr(config, "rope_scaling", None)) & BY_LENGTH
        and {"attention_mask", "position_ids", "past_key_values", "use_cache"} <= accepted.keys()
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    """Pairs of openings and followings, and the two ways to their mean nll: float64, in the pairs' order."""

    openings: Openings
    followings: Followings
    budget: int

    def has_past(self, pair: Pair) -> bool:
        """The opening's last token is read with the following, whose first token it predicts."""
        return len(self.openings[pair[0]]) > 1

    def following(self, pair: Pair) -> Tokens:
        found = self.followings[pair[0]][pair[1]]
        assert found is not None
        return found

    def length(self, pair: Pair) -> int:
        return len(self.openings[pair[0]]) + len(self.following(pair))

    def as_wholes(self, model: nn.Module, pairs: Sequence[Pair]) -> Means:
        """Every pair as one text."""
        return mean_nll(model, [self._joined(pair) for pair in pairs], token_budget=self.budget).nll

    def by_cache(self, model: nn.Module, pairs: Sequence[Pair]) -> Means:
        """Every opening once, then its followings behind it."""
        head, found = split(model), np.full(len(pairs), np.nan)
        of_opening: dict[int, list[int]] = {}
        for place, (at, _) in enumerate(pairs):
            of_opening.setdefault(at, []).append(place)
        ats = list(of_opening)
        for group in token_budget_batches([len(self.openings[at]) for at in ats], self.budget):
            past = _Past.of(head, [self.openings[ats[member]] for member in group])
            members = [(row, place) for row, at in enumerate(group) for place in of_opening[ats[at]]]
            lengths = [len(self.following(pairs[place])) for _, place in members]
            for batch in token_budget_batches(lengths, self.budget, beside=past.width):
                rows, places = zip(*(members[one] for one in batch), strict=True)
                behind = [self.following(pairs[place]) for place in places]
                found[list(places)] = past.means(head, list(rows), behind)
        return found

    def _joined(self, pair: Pair) -> Tokens:
        opening, following = self.openings[pair[0]], self.following(pair)
        ids = np.concatenate([opening, following.input_ids])
        weights = np.concatenate([np.zeros(len(opening), dtype=np.float32), following.weights])
        return Tokens(following.id, ids, weights)


@dataclass(frozen=True, slots=True)
class _Past:
    """Keys and values of openings without their last tokens, padded on the left to `width`; those last
    tokens, and how many come before them."""

    layers: list[tuple[Tensor, Tensor]]
    last: Int[Tensor, "n"]
    lengths: Int[Tensor, "n"]
    width: int

    @classmethod
    def of(cls, head: Head, openings: Openings) -> "_Past":
        device = next(head.backbone.parameters()).device
        lengths = torch.tensor([len(opening) - 1 for opening in openings], device=device)
        width = int(lengths.max())
        ids = np.zeros((len(openings), width), dtype=np.int64)
        for row, opening in enumerate(openings):
            ids[row, width - len(opening) + 1 :] = opening[:-1]
        places = torch.arange(width, device=device) - (width - lengths)[:, None]
        cache = DynamicCache()
        # Keys and values are kept and hidden states are not, so one place is as many as need the last MLP.
        with only_needed(last_mlp(head.backbone), places == places.amax()):
            head.backbone(
                input_ids=torch.from_numpy(ids).to(device),
                attention_mask=(places >= 0).long(),
                position_ids=places.clamp(min=0),
                past_key_values=cache,
                use_cache=True,
            )
        last = torch.tensor([int(opening[-1]) for opening in openings], device=device)
        return cls([(layer.keys, layer.values) for layer in cache.layers], last, lengths, width)

    def means(self, head: Head, rows: Sequence[int], followings: Sequence[Tokens]) -> Means:
        """Mean nll of followings, each behind the opening of its row."""
        batch = Batch.of(followings, self.last.device)
        chosen = torch.tensor(rows, device=self.last.device)
        lengths, width = self.lengths[chosen], int(self.lengths[chosen].max())
        steps = torch.arange(batch.input_ids.shape[1], device=self.last.device)
        there = steps < torch.tensor([[len(one)] for one in followings], device=self.last.device)
        before = torch.arange(width, device=self.last.device) >= (width - lengths)[:, None]
        scored = batch.weights != 0
        with only_needed(last_mlp(head.backbone), scored):
            hidden = head.backbone(
                input_ids=torch.cat([self.last[chosen, None], batch.input_ids[:, :-1]], dim=1),
                attention_mask=torch.cat([before, there], dim=1).long(),
                position_ids=(lengths[:, None] + steps) * there,
                past_key_values=self._chosen(chosen, width),
                use_cache=True,
            )[0]
        owner, place = scored.nonzero(as_tuple=True)
        targets, weights = batch.input_ids[owner, place], batch.weights[owner, place]
        return means(head, hidden[owner, place], targets, weights, owner, len(batch))

    def _chosen(self, rows: Int[Tensor, "m"], width: int) -> DynamicCache:
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.layers):
            cache.update(keys[:, :, -width:][rows], values[:, :, -width:][rows], index)
        return cache


def _agree(model: nn.Module, texts: _Texts, pairs: Sequence[Pair]) -> bool:
    """Whether two short pairs, of openings of unlike length if there are, give the same both ways."""
    if not pairs:
        return False
    short = min(pairs, key=texts.length)
    others = [pair for pair in pairs if len(texts.openings[pair[0]]) != len(texts.openings[short[0]])]
    trial = [short, min(others, key=texts.length)] if others else [short]
    try:
        by_cache = texts.by_cache(model, trial)
    except Exception:  # what a cache is, is the model's own affair
        return False
    tolerance = 1e-4 if is_precise(model) else 5e-2
    return np.allclose(
        by_cache, texts.as_wholes(model, trial), rtol=tolerance, atol=tolerance, equal_nan=True
    )


def _rope_types(settings: Any) -> set[str]:
    """The kinds of rotary embeddings that a configuration names, for all layers or for each kind of layer."""
    if not isinstance(settings, dict):
        return set()
    own = {str(settings[key]) for key in ("rope_type", "type") if key in settings}
    return own.union(*(_rope_types(part) for part in settings.values()))
