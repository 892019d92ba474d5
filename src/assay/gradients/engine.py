"""One forward and backward pass that yields the gradient of every example in a batch, exactly.

Knows nothing of what the gradients are for. While it is in use the model is frozen, in evaluation mode, and
watched; on leaving, everything about it is as it was.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from assay.data.example import Tokens
from assay.errors import ModelError
from assay.gradients import head as heads
from assay.gradients.batch import Batch, by_owner, finite, learned
from assay.gradients.capture import PerExampleLostError, Receive, watch
from assay.gradients.coverage import Coverage, coverage, hooked_modules, trained_parameters
from assay.gradients.fused import fused
from assay.gradients.needed import last_mlp, only_needed
from assay.gradients.precision import is_precise
from assay.gradients.rules import Contribution, Dense, is_linear, rule_for

Consume = Callable[[str, list[Contribution]], None]


class Engine:
    """Per-example gradients of the parameters of `model` that require gradients.

    >>> with Engine(model) as engine:
    ...     engine.check(tokens)
    ...     losses = engine.run(batch, consume)

    `run` calls `consume(parameter_name, contributions)` once for every trained parameter that the batch
    touches; the parameter's per-example gradient is the sum of its contributions (more than one where modules
    share the parameter). The engine must not be nested on one model.

    Raises ModelError when nothing is trained, or the model has no head the engine can cut.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.head = heads.split(model)
        self._last_mlp = last_mlp(self.head.backbone)
        self.trained = trained_parameters(model)
        if not self.trained:
            raise ModelError("No parameter of this model requires gradients, so there is nothing to measure.")
        self.device = next(iter(self.trained.values())).device
        self._names = {id(parameter): name for name, parameter in self.trained.items()}
        self._modules = hooked_modules(model, list(self.trained.values()))
        self._lost: set[str] = set()
        self._calls: Counter[str] = Counter(dict.fromkeys(self._modules, 1))
        self._stack = ExitStack()
        self._hooks = ExitStack()
        self._batch_size = 0
        self._deferred: dict[str, list[Contribution]] = {}
        self._consume: Consume = lambda name, contributions: None
        self._head_is_trained = type(self.head.projection) is not nn.Linear or any(
            id(parameter) in self._names for parameter in self.head.projection.parameters()
        )
        self._settle()

    @property
    def coverage(self) -> Coverage:
        return coverage(self.model, self.trained, self._lost)

    @property
    def one_at_a_time(self) -> bool:
        """Whether some trained parameter needs batches of one example."""
        return bool(self._slow)

    @property
    def matrices(self) -> frozenset[str]:
        """Parameters whose gradient is a sum of token-wise outer products and nothing else: the matrices of
        linear layers, unless a layer of another kind shares them or they take the slow path."""
        kinds: dict[str, set[bool]] = {}
        for module in self._modules.values():
            for local, parameter in module.named_parameters(recurse=False):
                if id(parameter) in self._names:
                    linear = is_linear(module) and local == "weight"
                    kinds.setdefault(self._names[id(parameter)], set()).add(linear)
        return frozenset(name for name, kind in kinds.items() if kind == {True} and name not in self._slow)

    def __enter__(self) -> "Engine":
        for module in self.model.modules():
            checkpoints = getattr(module, "gradient_checkpointing", False) is True
            self._stack.callback(setattr, module, "training", module.training)
            # A layer checkpoints its activations only in training mode; its children (dropout) do not.
            module.training = checkpoints
            if checkpoints and hasattr(module, "_gradient_checkpointing_func"):
                self._stack.callback(
                    setattr, module, "_gradient_checkpointing_func", module._gradient_checkpointing_func
                )
                module.__dict__["_gradient_checkpointing_func"] = partial(checkpoint, use_reentrant=False)
        for parameter in self.trained.values():
            self._stack.callback(setattr, parameter, "grad", parameter.grad)
            self._stack.callback(parameter.requires_grad_, True)
        self._watch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()
        self._stack.close()

    def check(self, tokens: Sequence[Tokens]) -> None:
        """Look at the model before trusting it, with the shortest of `tokens`.

        Modules that flatten examples together, or run twice in one pass, are found, and their parameters
        handled accordingly. Then the loss is compared with the one of the model's own full logits.

        Raises ModelError where the losses differ: the architecture does something to its logits that the
        engine does not know.
        """
        shortest = min(tokens, key=len)
        pair = Batch.of([shortest, shortest], self.device)
        self._watch(fuse=False)
        while lost := self._newly_lost(pair):
            self._lost |= lost
            self._settle()
            self._watch(fuse=False)
        single = Batch.of([shortest], self.device)
        self._batch_size = 1
        with torch.no_grad():
            logits = self.model(input_ids=single.input_ids, use_cache=False).logits[0, :-1]
        losses = nn.functional.cross_entropy(logits.double(), single.input_ids[0, 1:], reduction="none")
        theirs = float((losses * single.weights[0, 1:]).sum())
        self._watch()
        ours = float(self.losses(single)[0])
        tolerance = 1e-3 if is_precise(self.model) else 5e-2
        if not abs(ours - theirs) <= tolerance * max(1.0, abs(theirs)):
            raise ModelError(
                f"{type(self.model).__name__} computes a loss of {theirs:.5f} where its hidden states and "
                f"output matrix give {ours:.5f}: its head is not one assay knows, so its gradients would be "
                "wrong."
            )

    def losses(self, batch: Batch) -> Float[Tensor, "n"]:
        """Loss of every example, float64, without gradients.

        Raises NumericsError naming the example whose loss is not finite.
        """
        self._batch_size = len(batch)
        with torch.no_grad(), only_needed(self._last_mlp, batch.weights[:, 1:] != 0):
            hidden = heads.last_hidden(self.head, batch.read)
            owner, targets, weights, predicting = learned(batch, hidden)
            if type(self.head.projection) is nn.Linear:
                rows, _ = heads.frozen_loss(self.head, predicting, targets, weights, gradient=False)
            else:
                self._batch_size = 1
                rows = heads.trained_loss(self.head, predicting, targets, weights)
        return finite(batch, by_owner(rows, owner, len(batch)))

    def run(self, batch: Batch, consume: Consume, sampled: int | None = None) -> Float[Tensor, "n"]:
        """One forward and backward pass. Returns the loss of every example, float64.

        With `sampled` the labels at all learned positions are drawn from the model's own distribution, given
        the example's own tokens before them; the loss keeps its weights. The number seeds the draws, which
        follow from it, the example's id and the position alone: batches make no difference.

        Raises NumericsError naming the example whose loss is not finite.
        """
        self._batch_size, self._consume, self._deferred = len(batch), consume, {}
        with torch.enable_grad(), only_needed(self._last_mlp, batch.weights[:, 1:] != 0):
            hidden = heads.last_hidden(self.head, batch.read)
            owner, targets, weights, predicting = learned(batch, hidden)
            uniform = None if sampled is None else batch.uniform(sampled)[:, 1:][batch.weights[:, 1:] != 0]
            if self._head_is_trained:
                rows, grads = self._through_trained_head(predicting, targets, weights, owner, uniform)
            elif uniform is not None:
                _, rows, grads = heads.sampled_loss(self.head, predicting.detach(), uniform, weights)
            else:
                rows, at_hidden = heads.frozen_loss(self.head, predicting.detach(), targets, weights)
                assert at_hidden is not None
                grads = at_hidden
            losses = finite(batch, by_owner(rows, owner, len(batch)))
            if predicting.requires_grad:
                torch.autograd.backward(predicting, grads)
        for name in self._slow:
            parameter = self.trained[name]
            if parameter.grad is not None:
                self._deferred[name] = [Dense(parameter.grad.reshape(1, -1))]
                parameter.grad = None
        deferred, self._deferred = self._deferred, {}
        with torch.no_grad():
            for name in list(deferred):
                consume(name, deferred.pop(name))
        return losses

    def _through_trained_head(
        self,
        hidden: Float[Tensor, "c h"],
        targets: Int[Tensor, "c"],
        weights: Float[Tensor, "c"],
        owner: Int[Tensor, "c"],
        uniform: Float[Tensor, "c"] | None,
    ) -> tuple[Float[Tensor, "c"], Float[Tensor, "c h"]]:
        """Example by example, so that only one example's logits exist at a time."""
        precision = torch.promote_types(hidden.dtype, torch.float32)
        rows = torch.empty(len(targets), dtype=precision, device=self.device)
        grads = torch.empty_like(hidden, requires_grad=False)
        batch_size, self._batch_size = self._batch_size, 1
        collected: dict[str, list[Contribution]] = {}
        for example in sorted(set(owner.tolist())):
            part = owner == example
            leaf = hidden[part].detach().requires_grad_(True)
            drawn = None if uniform is None else uniform[part]
            losses = heads.trained_loss(self.head, leaf, targets[part], weights[part], drawn)
            torch.autograd.backward(losses.sum())
            assert leaf.grad is not None
            rows[part], grads[part] = losses.detach(), leaf.grad
            for name, contributions in self._deferred.items():
                collected.setdefault(name, []).extend(replace(c, example=example) for c in contributions)
            self._deferred = {}
        self._batch_size, self._deferred = batch_size, collected
        return rows, grads

    def _settle(self) -> None:
        """Decide how each trained parameter's gradient is found."""
        self._slow = frozenset(self.coverage.slow)
        head = {id(parameter) for parameter in self.head.projection.parameters()}
        seen: Counter[str] = Counter()
        for name, module in self._modules.items():
            for parameter in module.parameters(recurse=False):
                if id(parameter) in self._names:
                    seen[self._names[id(parameter)]] += 2 if id(parameter) in head else self._calls[name]
        self._in_parts = frozenset(name for name, count in seen.items() if count > 1)

    def _watch(self, fuse: bool = True) -> None:
        self._hooks.close()
        for name, parameter in self.trained.items():
            parameter.requires_grad_(name in self._slow)
            parameter.grad = None
        anchor = torch.zeros((), device=self.device, requires_grad=True)
        receivers: dict[nn.Module, Receive] = {}
        for name, module in self._modules.items():
            wanted = {
                local: self._names[id(parameter)]
                for local, parameter in module.named_parameters(recurse=False)
                if id(parameter) in self._names and self._names[id(parameter)] not in self._slow
            }
            if wanted and name not in self._lost:
                receivers[module] = self._receiver(module, wanted)
        if fuse:
            self._hooks.enter_context(
                fused(self.model, list(self.trained.values()), receivers, anchor, lambda: self._batch_size)
            )
        for module, receive in receivers.items():
            handle = watch(module, anchor, lambda: self._batch_size, receive)
            self._hooks.callback(handle.remove)

    def _receiver(self, module: nn.Module, wanted: dict[str, str]) -> Callable[[Tensor, Tensor], None]:
        rule = rule_for(module)
        assert rule is not None

        def receive(inputs: Tensor, output_grads: Tensor) -> None:
            for local, name in wanted.items():
                contribution = rule(module, inputs, output_grads, local)
                if name in self._in_parts:
                    self._deferred.setdefault(name, []).append(contribution)
                else:
                    self._consume(name, [contribution])

        return receive

    def _newly_lost(self, batch: Batch) -> set[str]:
        """Modules that hooks do not see as they must, found by a forward pass that counts calls beside: the
        first one that flattens examples together, or all whose weights are used without calling them (PEFT
        does so with adapters of fused experts).
        """
        self._batch_size, self._calls = len(batch), Counter()
        running: list[str] = []

        def before(name: str, _module: nn.Module, _args: object) -> None:
            self._calls[name] += 1
            running.append(name)

        with ExitStack() as hooks, torch.no_grad():
            for name, module in self._modules.items():
                if name not in self._lost:
                    hooks.callback(module.register_forward_pre_hook(partial(before, name)).remove)
            try:
                heads.last_hidden(self.head, batch.input_ids)
            except PerExampleLostError:
                return {running[-1]}
        in_head = set(self.head.projection.modules())
        unseen = {
            name for name, module in self._modules.items() if module not in in_head and not self._calls[name]
        }
        self._settle()
        return unseen - self._lost
