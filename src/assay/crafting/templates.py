"""Templates filled in: jinja2 in its sandbox, where every name has to be known. Knows no strategy.

Text that is filled in is never itself a template, and it stays as it is: nothing is escaped or trimmed. Of a
template's own text one line break at the very end is left out, as YAML's blocks put one there, and a line of
nothing but a `{% … %}` leaves no empty line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay.errors import AssayError


class Columns(dict[str, str]):
    """The cells of a row; a missing one is told as such."""


class Missing(StrictUndefined):
    """A name or a field that is not there; any use of it but `is defined` is an error."""

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Columns):
            return f"the row has no column {self._undefined_name!r}"
        if self._undefined_hint:
            return self._undefined_hint
        return f"{self._undefined_name!r} is not known"


class Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in which `columns.items` is a cell and no method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Columns):
            return self.getitem(obj, attribute)
        return super().getattr(obj, attribute)


ENVIRONMENT = Environment(undefined=Missing, autoescape=False, trim_blocks=True, lstrip_blocks=True)
del ENVIRONMENT.globals["lipsum"], ENVIRONMENT.filters["random"]  # equal inputs give equal texts
BUILT_IN = frozenset(ENVIRONMENT.globals)
FROM_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class FillingError(AssayError):
    """A template that cannot be filled in for one reference; the text is a clause."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name that a template uses; `field` where it is `name.field`. `line` counts from 1 in the template."""

    name: str
    field: str | None
    line: int


@dataclass(frozen=True, slots=True)
class BrokenTemplate:
    """Why a text is no template, and where in it."""

    reason: str
    line: int


def filled(text: str, names: Mapping[str, Any]) -> str:
    """A template with every place filled; raises `FillingError`, as where a row lacks a column."""
    try:
        return _template(text).render(**names)
    except Exception as error:  # a template runs code of its author's, which may raise anything
        raise FillingError(_clause(error)) from error


def holds(expression: str, names: Mapping[str, Any]) -> bool:
    """Whether an expression is true; raises `FillingError`."""
    try:
        return bool(_expression(expression)(**names))
    except Exception as error:
        raise FillingError(_clause(error)) from error


def uses(text: str, *, expression: bool = False) -> tuple[Use, ...] | BrokenTemplate:
    """Every use of a name that a template does not itself set, in order; or what is wrong with its syntax.

    A name that stands under `is defined` counts as well.
    """
    try:
        if expression:
            ENVIRONMENT.compile_expression(text)
        else:
            ENVIRONMENT.from_string(text)
        tree = ENVIRONMENT.parse(f"{{{{ {text} }}}}" if expression else text)
    except TemplateSyntaxError as error:
        return BrokenTemplate((error.message or "it is no template").rstrip("."), error.lineno)
    for other in tree.find_all(FROM_FILES):
        return BrokenTemplate("a template takes nothing from other files", other.lineno)
    free = meta.find_undeclared_variables(tree)
    fields: dict[int, str] = {}
    for dotted in tree.find_all(nodes.Getattr):
        fields[id(dotted.node)] = dotted.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            fields[id(item.node)] = item.arg.value
    found = [
        Use(one.name, fields.get(id(one)), one.lineno)
        for one in tree.find_all(nodes.Name)
        if one.ctx == "load" and one.name in free and one.name not in BUILT_IN
    ]
    return tuple(sorted(found, key=lambda use: use.line))


def comparisons(text: str, *, expression: bool = False) -> tuple[tuple[Use, str], ...]:
    """Every name that is compared with a text by == or !=, and the text; of a template without mistakes."""
    tree = ENVIRONMENT.parse(f"{{{{ {text} }}}}" if expression else text)
    found = []
    for node in tree.find_all(nodes.Compare):
        sides = [node.expr, *(one.expr for one in node.ops if one.op in ("eq", "ne"))]
        names = [side for side in sides if isinstance(side, nodes.Name)]
        words = [side for side in sides if isinstance(side, nodes.Const) and isinstance(side.value, str)]
        found += [(Use(name.name, None, name.lineno), word.value) for name in names for word in words]
    return tuple(found)


@lru_cache(maxsize=512)
def _template(text: str) -> Template:
    return ENVIRONMENT.from_string(text)


@lru_cache(maxsize=512)
def _expression(text: str) -> Any:
    return ENVIRONMENT.compile_expression(text, undefined_to_none=False)


def _clause(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
