"""The table of scoring methods: by gradients, baselines, in context."""

from difflib import get_close_matches

from assay.errors import ConfigError
from assay.methods import by_gradient, by_likelihood, by_likeness, in_context, yardsticks
from assay.methods.method import Aggregate, InContext, Measure, Measured, Method

__all__ = ["METHODS", "Aggregate", "InContext", "Measure", "Measured", "Method", "method_named"]

METHODS: dict[str, Method] = {
    row.name: row
    for row in (
        *by_gradient.ROWS,
        *by_likelihood.ROWS,
        *yardsticks.ROWS,
        *by_likeness.ROWS,
        *in_context.ROWS,
    )
}


def method_named(name: str) -> Method:
    """The row called `name`; ConfigError names the nearest ones there are."""
    if name not in METHODS:
        near = get_close_matches(name.lower().replace("-", "_"), METHODS, n=3, cutoff=0.5)
        choice = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(METHODS)}."
        raise ConfigError(f"There is no method {name!r}; {choice}")
    return METHODS[name]
