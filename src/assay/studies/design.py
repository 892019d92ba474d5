"""The paper's three ready-made studies, and what each needs. Knows no files.

A design names the probe sets, the control and the query sets of one of the studies in section 4 of "Shall
Your Data Strategy Work? Perform a Swift Study" (arXiv 2502.13514), so that a run draws the paper's lines.
"""

from collections.abc import Collection
from dataclasses import dataclass

from assay.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Design:
    """`strategies` and `control` are probe sets; `undesired` is the query set of bad responses, if any."""

    name: str
    question: str
    strategies: tuple[str, ...]
    control: str
    queries: tuple[str, ...]
    undesired: tuple[str, ...]
    source: str


DESIGNS = {
    design.name: design
    for design in (
        Design(
            "cot",
            "Does chain-of-thought data help on queries that want a direct answer?",
            ("cot",),
            "plain",
            ("plain",),
            (),
            "section 4.1, Figure 1",
        ),
        Design(
            "clarify",
            "Does query clarification data help on confused queries?",
            ("clarify",),
            "pos",
            ("pos", "neg"),
            ("neg",),
            "section 4.2, Figure 2",
        ),
        Design(
            "evaluation",
            "Does response evaluation data help on general queries?",
            ("evalpos", "evalneg"),
            "pos",
            ("pos", "neg"),
            ("neg",),
            "section 4.3, Figure 3",
        ),
    )
}


def design_named(name: str) -> Design:
    """Raises ConfigError for a name that is no design."""
    try:
        return DESIGNS[name]
    except KeyError:
        raise ConfigError(f"There is no design {name!r}; the designs are {', '.join(DESIGNS)}.") from None


def require_sets(design: Design, probes: Collection[str], queries: Collection[str]) -> None:
    """Raise ConfigError naming the sets that a design needs and that were not given."""
    missing = [f"--probes {name}=FILE" for name in design.strategies if name not in probes]
    missing += [f"--control {design.control}=FILE"] * (design.control not in probes)
    missing += [f"--queries {name}=FILE" for name in design.queries if name not in queries]
    if missing:
        raise ConfigError(
            f"The design {design.name!r} ({design.source}) also needs {', '.join(missing)}; "
            "other sets may stand beside them."
        )
