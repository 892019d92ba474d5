"""How the world's base model is made: `python -m assay.world.pretrain --out DIR --seed 0`.

Every step's documents and the initial weights follow from the seeds alone. Progress is saved, so the same
command goes on after a kill. Knows nothing of fine-tuning, strategies or studies.
"""

import argparse
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from assay.errors import ResumeError
from assay.files import read_json, write_atomically, write_json
from assay.fingerprint import differing_fields
from assay.streams import stream
from assay.world.documents import document
from assay.world.tokenizer import make_tokenizer, save_tokenizer
from assay.world.words import World, make_world

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretraining:
    """The recipe. `context_weight` is the loss weight of tokens that are mostly random draws.

    Documents of `group` steps are drawn together and cut into batches of like length.
    """

    seed: int = 0
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    feed_forward: int = 384
    steps: int = 6600
    batch: int = 64
    group: int = 8
    learning_rate: float = 3e-3
    final_share: float = 0.05
    warmup: int = 200
    weight_decay: float = 0.01
    context_weight: float = 0.2
    save_every: int = 300


Report = Callable[[int, float], None]


def new_model(recipe: Pretraining, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama with tied embeddings; its weights follow from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def pretrain(out: Path, recipe: Pretraining | None = None, report: Report = lambda step, loss: None) -> Path:
    """Train the base model of `recipe` into `out`, going on where an earlier run stopped, if it did.

    `report` is called after every step with the step, counted from 1, and the weighted mean loss in nats per
    token. Returns `out`, a folder that `from_pretrained` reads: weights in fp32, config, tokenizer, chat
    template, and `pretraining.json` with the recipe and losses. Raises ResumeError when `out` holds a run
    with another recipe.
    """
    recipe = recipe or Pretraining()
    about = out / "pretraining.json"
    if about.exists():
        _refuse_another(recipe, read_json(about)["recipe"], out)
        return out
    world = make_world(recipe.seed)
    tokenizer = make_tokenizer(world)
    model = new_model(recipe, tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    progress = _Progress(out / "progress", recipe)
    done, losses = progress.load(model, optimizer)
    model.train()
    for step, (ids, weights) in enumerate(batches(world, tokenizer, recipe, done), start=done + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        loss = weighted_loss(model, ids, weights)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        report(step, losses[-1])
        if step % recipe.save_every == 0 and step < recipe.steps:
            progress.save(model, optimizer, losses)
    model.save_pretrained(out)
    save_tokenizer(tokenizer, out)
    tail = losses[-100:]
    summary = {
        "recipe": asdict(recipe),
        "loss_of_last_100_steps": sum(tail) / len(tail),
        "parameters": model.num_parameters(),
    }
    write_json(about, summary)
    progress.remove()
    return out


def batches(
    world: World, tokenizer: PreTrainedTokenizerFast, recipe: Pretraining, done: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and loss weights, (batch, longest) each, of the steps after `done`, padded on the right."""
    pad = int(tokenizer.pad_token_id)
    for group in range(done // recipe.group, math.ceil(recipe.steps / recipe.group)):
        rng = stream("pretraining", world.seed, recipe.seed, group)
        documents = [document(world, rng) for _ in range(recipe.group * recipe.batch)]
        heads = tokenizer([d.context for d in documents], add_special_tokens=False)["input_ids"]
        tails = tokenizer([d.continuation for d in documents], add_special_tokens=False)["input_ids"]
        pairs = sorted(zip(heads, tails, strict=True), key=lambda pair: len(pair[0]) + len(pair[1]))
        for i, start in enumerate(rng.permutation(recipe.group)):
            step = group * recipe.group + i
            if not done <= step < recipe.steps:
                continue
            rows = pairs[start * recipe.batch : (start + 1) * recipe.batch]
            longest = max(len(head) + len(tail) for head, tail in rows)
            ids = torch.full((len(rows), longest), pad)
            weights = torch.zeros(len(rows), longest)
            for row, (head, tail) in enumerate(rows):
                end = len(head) + len(tail)
                ids[row, :end] = torch.tensor(head + tail)
                weights[row, 1 : len(head)] = recipe.context_weight
                weights[row, len(head) : end] = 1.0
            yield ids, weights


def weighted_loss(model: LlamaForCausalLM, ids: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of −log p over the tokens of a right-padded batch, in nats.

    No attention mask is needed: under causal attention no token sees the padding to its right.
    """
    logits = model(input_ids=ids).logits[:, :-1]
    nats = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (nats * weights[:, 1:]).sum() / weights[:, 1:].sum()


def learning_rate(recipe: Pretraining, step: int) -> float:
    """Linear warm-up, then a cosine down to `final_share` of the peak; `step` counts from 1."""
    if step <= recipe.warmup:
        return recipe.learning_rate * step / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    share = recipe.final_share + (1 - recipe.final_share) * 0.5 * (1 + math.cos(math.pi * done))
    return recipe.learning_rate * share


class _Progress:
    """A folder with the newest state of a run: one safetensors file of weights and moments, written whole."""

    def __init__(self, folder: Path, recipe: Pretraining) -> None:
        self.folder = folder
        self.recipe = recipe

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
        tensors = {"losses": torch.tensor(losses, dtype=torch.float64)}
        for name, parameter in model.named_parameters():
            state = optimizer.state[parameter]
            tensors[f"weight.{name}"] = parameter.detach().contiguous()
            tensors[f"m.{name}"], tensors[f"v.{name}"] = state["exp_avg"], state["exp_avg_sq"]
        about = {"recipe": json.dumps(asdict(self.recipe))}
        write_atomically(
            self.folder / "state.safetensors", lambda path: save_file(tensors, path, metadata=about)
        )

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, list[float]]:
        """Put the saved state, if any, onto model and optimizer; returns the steps done and their losses."""
        path = self.folder / "state.safetensors"
        if not path.exists():
            return 0, []
        with safe_open(path, framework="pt") as saved:
            theirs = json.loads(saved.metadata()["recipe"])
        _refuse_another(self.recipe, theirs, self.folder)
        tensors = load_file(path)
        losses: list[float] = tensors["losses"].tolist()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(tensors[f"weight.{name}"])
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(len(losses))),
                    "exp_avg": tensors[f"m.{name}"],
                    "exp_avg_sq": tensors[f"v.{name}"],
                }
        return len(losses), losses

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _refuse_another(ours: Pretraining, theirs: dict[str, Any], folder: Path) -> None:
    if different := differing_fields(asdict(ours), theirs):
        raise ResumeError(
            f"{folder} holds a pretraining with another {', '.join(different)}; "
            "use another --out or delete that folder."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the base model of the embedded world.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; the same folder resumes")
    parser.add_argument("--seed", type=int, default=0, help="of the world, weights and documents")
    parser.add_argument("--steps", type=int, default=Pretraining.steps)
    parser.add_argument("--hidden", type=int, default=Pretraining.hidden, help="and feed-forward 3 times")
    parser.add_argument("--layers", type=int, default=Pretraining.layers)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            log.info("step %d of %d, loss %.4f nats per token", step, options.steps, loss)

    size = {"hidden": options.hidden, "layers": options.layers, "feed_forward": 3 * options.hidden}
    pretrain(options.out, Pretraining(seed=options.seed, steps=options.steps, **size), report)


if __name__ == "__main__":
    main()
