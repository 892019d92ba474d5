"""Which colour means what, on white and on dark paper. Knows nothing of charts or pages.

Strategies take the colours of Okabe and Ito (2008), which stay apart for colour-blind readers; the control
is always grey. Charts are drawn with the light colour of a pair; the page swaps in the dark one by a rule
on the attribute, so every light colour stands for one thing only.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour as hex, on light and on dark paper; `name` is its CSS variable."""

    name: str
    light: str
    dark: str


INK = Colour("ink", "#1c2126", "#e7e9ec")
MUTED = Colour("muted", "#626a73", "#a0a8b1")
GRID = Colour("grid", "#e6e8eb", "#2b3138")
ZERO = Colour("zero", "#8b929a", "#78818b")
PAPER = Colour("paper", "#ffffff", "#14171a")
CONTROL = Colour("control", "#7b8188", "#a9b0b8")

STRATEGIES = (
    Colour("s0", "#0072b2", "#3f9fe0"),
    Colour("s1", "#d55e00", "#f07f2e"),
    Colour("s2", "#009e73", "#25be93"),
    Colour("s3", "#cc79a7", "#dc91bb"),
    Colour("s4", "#56b4e9", "#93d1f5"),
    Colour("s5", "#e69f00", "#f2b632"),
)

KEPT, DROPPED = STRATEGIES[0], STRATEGIES[1]  # on the page of a selection, which shows no strategies

# From harm through nothing to help: orange, paper grey, blue.
DIVERGING = (
    Colour("h0", "#9a3c00", "#ff9c54"),
    Colour("h1", "#cf6a1d", "#d67a36"),
    Colour("h2", "#eaa772", "#98582b"),
    Colour("h3", "#f6d9c3", "#553827"),
    Colour("h4", "#f2f3f4", "#22272c"),
    Colour("h5", "#cbdfee", "#213c53"),
    Colour("h6", "#92bcdd", "#2b608c"),
    Colour("h7", "#4b8fc6", "#3f8dcb"),
    Colour("h8", "#0f5c9e", "#7ec2ff"),
)

PALETTE = (INK, MUTED, GRID, ZERO, PAPER, CONTROL, *STRATEGIES, *DIVERGING)


def assign(probe_sets: Sequence[str], control: str | None) -> dict[str, Colour]:
    """A colour for every probe set, in the order given; beyond six strategies the colours start again."""
    strategies = [name for name in probe_sets if name != control]
    colours = {name: STRATEGIES[index % len(STRATEGIES)] for index, name in enumerate(strategies)}
    if control is not None:
        colours[control] = CONTROL
    return colours


def style_rules() -> str:
    """CSS: the colours as variables and classes, and their dark twins for screens that ask for them."""
    light = "".join(f"--{colour.name}:{colour.light};" for colour in PALETTE)
    dark = "".join(f"--{colour.name}:{colour.dark};" for colour in PALETTE)
    classes = "\n".join(f".{colour.name}{{color:var(--{colour.name})}}" for colour in PALETTE)
    charts = "\n".join(
        f'.chart [fill="{colour.light}"]{{fill:{colour.dark}}}'
        f'.chart [stroke="{colour.light}"]{{stroke:{colour.dark}}}'
        for colour in PALETTE
    )
    screen = "@media screen and (prefers-color-scheme: dark)"
    return f":root{{{light}}}\n{screen}{{:root{{{dark}}}\n{charts}}}\n{classes}\n"
