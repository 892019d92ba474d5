"""A user's mapping from the columns of any table to prompt and completion. Knows no files.

A part is a column's name, or a template in which `{column}` stands for the cell; `outer.inner` reaches into
a cell that is an object. Templates only substitute: nothing in them or in the cells is evaluated.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.data.example import Rendering
from assay.data.fields import RowError, checked_text
from assay.errors import ConfigError

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How a row of a table becomes an example.

    `names` are the columns of a table without a header, in order. `prompt`, `completion` and `system`
    are column names or templates; `unescape` turns the two characters backslash and n in cells into a
    newline. `quoted` overrides whether cells may be
    quoted (CSV: yes, TSV: no). With `rendering="plain"` prompt and completion are joined as they are.
    """

    names: tuple[str, ...] = ()
    prompt: str | None = None
    completion: str | None = None
    system: str | None = None
    unescape: bool = False
    quoted: bool | None = None
    rendering: Rendering = "chat"

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ConfigError(f"columns {','.join(self.names)} name the same column twice.")
        if (self.prompt is None) != (self.completion is None):
            raise ConfigError("A column mapping needs both a prompt and a completion, or neither.")
        if self.names:
            for template in (self.prompt, self.completion, self.system):
                missing = [name for name in columns_of(template, self.names) if name not in self.names]
                if missing:
                    raise ConfigError(
                        f"{template!r} uses {', '.join(missing)}; the columns are {', '.join(self.names)}."
                    )

    @property
    def maps(self) -> bool:
        """Whether prompt and completion are mapped, rather than only names given."""
        return self.prompt is not None

    @classmethod
    def parse(
        cls,
        columns: str | None = None,
        *,
        prompt: str | None = None,
        completion: str | None = None,
        system: str | None = None,
        unescape: bool = False,
        quoted: bool | None = None,
    ) -> "ColumnMapping":
        """From the command line: `columns` separates names by commas; `\\n` in templates is a newline."""
        names = tuple(name.strip() for name in columns.split(",")) if columns else ()
        if any(not name for name in names):
            raise ConfigError(f"columns {columns!r} hold an empty name.")
        return cls(
            names,
            prompt=None if prompt is None else unescaped(prompt),
            completion=None if completion is None else unescaped(completion),
            system=None if system is None else unescaped(system),
            unescape=unescape,
            quoted=quoted,
        )


def columns_of(template: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that a part uses."""
    if template is None:
        return ()
    if template in known or "{" not in template:
        return (template,)
    return tuple(match[1] for match in PLACE.finditer(template) if match[1] is not None)


def filled_in(template: str, record: Mapping[str, Any], unescape: bool) -> str:
    """A column's cell, or a template with its places filled; `RowError` where a cell cannot be used."""
    if template in record or "{" not in template:
        return _cell(template, record, unescape)

    def place(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else _cell(match[1], record, unescape)

    return PLACE.sub(place, template)


def unescaped(text: str) -> str:
    """Text with newlines for the two characters backslash and n; other backslashes (LaTeX) stay."""
    return text.replace("\\n", "\n")


def _cell(name: str, record: Mapping[str, Any], unescape: bool) -> str:
    value = record.get(name)
    if value is None and "." in name:
        outer, inner = name.split(".", 1)
        nested = record.get(outer)
        if isinstance(nested, Mapping):
            return _cell(inner, nested, unescape)
    if value is None:
        raise RowError(f"column '{name}' is missing; the row has {', '.join(map(str, record))}")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    cell = checked_text(value, f"column '{name}'")
    return unescaped(cell) if unescape else cell
