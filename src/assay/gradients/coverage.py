"""Which trained parameters the hooks reach, and which need the slow exact path. Runs nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn

from assay.gradients.rules import rule_for


@dataclass(frozen=True, slots=True)
class Coverage:
    """Names and sizes of the trained parameters, by the way their gradients are found.

    `hooked` parameters are seen by hooks, many examples at a time; `slow` ones by autograd, one example at a
    time. Both are exact; none is left out.
    """

    hooked: dict[str, int]
    slow: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.hooked.values()) + sum(self.slow.values())

    @property
    def fraction(self) -> float:
        """Share of the trained parameters (by size) that hooks reach."""
        return sum(self.hooked.values()) / self.total if self.total else 0.0

    def sentence(self) -> str:
        if not self.slow:
            return f"all {self.total:,} trained parameters are covered by hooks"
        names = ", ".join(sorted(self.slow)[:3]) + (" …" if len(self.slow) > 3 else "")
        return (
            f"hooks cover {self.fraction:.2%} of {self.total:,} trained parameters; {names} "
            "go through the exact path of one example at a time"
        )


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that require gradients, each once, by its first name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def hooked_modules(model: nn.Module, trained: Collection[nn.Parameter]) -> dict[str, nn.Module]:
    """Modules with a known rule that hold one of the `trained` parameters directly."""
    wanted = {id(parameter) for parameter in trained}
    return {
        name: module
        for name, module in model.named_modules()
        if any(id(parameter) in wanted for parameter in module.parameters(recurse=False))
        and rule_for(module) is not None
    }


def coverage(
    model: nn.Module, trained: Mapping[str, nn.Parameter], without: Collection[str] = ()
) -> Coverage:
    """What hooks reach of the `trained` parameters of `model`, leaving out the modules named in `without`.

    A parameter that several modules share (tied embeddings) counts as hooked only if all of them are.
    """
    by_hooks = {name for name in hooked_modules(model, list(trained.values())) if name not in without}
    missed = {
        id(parameter)
        for name, module in model.named_modules()
        if name not in by_hooks
        for parameter in module.parameters(recurse=False)
    }
    hooked = {name: p.numel() for name, p in trained.items() if id(p) not in missed}
    slow = {name: p.numel() for name, p in trained.items() if name not in hooked}
    return Coverage(hooked, slow)
