"""Which names a strategy's templates know, step by step, and which are used. Knows no keys of its file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.crafting.pages import Node, Page, line_of, meant, template_line
from assay.crafting.templates import BUILT_IN, BrokenTemplate, Use, comparisons, uses

ALWAYS = {
    "query": "the reference's last user turn",
    "response": "its completion",
    "task": "its task, empty where it has none",
    "id": "its id",
    "earlier": "the conversation before the query as text, empty where there is none",
    "columns": "the cells of its row: `columns.rationale`",
    "agrees": "`agrees(answer, response)`: whether two answers to the query are the same",
}
"""What every template knows."""

KEPT = {*ALWAYS, *BUILT_IN, "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is"}
KEPT |= {"if", "else", "elif", "for", "loop", "self", "set"}


@dataclass(frozen=True, slots=True)
class Made:
    """A value that a step makes: `fields` of an object, or the `labels` that it may be; text has neither."""

    line: int
    fields: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Scope:
    """Names known so far. `ahead` has the lines of those that steps below make; `unsure` tells that a use was
    unclear."""

    page: Page
    ahead: Mapping[str, int]
    columns: tuple[str, ...] = ()
    made: dict[str, Made] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    unsure: bool = False

    def add(self, name: str, node: Node, fields: tuple[str, ...] = (), labels: tuple[str, ...] = ()) -> None:
        """A step's value is known from here on."""
        self.made[name] = Made(line_of(node), fields, labels)

    def look(self, text: str, node: Node, *, cells: tuple[str, ...] = (), expression: bool = False) -> None:
        """Note what is wrong with a template and what it uses; `cells` are columns that are known here."""
        found = uses(text, expression=expression)
        if isinstance(found, BrokenTemplate):
            kind = "an expression" if expression else "a template"
            self.unsure = True
            self.page.wrong(template_line(node, found.line), f"This is not {kind} ({found.reason}).")
            return
        for use in found:
            self._use(use, template_line(node, use.line, use.name), cells)
        for use, word in comparisons(text, expression=expression):
            made = self.made.get(use.name)
            if made is not None and made.labels and word not in made.labels:
                self.page.wrong(
                    template_line(node, use.line, use.name),
                    f"`{use.name}` is never `{word}`; {meant(word, made.labels)}",
                )

    def unused(self) -> None:
        """Note every value that nothing uses, unless some use could not be made out."""
        for name, made in self.made.items():
            if name not in self.used and not self.unsure:
                self.page.wrong(
                    made.line,
                    f"Nothing uses `{name}`; write {{{{ {name} }}}} where it belongs, or leave the step out.",
                )

    def _use(self, use: Use, line: int, cells: tuple[str, ...]) -> None:
        if use.name in self.made:
            self.used.add(use.name)
            self._field(use, self.made[use.name], line)
        elif use.name in ("columns", "agrees") or use.name in cells:
            return
        elif use.name in ALWAYS or use.name in self.columns:
            if use.field is not None and not hasattr(str, use.field):
                self.page.wrong(line, f"`{use.name}` is a text and has no `{use.field}`.")
        elif use.name in self.ahead:
            below = self.ahead[use.name]
            self.page.wrong(line, f"`{use.name}` is not known yet: its step stands below, in line {below}.")
        else:
            known = dict.fromkeys([*ALWAYS, *self.columns, *cells, *self.made])
            self.unsure = True
            self.page.wrong(
                line,
                f"`{use.name}` is not known here; {meant(use.name, known)} "
                f"A column of the row is `columns.{use.name}`.",
            )

    def _field(self, use: Use, made: Made, line: int) -> None:
        if made.fields and use.field is None:
            ways = " or ".join(f"`{use.name}.{one}`" for one in made.fields)
            self.page.wrong(line, f"`{use.name}` is read as JSON; write {ways}.")
        elif made.fields and use.field not in made.fields:
            self.page.wrong(line, f"`{use.name}` has no `{use.field}`; {meant(str(use.field), made.fields)}")
        elif not made.fields and use.field is not None and not hasattr(str, use.field):
            self.page.wrong(
                line,
                f"`{use.name}` is a text and has no `{use.field}`; `read: {{json: [{use.field}]}}` gives it.",
            )
